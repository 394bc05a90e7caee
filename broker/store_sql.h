/* store_sql - every SQL statement of the broker's running life, and nothing else. (The statements
 * of its start are in schema_check.c.) Parameters are described beside each text. */
#ifndef BECKON_BROKER_STORE_SQL_H
#define BECKON_BROKER_STORE_SQL_H

#include "broker/pg.h"

/* Two-part advisory lock key of ownership: ("beck" as int4, 1). Batches take it shared, a change of
 * membership exclusively. */
#define SQL_OWNERSHIP_LOCK "1650811755, 1"
/* The same of the janitor: one broker at a time does the chores. */
#define SQL_JANITOR_KEY "1650811755, 2"

/* Commits wait for a standby. */
#define SQL_SYNCHRONOUS                                                                            \
    "current_setting('synchronous_commit') NOT IN ('off', 'local')"                                \
    " AND current_setting('synchronous_standby_names') <> ''"

/* What a server says of itself, one row, and how this session is to be watched: the server must
 * notice that a broker's machine is gone before its locks are in anybody's way. (The timeline in
 * the last checkpoint is older than a promotion for a while; the name of the log's file is not.) */
#define SQL_SERVER                                                                                 \
    "SELECT s.system_identifier, pg_is_in_recovery(),"                                             \
    " current_setting('transaction_read_only')::bool AND NOT pg_is_in_recovery(),"                 \
    " CASE WHEN pg_is_in_recovery() THEN 0 ELSE"                                                   \
    " ('x' || substr(pg_walfile_name(pg_current_wal_flush_lsn()), 1, 8))::bit(32)::int8 END,"      \
    " CASE WHEN pg_is_in_recovery() THEN 0 ELSE"                                                   \
    " pg_wal_lsn_diff(pg_current_wal_flush_lsn(), '0/0') END,"                                     \
    " " SQL_SYNCHRONOUS ","                                                                        \
    " set_config('tcp_keepalives_idle', '5', false),"                                              \
    " set_config('tcp_keepalives_interval', '2', false),"                                          \
    " set_config('tcp_keepalives_count', '3', false),"                                             \
    " set_config('tcp_user_timeout', '10000', false)"                                              \
    " FROM pg_control_system() s"
enum {
    SERVER_SYSTEM_ID,
    SERVER_STANDBY,
    SERVER_READ_ONLY,
    SERVER_TIMELINE,
    SERVER_FLUSHED,
    SERVER_SYNCHRONOUS
};

/* A commit that writes something to the log and changes nothing: with a synchronous standby it ends
 * when the standby has everything that can be seen now. */
#define SQL_BARRIER "SELECT pg_logical_emit_message(true, 'beckon', '')"

enum sql_writer {
    SQL_BEGIN,
    SQL_LOCK,
    SQL_FENCE,
    SQL_PUT,
    SQL_PUT_ONCE,
    SQL_SESSION_CLEAR,
    SQL_SESSION_PUT,
    SQL_USERS_PUT,
    SQL_SESSION_FIRST,
    SQL_SESSION_LEAVE,
    SQL_SUBSCRIPTION_PUT,
    SQL_SUBSCRIPTION_DROP,
    SQL_DEVICE_PUT,
    SQL_PUSH_EVICT,
    SQL_PUSH_PUT,
    SQL_PUSH_DROP,
    SQL_CURSORS,
    SQL_MOVES,
    SQL_UNREAD,
    SQL_COUNTED,
    SQL_TRACE,
    SQL_COMMIT,
    SQL_ROLLBACK,
    SQL_CURSORS_LEFT,
    SQL_CARRY_PEOPLE,
    SQL_CARRY_DEVICES,
    SQL_WRITER_COUNT
};

enum sql_reader {
    SQL_READER_PLANS,
    SQL_LOAD_USERS,
    SQL_LOAD_DEVICES,
    SQL_LOAD_SESSIONS,
    SQL_LOAD_UNREAD,
    SQL_LOOKUP,
    SQL_RECOVER,
    SQL_FETCH,
    SQL_RECHECK,
    SQL_RECOUNT,
    SQL_READER_COUNT
};

extern const struct pg_statement sql_writer[SQL_WRITER_COUNT];
extern const struct pg_statement sql_reader[SQL_READER_COUNT];

