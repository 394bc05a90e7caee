/* Tests of common/hash.c. */
#include "common/hash.h"

#include <check.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/auto.h"

#include "tests/support/run_suite.h"

#define MANY 10000

struct item {
    struct hash_node node;
    uint64_t key;
    unsigned visits;
};

static bool match_item(const struct hash_node *node, const void *key)
{
    return CONTAINER_OF(node, struct item, node)->key == *(const uint64_t *)key;
}

static struct item *find(const struct hash *table, uint64_t key, uint64_t hash)
{
    struct hash_node *node = hash_find(table, hash, match_item, &key);

    return node != NULL ? CONTAINER_OF(node, struct item, node) : NULL;
}

START_TEST(test_empty)
{
    struct hash table = {0};

    ck_assert_ptr_null(find(&table, 1, hash_u64(1)));
    hash_each(&table, NULL, NULL);
    hash_fini(&table);
}
END_TEST

START_TEST(test_many)
{
    struct hash table = {0};
    AUTO_FREE struct item *items = calloc(MANY, sizeof(*items));

    ck_assert_ptr_nonnull(items);
    for (uint64_t i = 0; i < MANY; i++) {
        items[i].key = i;
        ck_assert_int_eq(hash_insert(&table, &items[i].node, hash_u64(i)), 0);
        ck_assert_uint_eq(table.count, i + 1);
    }
    ck_assert_uint_ge(table.mask + 1, MANY); /* at most one a bucket on average */
    for (uint64_t i = 0; i < MANY; i++)
        ck_assert_ptr_eq(find(&table, i, hash_u64(i)), &items[i]);
    ck_assert_ptr_null(find(&table, MANY, hash_u64(MANY)));

    for (uint64_t i = 0; i < MANY; i += 2)
        hash_remove(&table, &items[i].node);
    ck_assert_uint_eq(table.count, MANY / 2);
    for (uint64_t i = 0; i < MANY; i++)
        ck_assert_ptr_eq(find(&table, i, hash_u64(i)), i % 2 == 0 ? NULL : &items[i]);
    hash_fini(&table);
    ck_assert_uint_eq(table.count, 0);
}
END_TEST

START_TEST(test_one_chain)
{
    /* All with one hash: match alone tells them apart. */
    struct hash table = {0};
    struct item items[40] = {0};

    for (uint64_t i = 0; i < ARRAY_LEN(items); i++) {
        items[i].key = i;
        ck_assert_int_eq(hash_insert(&table, &items[i].node, 7), 0);
    }
    for (uint64_t i = 0; i < ARRAY_LEN(items); i++)
        ck_assert_ptr_eq(find(&table, i, 7), &items[i]);
    hash_remove(&table, &items[39].node); /* newest, oldest, one between */
    hash_remove(&table, &items[0].node);
    hash_remove(&table, &items[20].node);
    for (uint64_t i = 0; i < ARRAY_LEN(items); i++) {
        bool gone = i == 39 || i == 0 || i == 20;
        ck_assert_ptr_eq(find(&table, i, 7), gone ? NULL : &items[i]);
    }
    hash_fini(&table);
}
END_TEST

struct visit {
    struct hash *table;
    uint64_t remove_below;
};

static void on_item(struct hash_node *node, void *arg)
{
    struct visit *visit = arg;
    struct item *item = CONTAINER_OF(node, struct item, node);

    item->visits++;
    if (item->key < visit->remove_below) {
        hash_remove(visit->table, node);
        memset(node, 0xAA, sizeof(*node)); /* as freed memory would be */
    }
}

START_TEST(test_each_may_remove)
{
    struct hash table = {0};
    struct item items[1000] = {0};
    struct visit visit = {.table = &table, .remove_below = 700};

    for (uint64_t i = 0; i < ARRAY_LEN(items); i++) {
        items[i].key = i;
        ck_assert_int_eq(hash_insert(&table, &items[i].node, hash_u64(i)), 0);
    }
    hash_each(&table, on_item, &visit);
    ck_assert_uint_eq(table.count, 300);
    for (uint64_t i = 0; i < ARRAY_LEN(items); i++) {
        ck_assert_uint_eq(items[i].visits, 1);
        ck_assert_ptr_eq(find(&table, i, hash_u64(i)), i < 700 ? NULL : &items[i]);
    }
    hash_fini(&table);
}
END_TEST

START_TEST(test_functions)
{
    ck_assert(hash_bytes("alice", 5) == hash_bytes("alice", 5));
    ck_assert(hash_bytes("alice", 5) != hash_bytes("alicf", 5));
    ck_assert(hash_bytes("alice", 5) != hash_bytes("alice", 4));
    ck_assert(hash_bytes(NULL, 0) == hash_bytes("x", 0));
    ck_assert(hash_u64(1) == hash_u64(1));
    ck_assert(hash_u64(1) != hash_u64(2));
    /* ("ab", "c") is another key than ("a", "bc"). */
    ck_assert(hash_more(hash_bytes("ab", 2), "c", 1) != hash_more(hash_bytes("a", 1), "bc", 2));
    ck_assert(hash_more(hash_bytes("a", 1), "b", 1) == hash_more(hash_bytes("a", 1), "b", 1));
}
END_TEST

/* This program again, as a process with a seed of its own (also with CK_FORK=no). */
static int print_hash(void)
{
    uint64_t hash = hash_u64(1);

    return write(STDOUT_FILENO, &hash, sizeof(hash)) == sizeof(hash) ? 0 : 1;
}

START_TEST(test_seed_differs_between_processes)
{
    int fds[2], status;
    uint64_t theirs = 0;

    ck_assert_int_eq(pipe(fds), 0);
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        if (dup2(fds[1], STDOUT_FILENO) >= 0)
            execl("/proc/self/exe", "test_hash", "print-hash", (char *)NULL);
        _exit(2);
    }
    ck_assert_int_eq(read(fds[0], &theirs, sizeof(theirs)), sizeof(theirs));
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
    close(fds[0]);
    close(fds[1]);
    ck_assert(theirs != hash_u64(1));
}
END_TEST

static Suite *make_suite(void)
{
    Suite *suite = suite_create("hash");
    TCase *table = tcase_create("table");
    TCase *functions = tcase_create("functions");

    tcase_add_test(table, test_empty);
    tcase_add_test(table, test_many);
    tcase_add_test(table, test_one_chain);
    tcase_add_test(table, test_each_may_remove);
    tcase_add_test(functions, test_functions);
    tcase_add_test(functions, test_seed_differs_between_processes);
    suite_add_tcase(suite, table);
    suite_add_tcase(suite, functions);
    return suite;
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "print-hash") == 0)
        return print_hash();

    return run_suite(make_suite());
}
