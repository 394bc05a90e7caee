/* membership - see the header.
 *
 * Problem: a broker must know that it may serve its people, and stop as soon as it can't know.
 * Method: rounds. A round renews the lease (or joins), removes members whose lease is over, and
 * reads the view; each is a transaction of its own, so that no lock of one waits for the other. A
 * round begins a third of a lease after the last one, at once when the database says that the
 * members changed (NOTIFY), when somebody spoke of another view, or when the connection is back.
 * The lease counts from when its renewal was sent, on the monotonic clock. Cost: three short
 * statements a round. */
#include "broker/membership.h"

#include "broker/membership_sql.h"
#include "broker/pg_array.h"
#include "broker/pg_target.h"
#include "common/auto.h"
#include "common/log.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

/* Rounds in a lease: two of them may fail. */
#define ROUNDS_A_LEASE 3
/* Of a lease, left unused: what clocks and a busy machine may differ by. */
#define MARGIN_PART 5
/* After a round that the database refused. */
#define RETRY_MS 500

struct membership {
    struct membership_config config;
    struct membership_events events;
    void *arg;
    uint8_t instance[MEMBER_INSTANCE_SIZE];
    struct pg *pg;
    struct timer round_timer, lease_timer;
    struct members view;                        /* as last read */
    uint8_t own_instance[MEMBER_INSTANCE_SIZE]; /* of this broker's name in it */
    uint64_t told_generation;                   /* of the last on_view */
    uint64_t floor;                             /* to be exceeded by joining; 0 = none */
    bool wanted;                                /* to be a member; else to leave */
    bool member;                                /* joined, and not found otherwise since */
    bool fresh;                                 /* joined since the last on_view */
    bool held;                                  /* the lease, as last told */
    bool left_told;

    /* the round under way */
    bool busy, again, failed;
    bool renewed; /* in this round */
    uint64_t sent_ms;

    uint64_t lease_until_ms; /* monotonic, margin taken off */
    uint64_t steady_ms;      /* first renewal over this connection; 0 = none */
};

static void round_run(struct membership *m);

static uint64_t now_ms(const struct membership *m)
{
    return loop_now_ms(m->config.loop);
}

static void round_after(struct membership *m, uint64_t delay_ms)
{
    loop_timer_cancel(m->config.loop, &m->round_timer);
    loop_timer_add(m->config.loop, &m->round_timer, delay_ms);
}

static void on_round_timer(struct timer *timer)
{
    round_run(CONTAINER_OF(timer, struct membership, round_timer));
}

/* --- the lease --- */

static void on_lease_timer(struct timer *timer)
{
    struct membership *m = CONTAINER_OF(timer, struct membership, lease_timer);

    if (!m->held)
        return;
    m->held = false;
    m->events.on_lease(m->arg, false);
}

static void lease_renewed(struct membership *m)
{
    uint64_t lease_ms = m->config.lease_ms;

    m->lease_until_ms = m->sent_ms + lease_ms - lease_ms / MARGIN_PART;
    if (m->steady_ms == 0)
        m->steady_ms = m->sent_ms;
    loop_timer_cancel(m->config.loop, &m->lease_timer);
    loop_timer_add(m->config.loop, &m->lease_timer, membership_lease_left_ms(m));
}

uint64_t membership_lease_left_ms(const struct membership *m)
{
    return m->member && m->lease_until_ms > now_ms(m) ? m->lease_until_ms - now_ms(m) : 0;
}

/* After an outage of the database everybody's lease looks over: others get a whole lease time to
 * come back before one that came back itself removes them. */
static bool may_remove(const struct membership *m)
{
    return m->member && m->steady_ms != 0 && now_ms(m) - m->steady_ms >= m->config.lease_ms;
}

/* --- a round --- */

static bool succeeded(struct membership *m, const PGresult *result, const char *what)
{
    if (result && PQresultStatus(result) == PGRES_TUPLES_OK)
        return true;
    m->failed = true;
    if (result && PQresultStatus(result) != PGRES_PIPELINE_ABORTED)
        log_limited(now_ms(m), LOG_ERROR, NULL, "could not %s: %.*s", what,
                    (int)strcspn(PQresultErrorMessage(result), "\n"), PQresultErrorMessage(result));
    return false;
}

static void on_joined(void *arg, const PGresult *result)
{
    struct membership *m = arg;

    if (!succeeded(m, result, "join the brokers"))
        return;
    if ((uint64_t)pg_get_int8(result, 0, 0) <= m->floor) {
        m->failed = true; /* it could not be raised: joins once more */
        return;
    }
    m->member = m->fresh = m->renewed = true;
    m->floor = 0;
    log_info(NULL, "joined the brokers as \"%s\": generation of ownership is %lld", m->config.name,
             (long long)pg_get_int8(result, 0, 0));
}