enum sql_janitor {
    SQL_CLOCK,
    SQL_JANITOR_LOCK,
    SQL_JANITOR_UNLOCK,
    SQL_MAKE_NEXT,
    SQL_RETIRE_NEXT,
    SQL_DROP_INBOX,
    SQL_DROP_DEDUPE,
    SQL_DROP_TRACE,
    SQL_DROP_MOVES,
    SQL_SWEEP_NEXT,
    SQL_DROP_SESSIONS,
    SQL_RETENTION_STATE,
    SQL_JANITOR_COUNT
};
extern const struct pg_statement sql_janitor[SQL_JANITOR_COUNT];
enum { STATE_OLDEST_MS, STATE_AHEAD_MS, STATE_STRAYS };

enum sql_api { SQL_API_TRACE, SQL_API_COUNT };
extern const struct pg_statement sql_api[SQL_API_COUNT];
enum {
    TRACE_USER_ID,
    TRACE_SEQ_NO,
    TRACE_KIND,
    TRACE_FROM,
    TRACE_SENT_AT,
    TRACE_EXPIRES_AT,
    TRACE_READ,
    TRACE_DEVICE_ID,
    TRACE_ACKED,
    TRACE_ALERTED,
    TRACE_ORIGIN, /* it was sent from this device */
    TRACE_PASSED, /* why the cursor passes it without an acknowledgement, or null */
    TRACE_OVER,   /* nobody gets it any more */
    TRACE_EVENT_AT,
    TRACE_EVENT_STEP,
    TRACE_EVENT_OUTCOME,
    TRACE_EVENT_REASON,
    TRACE_EVENT_TOOK
};

/* inbox.flags */
#define PUT_FLAG_SERVICE 1
#define PUT_FLAG_MISDATED 2 /* expires_at is its end, whatever sent_at says */

/* Columns of results. */
enum { PUT_ONCE_ORD, PUT_ONCE_SEQ, PUT_ONCE_MID, PUT_ONCE_SAME };
enum { SESSION_FIRST_USER, SESSION_FIRST_NO };
enum { DEVICE_PUT_USER, DEVICE_PUT_ID, DEVICE_PUT_NO, DEVICE_PUT_ACKED, DEVICE_PUT_SENT };
enum {
    LOAD_USER_ID,
    LOAD_USER_NO,
    LOAD_USER_LAST_SEQ,
    LOAD_USER_MAX_ACKED,
    LOAD_USER_COUNTED_UNTIL,
    LOAD_USER_MADE
};
enum { LOAD_FOUND_ORD }; /* of the three that follow */
enum { EVICTED_USER, EVICTED_DEVICE, EVICTED_TOKEN };
enum {
    LOAD_DEVICE_ORD,
    LOAD_DEVICE_NO,
    LOAD_DEVICE_ID,
    LOAD_DEVICE_ACKED,
    LOAD_DEVICE_SENT,
    LOAD_DEVICE_ALERTED,
    LOAD_DEVICE_PROVIDER,
    LOAD_DEVICE_TOKEN,
    LOAD_DEVICE_TOPIC,
    LOAD_DEVICE_ENVIRONMENT,
    LOAD_DEVICE_REGISTERED_AT
};
enum {
    LOAD_UNREAD_ORD,
    LOAD_UNREAD_GROUP,
    LOAD_UNREAD_OTHER,
    LOAD_UNREAD_READ,
    LOAD_UNREAD_COUNT,
    LOAD_UNREAD_SINCE, /* not written yet */
    LOAD_UNREAD_END    /* of the first that ends, of those */
};
enum { RECOUNT_ORD, RECOUNT_GROUP, RECOUNT_OTHER, RECOUNT_READ, RECOUNT_COUNT, RECOUNT_END };
enum { LOOKUP_SEQ, LOOKUP_LATER };
enum { RECOVER_USER, RECOVER_NEWEST };
enum {
    LOAD_SESSION_ORD,
    LOAD_SESSION_DEVICE,
    LOAD_SESSION_EXPIRY,
    LOAD_SESSION_EXPIRES_AT,
    LOAD_SESSION_FILTER,
    LOAD_SESSION_QOS,
    LOAD_SESSION_OPTIONS,
    LOAD_SESSION_SUBSCRIPTION_ID
};
enum {
    FETCH_ORD,
    FETCH_SEQ,
    FETCH_MID,
    FETCH_KIND,
    FETCH_FROM,
    FETCH_CONVERSATION,
    FETCH_ORIGIN,
    FETCH_SENT_AT,
    FETCH_EXPIRES_AT,
    FETCH_PROPERTIES,
    FETCH_PAYLOAD,
    FETCH_CONVERSATION_NO,
    FETCH_FLAGS
};

/* Of SQL_RECHECK. */
enum { RECHECK_ORD, RECHECK_DEVICE, RECHECK_ACKED, RECHECK_ALERTED };

#endif
