/* store_sql - one statement a batch and kind, whatever the number of rows: arrays in, unnest, and
 * where a row needs a lookup of its own, LATERAL ... LIMIT 1, which the planner can't turn into a
 * scan of the whole table. */
#include "broker/store_sql.h"

const struct pg_statement sql_writer[SQL_WRITER_COUNT] = {
    [SQL_BEGIN] = {"begin", "BEGIN", 0},

    [SQL_LOCK] = {"lock", "SELECT pg_advisory_xact_lock_shared(" SQL_OWNERSHIP_LOCK ")", 0},

    /* $1 generation. A statement of its own, after the lock: its snapshot is newer. */
    [SQL_FENCE] = {"fence", "SELECT beckon_fence($1::int8)", 1},

    /* The ordinary case: sequences were given in memory.
     * $1 user_no $2 seq $3 mid $4 from_no $5 conversation $6 origin_device $7 sent_at $8 expires_at
     * $9 kind $10 properties $11 payload, arrays. */
    [SQL_PUT] = {"put",
                 "INSERT INTO inbox (user_no, seq, mid, from_no, conversation, origin_device,"
                 " sent_at, expires_at, kind, properties, payload)"
                 " SELECT * FROM unnest($1::int8[], $2::int8[], $3::uuid[], $4::int8[], $5::int8[],"
                 " $6::int8[], $7::timestamptz[], $8::timestamptz[], $9::int2[], $10::bytea[],"
                 " $11::bytea[])",
                 11},

    /* When some messages may be there already: KEYs, or sends of unknown outcome.
     * As above, but $2 is the user's last committed seq before this batch; then $12 key or null,
     * $13 content hash, $14 look the MID up, $15 index of the original of a copy or -1 (arrays),
     * and $16: the outcome of an earlier try is unknown, do not trust $2. One row out for each row
     * in: its ordinal, its seq, or the MID and sameness of the known one. */
    [SQL_PUT_ONCE] =
        {"put_once",
         "WITH input AS MATERIALIZED ("
         " SELECT * FROM unnest($1::int8[], $2::int8[], $3::uuid[], $4::int8[], $5::int8[],"
         " $6::int8[], $7::timestamptz[], $8::timestamptz[], $9::int2[], $10::bytea[],"
         " $11::bytea[], $12::text[], $13::int8[], $14::bool[], $15::int4[]) WITH ORDINALITY"
         " AS t(user_no, base, mid, from_no, conversation, origin_device, sent_at, expires_at,"
         " kind, properties, payload, key, hash, resend, copy_of, ord)"
         "), known AS MATERIALIZED ("
         " SELECT i.ord, d.mid, d.hash = i.hash AS same FROM input i CROSS JOIN LATERAL ("
         "  SELECT x.mid, x.hash FROM dedupe x WHERE x.to_no = i.user_no AND x.from_no = i.from_no"
         "  AND x.key = i.key ORDER BY x.created_at LIMIT 1) d WHERE i.key IS NOT NULL"
         " UNION ALL"
         " SELECT i.ord, i.mid, true FROM input i CROSS JOIN LATERAL ("
         "  SELECT 1 FROM inbox b WHERE b.user_no = i.user_no AND b.sent_at = i.sent_at"
         "  AND b.mid = i.mid LIMIT 1) found WHERE i.resend OR ($16::bool AND i.copy_of < 0)"
         "), fresh AS MATERIALIZED ("
         " SELECT i.*, CASE WHEN $16::bool THEN greatest(i.base,"
         "   (SELECT b.seq FROM inbox b WHERE b.user_no = i.user_no ORDER BY b.seq DESC LIMIT 1))"
         "  ELSE i.base END + row_number() OVER (PARTITION BY i.user_no ORDER BY i.ord) AS seq"
         " FROM input i WHERE NOT EXISTS (SELECT FROM known k WHERE k.ord ="
         "  CASE WHEN i.copy_of < 0 THEN i.ord ELSE i.copy_of + 1 END)"
         "), stored AS ("
         " INSERT INTO inbox (user_no, seq, mid, from_no, conversation, origin_device, sent_at,"
         "  expires_at, kind, properties, payload)"
         " SELECT user_no, seq, mid, from_no, conversation, origin_device, sent_at, expires_at,"
         "  kind, properties, payload FROM fresh"
         "), remembered AS ("
         " INSERT INTO dedupe (to_no, from_no, key, hash, mid, created_at)"
         " SELECT user_no, from_no, key, hash, mid, now() FROM fresh"
         " WHERE key IS NOT NULL AND copy_of < 0"
         ") SELECT ord, seq, NULL::uuid, NULL::bool FROM fresh"
         " UNION ALL SELECT ord, 0, mid, same FROM known",
         16},

    /* $1 user_no $2 device_id, arrays. */
    [SQL_SESSION_CLEAR] =
        {"session_clear",
         "WITH gone AS (SELECT * FROM unnest($1::int8[], $2::text[]) AS t(user_no, device_id)),"
         " subscriptions AS (DELETE FROM subscription s USING gone g"
         " WHERE s.user_no = g.user_no AND s.device_id = g.device_id)"
         " DELETE FROM session s USING gone g"
         " WHERE s.user_no = g.user_no AND s.device_id = g.device_id",
         2},

    /* $1 user_no $2 device_id $3 expiry_s, arrays. */
    [SQL_SESSION_PUT] =
        {"session_put",
         "INSERT INTO session (user_no, device_id, expiry_s)"
         " SELECT * FROM unnest($1::int8[], $2::text[], $3::int8[])"
         " ON CONFLICT (user_no, device_id) DO UPDATE SET expiry_s = excluded.expiry_s,"
         " expires_at = NULL",
         3},

    /* $1 user_no $2 device_id $3 expiry_s, arrays. */
    [SQL_SESSION_LEAVE] =
        {"session_leave",
         "UPDATE session s SET expiry_s = t.expiry_s,"
         " expires_at = now() + t.expiry_s * interval '1 second'"
         " FROM unnest($1::int8[], $2::text[], $3::int8[]) AS t(user_no, device_id, expiry_s)"
         " WHERE s.user_no = t.user_no AND s.device_id = t.device_id",
         3},

    /* $1 user_no $2 device_id $3 filter $4 qos $5 options $6 subscription_id, arrays. */
    [SQL_SUBSCRIPTION_PUT] =
        {"subscription_put",
         "INSERT INTO subscription (user_no, device_id, filter, qos, options, subscription_id)"
         " SELECT * FROM unnest($1::int8[], $2::text[], $3::text[], $4::int2[], $5::int2[],"
         " $6::int8[])"
         " ON CONFLICT (user_no, device_id, filter) DO UPDATE SET qos = excluded.qos,"
         " options = excluded.options, subscription_id = excluded.subscription_id",
         6},

    /* $1 user_no $2 device_id $3 filter, arrays. */
    [SQL_SUBSCRIPTION_DROP] =
        {"subscription_drop",
         "DELETE FROM subscription s"
         " USING unnest($1::int8[], $2::text[], $3::text[]) AS t(user_no, device_id, filter)"
         " WHERE s.user_no = t.user_no AND s.device_id = t.device_id AND s.filter = t.filter",
         3},

    /* $1 user_no $2 device_id $3 acked_seq, arrays. A row that is there already (an earlier try of
     * unknown outcome) keeps its cursor. */
    [SQL_DEVICE_PUT] =
        {"device_put",
         "INSERT INTO device AS d (user_no, device_id, acked_seq, sent_seq)"
         " SELECT t.user_no, t.device_id, t.acked, t.acked"
         " FROM unnest($1::int8[], $2::text[], $3::int8[]) AS t(user_no, device_id, acked)"
         " ON CONFLICT (user_no, device_id) DO UPDATE SET acked_seq = d.acked_seq"
         " RETURNING d.user_no, d.device_id, d.device_no, d.acked_seq, d.sent_seq",
         3},

    /* $1 user_no $2 device_no $3 acked_seq $4 sent_seq, arrays. */
    [SQL_CURSORS] =
        {"cursors",
         "UPDATE device d SET acked_seq = greatest(d.acked_seq, t.acked), sent_seq = t.sent"
         " FROM unnest($1::int8[], $2::int8[], $3::int8[], $4::int8[])"
         " AS t(user_no, device_no, acked, sent)"
         " WHERE d.user_no = t.user_no AND d.device_no = t.device_no",
         4},

    [SQL_COMMIT] = {"commit", "COMMIT", 0},
};

