/* Tests of broker/options.c: the sample file shows every option with its default. */
#include "broker/options.h"

#include "tests/support/run_suite.h"

#include <check.h>
#include <stdlib.h>

static void load(const char *file, struct option_set *set, struct options *options)
{
    struct err_text et = {""};

    option_set_init(set, broker_options, broker_option_count, options);
    ck_assert_msg(option_set_load(set, file, NULL, 0, &et) == 0, "%s", et.text);
}

START_TEST(sample_equals_defaults)
{
    struct option_set defaults, sample;
    struct options a = {0}, b = {0};
    char *default_text = NULL, *sample_text = NULL;
    size_t default_size, sample_size;
    FILE *out;

    load(NULL, &defaults, &a);
    load(PROJECT_SOURCE_DIR "/etc/broker.conf", &sample, &b);
    out = open_memstream(&default_text, &default_size);
    option_set_print(&defaults, out);
    fclose(out);
    out = open_memstream(&sample_text, &sample_size);
    option_set_print(&sample, out);
    fclose(out);
    ck_assert_str_eq(default_text, sample_text);
    free(default_text);
    free(sample_text);
    option_set_fini(&defaults);
    option_set_fini(&sample);
}
END_TEST

START_TEST(sample_names_every_option)
{
    static char text[65536];
    FILE *file = fopen(PROJECT_SOURCE_DIR "/etc/broker.conf", "r");
    size_t len;

    ck_assert_ptr_nonnull(file);
    len = fread(text, 1, sizeof(text) - 1, file);
    text[len] = '\0';
    fclose(file);
    for (size_t i = 0; i < broker_option_count; i++)
        ck_assert_msg(strstr(text, broker_options[i].help) != NULL, "%s is not in the sample",
                      broker_options[i].path);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("options");
    TCase *tcase = tcase_create("sample");

    tcase_add_test(tcase, sample_equals_defaults);
    tcase_add_test(tcase, sample_names_every_option);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
