/* store_late_cut - what nobody waits for, when the database refuses it for what it holds.
 *
 * Kinds are parted first, then each in halves: a cursor, a move and a row of the trace are given up
 * alone. Unread counts are given up by person, for the head says up to where all of a person's
 * counts go; and then that person's are not written any more, since a head that moved on would
 * leave out what the refused row had counted. Until then nothing is lost: counts are right in
 * memory, and the next load counts from the head that is there. */
#include "broker/store_internal.h"
#include "common/auto.h"
#include "common/log.h"

#include <stdlib.h>

/* What stays together. */
static const struct group {
    uint8_t first, count; /* parts */
} groups[] = {{LATE_CURSORS, 1}, {LATE_MOVES, 1}, {LATE_UNREAD, 2}, {LATE_TRACE, 1}};

/* The device of a cursor or of a row of the trace. */
#define DEVICE_COLUMN 1

static bool group_any(const struct batch *batch, const struct group *group)
{
    return late_rows(batch, group->first) > 0;
}

/* The first that has rows; NULL: there is nothing. */
static const struct group *first_group(const struct batch *batch)
{
    for (size_t i = 0; i < ARRAY_LEN(groups); i++) {
        if (group_any(batch, &groups[i]))
            return &groups[i];
    }
    return NULL;
}

static bool alone(const struct batch *batch, const struct group *group)
{
    for (size_t i = 0; i < ARRAY_LEN(groups); i++) {
        if (&groups[i] != group && group_any(batch, &groups[i]))
            return false;
    }
    return true;
}

/* Rows, or people with unread counts. */
static uint32_t units(const struct batch *batch, const struct group *group)
{
    return late_rows(batch, group->first == LATE_UNREAD ? LATE_HEADS : group->first);
}

bool late_any(const struct batch *batch)
{
    return first_group(batch) != NULL;
}

bool late_divides(const struct batch *batch)
{
    const struct group *group = first_group(batch);

    return group && (!alone(batch, group) || units(batch, group) > 1);
}

static void move_users(struct late_users *from, struct late_users *to)
{
    free(to->list);
    *to = *from;
    *from = (struct late_users){0};
}

static void move_part(struct batch *from, enum late_part part, struct batch *to)
{
    struct pg_array *source = late_columns(from, part), *target = late_columns(to, part);

    for (unsigned i = 0; i < late_column_count(part); i++) {
        pg_array_fini(&target[i]);
        target[i] = source[i];
        source[i] = (struct pg_array){0};
    }
    if (part == LATE_CURSORS)
        move_users(&from->late_cursors, &to->late_cursors);
    else if (part == LATE_HEADS)
        move_users(&from->late_heads, &to->late_heads);
    to->late_taken = true;
}

void late_move(struct batch *from, struct batch *to)
{
    for (int part = 0; part < LATE_PARTS; part++)
        move_part(from, part, to);
    from->late_taken = false;
}

/* The first row of LATE_UNREAD that is not one of the first so many people. */
static uint32_t first_count(struct batch *batch, uint32_t people)
{
    const struct pg_array *users = late_columns(batch, LATE_UNREAD);
    const struct pg_array *heads = late_columns(batch, LATE_HEADS);
    uint32_t row = 0;

    for (uint32_t i = 0; i < people; i++) {
        while (row < users->count && pg_array_at(users, row) == pg_array_at(heads, i))
            row++;
    }
    return row;
}

static int copy_part(struct batch *from, enum late_part part, uint32_t first, struct batch *to)
{
    struct pg_array *source = late_columns(from, part), *target = late_columns(to, part);

    for (unsigned i = 0; i < late_column_count(part); i++) {
        if (pg_array_copy(&source[i], first, &target[i]) < 0)
            return ERR_NO_MEMORY;
    }
    return 0;
}

static void forget_part(struct batch *batch, enum late_part part)
{
    for (unsigned i = 0; i < late_column_count(part); i++)
        late_columns(batch, part)[i].count = 0;
}

