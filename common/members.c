/* members - see the header. A sorted array: lists are short, and change when a broker comes or
 * goes. */
#include "common/members.h"

#include <string.h>

#include "common/owner.h"

static bool printable(struct bytes text, uint32_t max)
{
    if (text.len == 0 || text.len > max)
        return false;
    for (uint32_t i = 0; i < text.len; i++) {
        if (text.data[i] <= ' ' || text.data[i] > '~')
            return false;
    }
    return true;
}

/* As strcmp: a name that another begins with comes first. */
static int compare(struct bytes a, struct bytes b)
{
    uint32_t len = a.len < b.len ? a.len : b.len;
    int order = len == 0 ? 0 : memcmp(a.data, b.data, len);

    return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

/* Where name is or belongs; *ret_found tells which. */
static unsigned place_of(const struct members *members, struct bytes name, bool *ret_found)
{
    unsigned i = 0;
    int order = 1;

    for (; i < members->count; i++) {
        order = compare(bytes_of_string(members->all[i].name), name);
        if (order >= 0)
            break;
    }
    *ret_found = order == 0;
    return i;
}

int members_add(struct members *members, struct bytes name, struct bytes endpoint)
{
    bool found;
    unsigned at = place_of(members, name, &found);
    struct member *member = &members->all[at];

    if (found || !printable(name, MEMBER_NAME_MAX) || !printable(endpoint, MEMBER_ENDPOINT_MAX))
        return ERR_MALFORMED;
    if (members->count == MEMBERS_MAX)
        return ERR_TOO_LARGE;
    memmove(member + 1, member, (members->count - at) * sizeof(*member));
    *member = (struct member){.hash = owner_hash(name)};
    memcpy(member->name, name.data, name.len);
    memcpy(member->endpoint, endpoint.data, endpoint.len);
    members->count++;
    return 0;
}

const struct member *members_find(const struct members *members, struct bytes name)
{
    bool found;
    unsigned at = place_of(members, name, &found);

    return found ? &members->all[at] : NULL;
}

bool members_equal(const struct members *a, const struct members *b)
{
    if (a->generation != b->generation || a->count != b->count)
        return false;
    for (unsigned i = 0; i < a->count; i++) {
        if (strcmp(a->all[i].name, b->all[i].name) != 0 ||
            strcmp(a->all[i].endpoint, b->all[i].endpoint) != 0)
            return false;
    }
    return true;
}

int members_read(const struct wire_members *record, struct members *ret_members)
{
    struct members members = {.generation = record->generation};
    struct wire_list list = record->list;
    struct wire_member member;
    struct bytes last = {0};

    if (list.count == 0)
        return ERR_MALFORMED;
    while (wire_member_next(&list, &member) == 1) {
        if (compare(last, member.name) >= 0)
            return ERR_MALFORMED;
        int r = members_add(&members, member.name, member.endpoint);
        if (r < 0)
            return r;
        last = member.name;
    }
    *ret_members = members;
    return 0;
}

uint16_t members_list(const struct members *members, struct wire_member ret_list[MEMBERS_MAX])
{
    for (unsigned i = 0; i < members->count; i++) {
        ret_list[i] = (struct wire_member){
            .name = bytes_of_string(members->all[i].name),
            .endpoint = bytes_of_string(members->all[i].endpoint),
        };
    }
    return (uint16_t)members->count;
}
