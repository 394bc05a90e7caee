/* device_rules - a hash table by device token in lower case: O(1) for each push. */
#include "device_rules.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/auto.h"
#include "common/hash.h"

#include "rules.h"

/* Below 100 MB even if each is of the longest kind. */
#define RULES_MAX 100000
#define GONE 410

struct entry {
    struct hash_node node;
    struct device_rule rule;
    char device[]; /* lower case */
};

struct device_rules {
    struct hash table;
};

static uint64_t hash_device(const char *device)
{
    uint64_t hash = 0;
    char lower[64];
    size_t n;

    for (; *device != '\0'; device += n) {
        for (n = 0; n < sizeof(lower) && device[n] != '\0'; n++)
            lower[n] = device[n] >= 'A' && device[n] <= 'F' ? (char)(device[n] | 0x20) : device[n];
        hash = hash_more(hash, lower, n);
    }
    return hash;
}

static bool match_device(const struct hash_node *node, const void *key)
{
    return strcasecmp(CONTAINER_OF(node, struct entry, node)->device, key) == 0;
}

static struct entry *find(const struct device_rules *rules, const char *device)
{
    struct hash_node *node = hash_find(&rules->table, hash_device(device), match_device, device);

    return node != NULL ? CONTAINER_OF(node, struct entry, node) : NULL;
}

struct device_rules *device_rules_create(void)
{
    return calloc(1, sizeof(struct device_rules));
}

static void on_free_node(struct hash_node *node, void *arg)
{
    hash_remove(arg, node);
    free(CONTAINER_OF(node, struct entry, node));
}

void device_rules_destroy(struct device_rules *rules)
{
    if (rules == NULL)
        return;
    hash_each(&rules->table, on_free_node, &rules->table);
    hash_fini(&rules->table);
    free(rules);
}

int device_rules_put(struct device_rules *rules, const char *device, const struct device_rule *rule)
{
    struct entry *entry = find(rules, device);
    size_t size = strlen(device) + 1;

    if (entry != NULL) {
        entry->rule = *rule;
        return 0;
    }
    if (rules->table.count >= RULES_MAX)
        return ERR_FULL;
    entry = malloc(sizeof(*entry) + size);
    if (entry == NULL)
        return ERR_NO_MEMORY;
    entry->rule = *rule;
    memcpy(entry->device, device, size);
    if (hash_insert(&rules->table, &entry->node, hash_device(device)) < 0) {
        free(entry);
        return ERR_NO_MEMORY;
    }
    return 0;
}

int device_rules_remove(struct device_rules *rules, const char *device)
{
    struct entry *entry = find(rules, device);

    if (entry == NULL)
        return ERR_NOT_FOUND;
    hash_remove(&rules->table, &entry->node);
    free(entry);
    return 0;
}

const struct device_rule *device_rules_find(const struct device_rules *rules, const char *device)
{
    const struct entry *entry = find(rules, device);

    return entry != NULL ? &entry->rule : NULL;
}

static int check_bindings(const struct device_rule *rule, struct json_problem *problem)
{
    if (rule->topic[0] != '\0' && !rules_topic_valid(rule->topic))
        return json_problem_set(problem, "topic", "\"topic\" is not a bundle id");
    if (rule->environment[0] != '\0' && strcmp(rule->environment, "development") != 0 &&
        strcmp(rule->environment, "production") != 0)
        return json_problem_set(problem, "environment",
                                "\"environment\" must be \"development\" or \"production\"");
    return 0;
}

int device_rule_read(const char *text, size_t len, uint64_t now_ms, struct device_rule *ret_rule,
                     struct json_problem *ret_problem)
{
    struct device_rule read = {0};
    uint64_t status = 0;
    const struct json_field fields[] = {
        {"status", FIELD_UINT, &status, NULL, 200, 599},
        {"reason", FIELD_TEXT, read.answer.reason, NULL, 0, REASON_TEXT_MAX},
        {"timestamp", FIELD_UINT, &read.answer.timestamp_ms, NULL, 1, INT64_MAX},
        {"topic", FIELD_TEXT, read.topic, NULL, 0, DEVICE_TOPIC_MAX},
        {"environment", FIELD_TEXT, read.environment, NULL, 0, DEVICE_ENVIRONMENT_MAX},
    };
    int r = json_fields_read(text, len, fields, ARRAY_LEN(fields), ret_problem);

    if (r < 0)
        return r;
    read.answer.status = (unsigned)status;
    r = answer_complete(&read.answer, ret_problem);
    if (r == 0)
        r = check_bindings(&read, ret_problem);
    if (r < 0)
        return r;
    if (read.answer.status == GONE && read.answer.timestamp_ms == 0)
        read.answer.timestamp_ms = now_ms;
    if (read.answer.timestamp_ms != 0 && read.answer.status != GONE)
        return json_problem_set(ret_problem, "timestamp", "only status 410 has a \"timestamp\"");
    if (read.answer.status == 0 && read.topic[0] == '\0' && read.environment[0] == '\0')
        return json_problem_set(ret_problem, "",
                                "expected \"status\", \"topic\" or \"environment\"");
    *ret_rule = read;
    return 0;
}
