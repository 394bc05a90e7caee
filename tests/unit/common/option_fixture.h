/* option_fixture - an option table with one of everything, and configuration files for the tests
 * of common/option*.c. Checked fixture: each test has its own folder. */
#ifndef BECKON_TESTS_OPTION_FIXTURE_H
#define BECKON_TESTS_OPTION_FIXTURE_H

#include "common/auto.h"
#include "common/option.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct values {
    uint32_t port, backlog;
    bool nodelay, verbose;
    uint64_t max_bytes;
    const char *name, *dsn;
};

static unsigned check_calls;

/* Every element of the list has to be a group. */
static int on_check_plugins(const config_setting_t *setting, struct err_text *et)
{
    check_calls++;
    for (int i = 0; i < config_setting_length(setting); i++) {
        const config_setting_t *element = config_setting_get_elem(setting, (unsigned)i);
        if (!config_setting_is_group(element))
            return err_set(et, ERR_CONFIG, "%s:%u: an element of \"plugins\" is no group",
                           config_setting_source_file(element),
                           (unsigned)config_setting_source_line(element));
    }
    return 0;
}

/* The groups are not together, as they may be in a table that grew. */
static const struct option option_table[] = {
    {"listen.tcp.port", OPTION_UINT, offsetof(struct values, port), "1883", 1, 65535, false,
     "port of MQTT over TCP", NULL},
    {"name", OPTION_STRING, offsetof(struct values, name), "", 0, 8, false, "name of this process",
     NULL},
    {"listen.tcp.nodelay", OPTION_BOOL, offsetof(struct values, nodelay), "true", 0, 0, true,
     "send small packets at once", NULL},
    {"limits.max_bytes", OPTION_UINT64, offsetof(struct values, max_bytes), "1048576", 0,
     UINT64_MAX, true, "largest packet, bytes", NULL},
    {"listen.backlog", OPTION_UINT, offsetof(struct values, backlog), "512", 0, UINT32_MAX, false,
     "connections waiting for accept", NULL},
    {"verbose", OPTION_BOOL, offsetof(struct values, verbose), "false", 0, 0, true, "say more",
     NULL},
    {"plugins", OPTION_LIST, 0, NULL, 0, 0, false, "delivery plugins", on_check_plugins},
    {"store.dsn", OPTION_STRING, offsetof(struct values, dsn), "dbname=beckon", 0, 0, false,
     "connection string", NULL},
    {"store.shards", OPTION_LIST, 0, NULL, 0, 0, false, "databases", NULL},
};

static char folder[64], file[128];
static struct values values;
static struct option_set set;
static struct err_text et;

static void option_set_up(void)
{
    snprintf(folder, sizeof(folder), "/tmp/beckon-option-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(file, sizeof(file), "%s/test.conf", folder);
    memset(&values, 0x55, sizeof(values));
    et.text[0] = '\0';
    check_calls = 0;
    option_set_init(&set, option_table, ARRAY_LEN(option_table), &values);
}

static void option_tear_down(void)
{
    option_set_fini(&set);
    unlink(file);
    rmdir(folder);
}

static void write_bytes(const char *path, const void *data, size_t size)
{
    FILE *out = fopen(path, "w");

    ck_assert_ptr_nonnull(out);
    ck_assert_uint_eq(fwrite(data, 1, size, out), size);
    ck_assert_int_eq(fclose(out), 0);
}

static void write_file(const char *text)
{
    write_bytes(file, text, strlen(text));
}

#endif