static int copy_users(const struct late_users *from, uint32_t first, struct late_users *to)
{
    uint32_t count = from->count - first;

    to->list = calloc(count, sizeof(struct user *));
    if (!to->list)
        return ERR_NO_MEMORY;
    memcpy(to->list, from->list + first, count * sizeof(struct user *));
    to->count = to->cap = count;
    return 0;
}

static struct late_users *users_of(struct batch *batch, const struct group *group)
{
    if (group->first == LATE_CURSORS)
        return &batch->late_cursors;
    return group->first == LATE_UNREAD ? &batch->late_heads : NULL;
}

static int halve(struct batch *from, const struct group *group, struct batch *to)
{
    uint32_t at = units(from, group) / 2;
    uint32_t row = group->first == LATE_UNREAD ? first_count(from, at) : at;
    struct late_users *users = users_of(from, group);
    int r = copy_part(from, group->first, row, to);

    if (r == 0 && group->count > 1)
        r = copy_part(from, LATE_HEADS, at, to);
    if (r == 0 && users)
        r = copy_users(users, at, users_of(to, group));
    if (r < 0) {
        for (int i = 0; i < group->count; i++)
            forget_part(to, group->first + i);
        return r;
    }
    for (unsigned i = 0; i < late_column_count(group->first); i++)
        pg_array_truncate(&late_columns(from, group->first)[i], row);
    for (unsigned i = 0; group->count > 1 && i < late_column_count(LATE_HEADS); i++)
        pg_array_truncate(&late_columns(from, LATE_HEADS)[i], at);
    if (users)
        users->count = at;
    to->late_taken = true;
    return 0;
}

int late_cut(struct batch *from, struct batch *to)
{
    const struct group *group = first_group(from);

    if (alone(from, group))
        return halve(from, group, to);
    for (int part = group->first + group->count; part < LATE_PARTS; part++)
        move_part(from, part, to);
    return 0;
}

/* --- what stands alone --- */

static void give_up_cursor(struct batch *batch)
{
    const struct user *user = batch->late_cursors.list[0];
    int64_t no = pg_array_at(&late_columns(batch, LATE_CURSORS)[DEVICE_COLUMN], 0);
    const struct device *device;

    TAILQ_FOREACH(device, &user->devices, link)
    {
        if (device->no == (uint64_t)no)
            break;
    }
    log_error(NULL,
              "the database refuses a cursor, given up until it moves again: user=%s device=%s: %s",
              user->id, device ? device->id : "(gone)", batch->error);
}

static void give_up_row(struct batch *batch, enum late_part part, const char *what)
{
    const struct pg_array *columns = late_columns(batch, part);

    log_error(NULL, "the database refuses %s, given up: user_no=%lld device_no=%lld: %s", what,
              (long long)pg_array_at(&columns[0], 0),
              (long long)pg_array_at(&columns[DEVICE_COLUMN], 0), batch->error);
}

static void give_up_counts(struct store *store, struct batch *batch)
{
    struct user *user = batch->late_heads.list[0];

    log_error(NULL,
              "the database refuses unread counts, they are in memory only until the person reads "
              "something: user=%s: %s",
              user->id, batch->error);
    late_refuse_counts(store, user);
}

void late_give_up(struct store *store, struct batch *batch)
{
    const struct group *group = first_group(batch);

    if (!group)
        return;
    if (group->first == LATE_CURSORS)
        give_up_cursor(batch);
    else if (group->first == LATE_UNREAD)
        give_up_counts(store, batch);
    else if (group->first == LATE_MOVES)
        give_up_row(batch, LATE_MOVES, "what is known of an acknowledgement");
    else
        give_up_row(batch, LATE_TRACE, "a row of the trace");
    store->broker->metrics.writes_given_up++;
    late_forget(store->broker, batch);
}