const struct pg_statement sql_reader[SQL_READER_COUNT] = {
    /* $1 user ids. Makes the people that are not there. */
    [SQL_LOAD_USERS] =
        {"load_users",
         "WITH wanted AS MATERIALIZED (SELECT DISTINCT unnest($1::text[]) AS user_id),"
         " old AS MATERIALIZED (SELECT u.user_no, u.user_id FROM wanted w CROSS JOIN LATERAL"
         "  (SELECT x.user_no, x.user_id FROM users x WHERE x.user_id = w.user_id LIMIT 1) u),"
         " made AS (INSERT INTO users (user_id) SELECT user_id FROM wanted"
         "  WHERE user_id NOT IN (SELECT user_id FROM old) ON CONFLICT DO NOTHING"
         "  RETURNING user_no, user_id)"
         " SELECT f.user_id, f.user_no, greatest(h.last_seq, i.seq, 0)::int8,"
         "  coalesce(h.max_acked, 0)::int8"
         " FROM (SELECT * FROM old UNION ALL SELECT * FROM made) f"
         " LEFT JOIN LATERAL (SELECT x.last_seq, x.max_acked FROM user_head x"
         "  WHERE x.user_no = f.user_no LIMIT 1) h ON true"
         " LEFT JOIN LATERAL (SELECT b.seq FROM inbox b WHERE b.user_no = f.user_no"
         "  ORDER BY b.seq DESC LIMIT 1) i ON true",
         1},

    /* $1 user ids. */
    [SQL_LOAD_DEVICES] =
        {"load_devices",
         "SELECT u.user_id, d.device_no, d.device_id, d.acked_seq, d.sent_seq FROM users u"
         " JOIN device d ON d.user_no = u.user_no WHERE u.user_id = ANY ($1::text[])",
         1},

    /* $1 user ids. A row a subscription; one with null filter when there is none. */
    [SQL_LOAD_SESSIONS] =
        {"load_sessions",
         "SELECT u.user_id, s.device_id, s.expiry_s, s.expires_at, t.filter, t.qos, t.options,"
         " t.subscription_id FROM users u JOIN session s ON s.user_no = u.user_no"
         " LEFT JOIN subscription t ON t.user_no = s.user_no AND t.device_id = s.device_id"
         " WHERE u.user_id = ANY ($1::text[])",
         1},

    /* $1 user_no $2 after this seq $3 up to this one $4 rows at most, arrays. A device's rows end
     * with the one that exceeds 256 KiB, so that large payloads can't fill the memory. */
    [SQL_FETCH] = {"fetch",
                   "SELECT r.ord, i.seq, i.mid, i.kind,"
                   " (SELECT u.user_id FROM users u WHERE u.user_no = i.from_no),"
                   " CASE WHEN i.conversation <> i.from_no THEN"
                   "  (SELECT u.user_id FROM users u WHERE u.user_no = i.conversation) END,"
                   " coalesce(i.origin_device, 0), i.sent_at, i.expires_at, i.properties, i.payload"
                   " FROM unnest($1::int8[], $2::int8[], $3::int8[], $4::int4[]) WITH ORDINALITY"
                   "  AS r(user_no, after, upto, n, ord)"
                   " CROSS JOIN LATERAL (SELECT x.*, coalesce(sum(octet_length(x.payload)) OVER "
                   "(ORDER BY x.seq"
                   "  ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS before FROM ("
                   "  SELECT * FROM inbox b WHERE b.user_no = r.user_no"
                   "  AND b.seq > r.after AND b.seq <= r.upto ORDER BY b.seq LIMIT r.n) x) i"
                   " WHERE i.before < 262144 ORDER BY r.ord, i.seq",
                   4},

    /* $1 weeks ahead. */
    [SQL_MAKE_PARTITIONS] = {"make_partitions", "SELECT beckon_make_partitions($1::int4)", 1},
    /* $1 retention in days. */
    [SQL_DROP_PARTITIONS] = {"drop_partitions", "SELECT beckon_drop_partitions($1::int4)", 1},

    [SQL_DROP_SESSIONS] =
        {"drop_sessions",
         "WITH gone AS (DELETE FROM session WHERE expires_at < now() RETURNING user_no, device_id)"
         " DELETE FROM subscription s USING gone g"
         " WHERE s.user_no = g.user_no AND s.device_id = g.device_id",
         0},
};