static void on_floor(void *arg, const PGresult *result)
{
    IGNORE_RESULT(succeeded(arg, result, "raise the generation of ownership"));
}

static void on_renewed(void *arg, const PGresult *result)
{
    struct membership *m = arg;

    if (!succeeded(m, result, "renew the lease"))
        return;
    m->renewed = pg_get_bool(result, 0, 0);
    m->member = m->renewed; /* else the view says why */
}

static void on_left(void *arg, const PGresult *result)
{
    struct membership *m = arg;

    if (succeeded(m, result, "leave the brokers"))
        m->member = m->fresh = false;
}

static void on_removed(void *arg, const PGresult *result)
{
    struct membership *m = arg;

    if (succeeded(m, result, "remove brokers whose lease is over") && pg_get_int8(result, 0, 0) > 0)
        log_warning(NULL, "removed %lld brokers whose lease was over",
                    (long long)pg_get_int8(result, 0, 0));
}

static void take_member(struct membership *m, const PGresult *result, int row)
{
    struct bytes name = pg_get_bytes(result, row, MEMBERS_NAME);
    struct bytes instance = pg_get_bytes(result, row, MEMBERS_INSTANCE);
    int r = members_add(&m->view, name, pg_get_bytes(result, row, MEMBERS_ENDPOINT));

    if (r < 0) {
        log_limited(now_ms(m), LOG_ERROR, NULL, "ignoring a row of table broker, \"%.*s\": %s",
                    BYTES_FMT(name), err_string(r));
        return;
    }
    if (bytes_equal_string(name, m->config.name) && instance.len == MEMBER_INSTANCE_SIZE)
        memcpy(m->own_instance, instance.data, instance.len);
}

static void on_members(void *arg, const PGresult *result)
{
    struct membership *m = arg;

    if (!succeeded(m, result, "read who the brokers are"))
        return;
    if (PQntuples(result) == 0) {
        m->failed = true;
        return;
    }
    pg_target_waits(m->config.target, pg_get_bool(result, 0, MEMBERS_SYNCHRONOUS));
    m->view.generation = (uint64_t)pg_get_int8(result, 0, MEMBERS_GENERATION);
    m->view.count = 0;
    for (int row = 0; row < PQntuples(result); row++) {
        if (!PQgetisnull(result, row, MEMBERS_NAME))
            take_member(m, result, row);
    }
}

static void on_round_end(void *arg, bool ok);

static int query_self(struct membership *m, int statement, const char *endpoint, pg_result_fn fn)
{
    uint64_t lease_ms = htobe64(m->config.lease_ms);
    const char *values[4] = {m->config.name, (const char *)m->instance};
    int lengths[4] = {(int)strlen(m->config.name), MEMBER_INSTANCE_SIZE};
    int count = 2;

    if (endpoint) {
        values[count] = endpoint;
        lengths[count++] = (int)strlen(endpoint);
    }
    values[count] = (const char *)&lease_ms;
    lengths[count] = sizeof(lease_ms);
    return pg_query(m->pg, statement, values, lengths, fn, m);
}

static int query_remove(struct membership *m)
{
    uint64_t lease_ms = htobe64(m->config.lease_ms);
    const char *values[1] = {(const char *)&lease_ms};
    const int lengths[1] = {sizeof(lease_ms)};
    int r = pg_query(m->pg, SQL_MEMBERS_REMOVE, values, lengths, on_removed, m);

    return r < 0 ? r : pg_sync(m->pg, NULL, NULL);
}

/* A transaction of its own: it holds the row that whoever joins writes to, and they have the lock.
 */
static int query_floor(struct membership *m)
{
    uint64_t floor = htobe64(m->floor);
    const char *values[1] = {(const char *)&floor};
    const int lengths[1] = {sizeof(floor)};
    int r = pg_query(m->pg, SQL_MEMBERS_FLOOR, values, lengths, on_floor, m);

    return r < 0 ? r : pg_sync(m->pg, NULL, NULL);
}

static int send_round(struct membership *m)
{
    int r = m->wanted && !m->member && m->floor > 0 ? query_floor(m) : 0;

    if (r < 0)
        return r;
    if (!m->wanted && m->member)
        r = query_self(m, SQL_MEMBERS_LEAVE, NULL, on_left);
    else if (!m->wanted)
        ; /* only looks who is there */
    else if (m->member)
        r = query_self(m, SQL_MEMBERS_RENEW, NULL, on_renewed);
    else
        r = query_self(m, SQL_MEMBERS_JOIN, m->config.endpoint, on_joined);
    if (r == 0)
        r = pg_sync(m->pg, NULL, NULL);
    if (r == 0 && may_remove(m))
        r = query_remove(m);
    if (r == 0)
        r = pg_query(m->pg, SQL_MEMBERS_READ, NULL, NULL, on_members, m);
    return r < 0 ? r : pg_sync(m->pg, on_round_end, m);
}

static void round_run(struct membership *m)
{
    if (m->busy) {
        m->again = true;
        return;
    }
    if (!pg_ready(m->pg))
        return; /* on_ready runs one */
    m->busy = true;
    m->again = m->failed = m->renewed = false;
    m->sent_ms = now_ms(m);
    loop_timer_cancel(m->config.loop, &m->round_timer);
    if (send_round(m) < 0) {
        m->busy = false;
        pg_reset(m->pg, "could not send a round of membership");
    }
}

/* --- what a round found --- */

static void judge(struct membership *m)
{
    bool listed = members_find(&m->view, bytes_of_string(m->config.name)) != NULL;

    if (!m->wanted) {
        if (!m->member && !m->left_told) {
            m->left_told = true;
            m->events.on_left(m->arg);
        }
        return;
    }
    if (listed && memcmp(m->own_instance, m->instance, MEMBER_INSTANCE_SIZE) != 0) {
        m->member = false;
        m->wanted = false;
        m->left_told = true; /* it ends */
        m->events.on_replaced(m->arg);
        return;
    }
    if (!listed) {
        m->member = false;
        m->again = true; /* joins */
        log_warning(NULL, "this broker's lease was over and it was removed, joining again");
        return;
    }
    if (m->renewed)
        lease_renewed(m);
    if (m->fresh || m->view.generation != m->told_generation) {
        bool fresh = m->fresh;

        m->fresh = false;
        m->told_generation = m->view.generation;
        m->events.on_view(m->arg, &m->view, fresh);
    }
    if (!m->held && membership_lease_left_ms(m) > 0) {
        m->held = true;
        m->events.on_lease(m->arg, true);
    }
}

static void on_round_end(void *arg, bool ok)
{
    struct membership *m = arg;

    m->busy = false;
    if (!ok)
        return; /* on_lost follows */
    if (!m->failed)
        judge(m);
    if (m->failed)
        round_after(m, RETRY_MS);
    else if (m->again)
        round_after(m, 0);
    else
        round_after(m, m->config.lease_ms / ROUNDS_A_LEASE);
}

/* --- the connection --- */

static void on_ready(void *arg)
{
    struct membership *m = arg;

    m->steady_ms = 0;
    if (pg_query(m->pg, SQL_MEMBERS_LISTEN, NULL, NULL, NULL, NULL) < 0 ||
        pg_sync(m->pg, NULL, NULL) < 0)
        return; /* on_lost follows, and a new connection */
    round_run(m);
}

static void on_lost(void *arg, const char *reason)
{
    struct membership *m = arg;

    (void)reason; /* pg has logged it */
    m->busy = false;
    m->steady_ms = 0;
}

static void on_notify(void *arg)
{
    round_run(arg);
}

/* --- calls --- */

void membership_look(struct membership *m)
{
    if (!m->busy)
        round_run(m);
    else
        m->again = true;
}

void membership_leave(struct membership *m)
{
    m->wanted = m->left_told = false;
    round_run(m);
}

void membership_start_over(struct membership *m, uint64_t generation)
{
    uint64_t seen =
        m->view.generation > m->told_generation ? m->view.generation : m->told_generation;

    m->floor = generation > seen ? generation : seen;
    m->member = m->fresh = false;
    m->steady_ms = 0;
    round_run(m);
}

void membership_rejoin(struct membership *m)
{
    m->wanted = true;
    round_run(m);
}

const struct members *membership_last_view(const struct membership *m)
{
    return &m->view;
}

struct membership *membership_create(const struct membership_config *config,
                                     const struct membership_events *events, void *arg)
{
    static const struct pg_events pg_events = {on_ready, on_lost, on_notify};
    struct membership *m = calloc(1, sizeof(*m));

    if (!m)
        return NULL;
    m->config = *config;
    m->events = *events;
    m->arg = arg;
    m->wanted = true;
    timer_init(&m->round_timer, on_round_timer);
    timer_init(&m->lease_timer, on_lease_timer);
    if (getrandom(m->instance, sizeof(m->instance), 0) == (ssize_t)sizeof(m->instance))
        m->pg = pg_create(config->loop, "membership", config->target, sql_membership,
                          SQL_MEMBERSHIP_COUNT, &pg_events, m);
    if (!m->pg) {
        free(m);
        return NULL;
    }
    return m;
}

void membership_destroy(struct membership *m)
{
    if (!m)
        return;
    loop_timer_cancel(m->config.loop, &m->round_timer);
    loop_timer_cancel(m->config.loop, &m->lease_timer);
    pg_destroy(m->pg);
    free(m);
}
