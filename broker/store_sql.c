/* store_sql - one statement a batch and kind, whatever the number of rows: arrays in, unnest, and
 * where a row needs a lookup of its own, LATERAL ... LIMIT 1, which the planner can't turn into a
 * scan of the whole table. */
#include "broker/store_sql.h"

/* An inbox row b that can still be delivered, with the days of retention in a parameter:
 * retention.h says the same in C. The first condition leaves out whole partitions. */
#define SQL_KEPT(days)                                                                             \
    "(b.sent_at > now() - " days "::int4 * interval '1 day' OR b.flags & 2 <> 0)"                  \
    " AND (b.expires_at IS NULL OR b.expires_at > now())"

/* Its end, as retention_end_ms. */
#define SQL_END(days)                                                                              \
    "CASE WHEN b.flags & 2 <> 0 THEN b.expires_at"                                                 \
    " ELSE least(b.expires_at, b.sent_at + " days "::int4 * interval '1 day') END"

const struct pg_statement sql_writer[SQL_WRITER_COUNT] = {
    [SQL_BEGIN] = {"begin", "BEGIN", 0},

    [SQL_LOCK] = {"lock", "SELECT pg_advisory_xact_lock_shared(" SQL_OWNERSHIP_LOCK ")", 0},

    /* $1 generation. A statement of its own, after the lock: its snapshot is newer. The function,
     * which costs more than all else of it, only raises what was found. */
    [SQL_FENCE] = {"fence",
                   "SELECT beckon_fence($1::int8) FROM ownership WHERE generation <> $1::int8", 1},

    /* The ordinary case: sequences were given in memory.
     * $1 user_no $2 seq $3 mid $4 from_no $5 conversation $6 origin_device $7 sent_at $8 expires_at
     * $9 kind $10 properties $11 payload $12 flags, arrays. */
    [SQL_PUT] = {"put",
                 "INSERT INTO inbox (user_no, seq, mid, from_no, conversation, origin_device,"
                 " sent_at, expires_at, kind, properties, payload, flags)"
                 " SELECT * FROM unnest($1::int8[], $2::int8[], $3::uuid[], $4::int8[], $5::int8[],"
                 " $6::int8[], $7::timestamptz[], $8::timestamptz[], $9::int2[], $10::bytea[],"
                 " $11::bytea[], $12::int2[])",
                 12},

    /* When some messages may be there already: KEYs, or sends of unknown outcome.
     * As above, but $2 is the user's last committed seq before this batch; then $13 key or null,
     * $14 content hash, $15 look the MID up, $16 index of the original of a copy or -1 (arrays),
     * and $17: the outcome of an earlier try is unknown, do not trust $2. Rows out: the ordinal of
     * each, with its new seq, or with the MID and sameness of the known one, and where that was
     * found by its MID the seq it has (else 0). */
    [SQL_PUT_ONCE] =
        {"put_once",
         "WITH input AS MATERIALIZED ("
         " SELECT * FROM unnest($1::int8[], $2::int8[], $3::uuid[], $4::int8[], $5::int8[],"
         " $6::int8[], $7::timestamptz[], $8::timestamptz[], $9::int2[], $10::bytea[],"
         " $11::bytea[], $12::int2[], $13::text[], $14::int8[], $15::bool[], $16::int4[])"
         " WITH ORDINALITY"
         " AS t(user_no, base, mid, from_no, conversation, origin_device, sent_at, expires_at,"
         " kind, properties, payload, flags, key, hash, resend, copy_of, ord)"
         "), known AS MATERIALIZED ("
         " SELECT i.ord, 0::int8 AS seq, d.mid, d.hash = i.hash AS same FROM input i CROSS JOIN "
         "LATERAL ("
         "  SELECT x.mid, x.hash FROM dedupe x WHERE x.to_no = i.user_no AND x.from_no = i.from_no"
         "  AND x.key = i.key ORDER BY x.created_at LIMIT 1) d WHERE i.key IS NOT NULL"
         " UNION ALL"
         " SELECT i.ord, found.seq, i.mid, true FROM input i CROSS JOIN LATERAL ("
         "  SELECT b.seq FROM inbox b WHERE b.user_no = i.user_no AND b.sent_at = i.sent_at"
         "  AND b.mid = i.mid LIMIT 1) found WHERE i.resend OR $17::bool"
         "), fresh AS MATERIALIZED ("
         " SELECT i.*, CASE WHEN $17::bool THEN greatest(i.base,"
         "   (SELECT b.seq FROM inbox b WHERE b.user_no = i.user_no ORDER BY b.seq DESC LIMIT 1))"
         "  ELSE i.base END + row_number() OVER (PARTITION BY i.user_no ORDER BY i.ord) AS seq"
         " FROM input i WHERE NOT EXISTS (SELECT FROM known k WHERE k.ord ="
         "  CASE WHEN i.copy_of < 0 THEN i.ord ELSE i.copy_of + 1 END)"
         "), stored AS ("
         " INSERT INTO inbox (user_no, seq, mid, from_no, conversation, origin_device, sent_at,"
         "  expires_at, kind, properties, payload, flags)"
         " SELECT user_no, seq, mid, from_no, conversation, origin_device, sent_at, expires_at,"
         "  kind, properties, payload, flags FROM fresh"
         "), remembered AS ("
         " INSERT INTO dedupe (to_no, from_no, key, hash, mid, created_at)"
         " SELECT user_no, from_no, key, hash, mid, now() FROM fresh"
         " WHERE key IS NOT NULL AND copy_of < 0"
         ") SELECT ord, seq, NULL::uuid, NULL::bool FROM fresh"
         " UNION ALL SELECT ord, seq, mid, same FROM known",
         17},

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

    /* $1 user ids. Before SQL_SESSION_FIRST: a statement of its own, so that the snapshot of that
     * one has what is made here, and what somebody else has made in the same moment. In order, as
     * SQL_LOAD_USERS: brokers that number the same people must not wait for each other. */
    [SQL_USERS_PUT] = {"users_put",
                       "INSERT INTO users (user_id) SELECT t.user_id FROM unnest($1::text[])"
                       " AS t(user_id) ORDER BY t.user_id COLLATE \"C\" ON CONFLICT DO NOTHING",
                       1},

    /* $1 user_id $2 device_id $3 expiry_s, arrays. A row a person. */
    [SQL_SESSION_FIRST] =
        {"session_first",
         "WITH input AS MATERIALIZED (SELECT u.user_no, t.* FROM unnest($1::text[], $2::text[],"
         "  $3::int8[]) AS t(user_id, device_id, expiry_s) CROSS JOIN LATERAL"
         "  (SELECT x.user_no FROM users x WHERE x.user_id = t.user_id LIMIT 1) u),"
         " stored AS (INSERT INTO session (user_no, device_id, expiry_s)"
         "  SELECT user_no, device_id, expiry_s FROM input"
         "  ON CONFLICT (user_no, device_id) DO UPDATE SET expiry_s = excluded.expiry_s,"
         "  expires_at = NULL)"
         " SELECT user_id, user_no FROM input",
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

    /* $1 user_no $2 device_id $3 provider $4 token $5 topic $6 environment $7 registered_at,
     * arrays. Whoever else had one of the tokens. Before SQL_PUSH_PUT: a statement of its own,
     * because the rows that go must be gone when the new ones are checked for uniqueness. */
    [SQL_PUSH_EVICT] =
        {"push_evict",
         "WITH input AS (SELECT t.*, d.device_no FROM unnest($1::int8[], $2::text[], $3::text[],"
         " $4::text[], $5::text[], $6::text[], $7::timestamptz[]) AS t(user_no, device_id,"
         " provider, token, topic, environment, registered_at)"
         " JOIN device d ON d.user_no = t.user_no AND d.device_id = t.device_id),"
         " gone AS (DELETE FROM push p USING input i WHERE p.provider = i.provider"
         "  AND p.token = i.token AND (p.user_no, p.device_no) <> (i.user_no, i.device_no)"
         "  RETURNING p.user_no, p.device_no, p.token)"
         " SELECT u.user_id, g.device_no, g.token FROM gone g JOIN users u ON u.user_no = "
         "g.user_no",
         7},

    /* As SQL_PUSH_EVICT. */
    [SQL_PUSH_PUT] =
        {"push_put",
         "INSERT INTO push (user_no, device_no, provider, token, topic, environment, registered_at)"
         " SELECT t.user_no, d.device_no, t.provider, t.token, t.topic, t.environment,"
         "  t.registered_at FROM unnest($1::int8[], $2::text[], $3::text[],"
         " $4::text[], $5::text[], $6::text[], $7::timestamptz[]) AS t(user_no, device_id,"
         " provider, token, topic, environment, registered_at)"
         " JOIN device d ON d.user_no = t.user_no AND d.device_id = t.device_id"
         " ON CONFLICT (user_no, device_no) DO UPDATE SET provider = excluded.provider,"
         " token = excluded.token, topic = excluded.topic, environment = excluded.environment,"
         " registered_at = excluded.registered_at",
         7},

    /* $1 user_no $2 device_id $3 token or null $4 registered_at or null, arrays: with a token, only
     * that registration. */
    [SQL_PUSH_DROP] =
        {"push_drop",
         "DELETE FROM push p USING unnest($1::int8[], $2::text[], $3::text[], $4::timestamptz[])"
         " AS t(user_no, device_id, token, registered_at), device d"
         " WHERE d.user_no = t.user_no AND d.device_id = t.device_id AND p.user_no = d.user_no"
         " AND p.device_no = d.device_no AND (t.token IS NULL"
         "  OR (p.token = t.token AND p.registered_at = t.registered_at))",
         4},

    /* $1 user_no $2 device_no $3 acked_seq $4 sent_seq $5 alerted_seq, arrays. */
    [SQL_CURSORS] =
        {"cursors",
         "UPDATE device d SET acked_seq = greatest(d.acked_seq, t.acked), sent_seq = t.sent,"
         " alerted_seq = greatest(d.alerted_seq, t.alerted)"
         " FROM unnest($1::int8[], $2::int8[], $3::int8[], $4::int8[], $5::int8[])"
         " AS t(user_no, device_no, acked, sent, alerted)"
         " WHERE d.user_no = t.user_no AND d.device_no = t.device_no",
         5},

    /* $1 user_no $2 device_no $3 from_seq $4 to_seq $5 step, arrays. */
    [SQL_MOVES] = {"moves",
                   "INSERT INTO cursor_move (user_no, device_no, from_seq, to_seq, step, at)"
                   " SELECT t.*, now() FROM unnest($1::int8[], $2::int8[], $3::int8[], $4::int8[],"
                   " $5::text[]) AS t",
                   5},

    /* $1 user_no $2 is_group $3 conversation $4 read_seq $5 unread, arrays. Of a conversation that
     * had nothing unread when its person was loaded the broker does not know read_seq. */
    [SQL_UNREAD] =
        {"unread",
         "INSERT INTO conversation (user_no, is_group, conversation, read_seq, unread)"
         " SELECT * FROM unnest($1::int8[], $2::bool[], $3::int8[], $4::int8[], $5::int8[])"
         " ON CONFLICT (user_no, is_group, conversation) DO UPDATE"
         " SET read_seq = greatest(conversation.read_seq, excluded.read_seq),"
         " unread = excluded.unread",
         5},

    /* $1 user_no $2 counted_seq $3 counted_until or null, arrays. */
    [SQL_COUNTED] = {"counted",
                     "INSERT INTO user_head (user_no, counted_seq, counted_until)"
                     " SELECT * FROM unnest($1::int8[], $2::int8[], $3::timestamptz[])"
                     " ON CONFLICT (user_no) DO UPDATE SET counted_seq = excluded.counted_seq,"
                     " counted_until = excluded.counted_until",
                     3},

    /* $1 user_no $2 device_no $3 seq $4 at $5 step $6 outcome $7 reason $8 took_ms, arrays. */
    [SQL_TRACE] = {"trace",
                   "INSERT INTO trace (user_no, device_no, seq, at, step, outcome, reason, took_ms)"
                   " SELECT * FROM unnest($1::int8[], $2::int8[], $3::int8[], $4::timestamptz[],"
                   " $5::text[], $6::text[], $7::text[], $8::int8[])",
                   8},

    [SQL_COMMIT] = {"commit", "COMMIT", 0},
    [SQL_ROLLBACK] = {"rollback", "ROLLBACK", 0},

    /* As SQL_CURSORS, by a broker that does not own these people any more, hence without the fence:
     * nothing is lowered. */
    [SQL_CURSORS_LEFT] = {"cursors_left",
                          "UPDATE device d SET acked_seq = greatest(d.acked_seq, t.acked),"
                          " sent_seq = greatest(d.sent_seq, t.sent),"
                          " alerted_seq = greatest(d.alerted_seq, t.alerted)"
                          " FROM unnest($1::int8[], $2::int8[], $3::int8[], $4::int8[], $5::int8[])"
                          " AS t(user_no, device_no, acked, sent, alerted)"
                          " WHERE d.user_no = t.user_no AND d.device_no = t.device_no",
                          5},

    /* $1 user_id $2 last_seq, arrays. */
    [SQL_CARRY_PEOPLE] =
        {"carry_people",
         "WITH carried AS MATERIALIZED (SELECT * FROM unnest($1::text[], $2::int8[])"
         "  AS t(user_id, last_seq)),"
         " made AS (INSERT INTO users (user_id) SELECT c.user_id FROM carried c"
         "  WHERE NOT EXISTS (SELECT FROM users u WHERE u.user_id = c.user_id)"
         "  ON CONFLICT DO NOTHING RETURNING user_no, user_id)"
         " INSERT INTO user_head AS h (user_no, last_seq)"
         " SELECT u.user_no, c.last_seq FROM carried c JOIN"
         "  (SELECT user_no, user_id FROM users UNION ALL SELECT user_no, user_id FROM made) u"
         "  USING (user_id) WHERE c.last_seq > 0"
         " ON CONFLICT (user_no) DO UPDATE SET last_seq = greatest(h.last_seq, excluded.last_seq)",
         2},

    /* $1 user_id $2 device_id $3 acked_seq $4 sent_seq $5 alerted_seq, arrays. */
    [SQL_CARRY_DEVICES] =
        {"carry_devices",
         "INSERT INTO device AS d (user_no, device_id, acked_seq, sent_seq, alerted_seq)"
         " SELECT u.user_no, t.device_id, t.acked, t.sent, t.alerted"
         " FROM unnest($1::text[], $2::text[], $3::int8[], $4::int8[], $5::int8[])"
         " AS t(user_id, device_id, acked, sent, alerted) JOIN users u USING (user_id)"
         " ON CONFLICT (user_no, device_id) DO UPDATE SET"
         " acked_seq = greatest(d.acked_seq, excluded.acked_seq),"
         " sent_seq = greatest(d.sent_seq, excluded.sent_seq),"
         " alerted_seq = greatest(d.alerted_seq, excluded.alerted_seq)",
         5},
};

const struct pg_statement sql_reader[SQL_READER_COUNT] = {
    /* Everything the reader runs is to look rows up by index, one after the other, however large
     * the tables are. The planner goes by what it believes of them: a plan that it made when they
     * were new and empty reads them from end to end, and is kept until somebody has analyzed them.
     * Costs of what is disabled would also set off the compiler. */
    [SQL_READER_PLANS] = {"reader_plans",
                          "SELECT set_config('plan_cache_mode', 'force_generic_plan', false),"
                          " set_config('enable_seqscan', 'off', false),"
                          " set_config('enable_hashjoin', 'off', false),"
                          " set_config('enable_mergejoin', 'off', false),"
                          " set_config('enable_material', 'off', false),"
                          " set_config('jit', 'off', false)",
                          0},

    /* $1 user ids $2 make the person if they are not there, arrays. Who is new has nothing yet. */
    [SQL_LOAD_USERS] =
        {"load_users",
         "WITH wanted AS MATERIALIZED (SELECT * FROM unnest($1::text[], $2::bool[])"
         "  AS t(user_id, numbered)),"
         " old AS MATERIALIZED (SELECT u.user_no, u.user_id FROM wanted w CROSS JOIN LATERAL"
         "  (SELECT x.user_no, x.user_id FROM users x WHERE x.user_id = w.user_id LIMIT 1) u),"
         " made AS (INSERT INTO users (user_id) SELECT user_id FROM wanted"
         "  WHERE numbered AND user_id NOT IN (SELECT user_id FROM old)"
         "  ORDER BY user_id COLLATE \"C\" ON CONFLICT DO NOTHING"
         "  RETURNING user_no, user_id)"
         " SELECT f.user_id, f.user_no, greatest(h.seq, i.seq, 0)::int8,"
         "  coalesce(h.max_acked, 0)::int8, h.counted_until, false FROM old f"
         " LEFT JOIN LATERAL (SELECT greatest(x.last_seq, x.counted_seq) AS seq, x.max_acked,"
         "  x.counted_until FROM user_head x WHERE x.user_no = f.user_no LIMIT 1) h ON true"
         " LEFT JOIN LATERAL (SELECT b.seq FROM inbox b WHERE b.user_no = f.user_no"
         "  AND b.seq > coalesce(h.seq, 0) ORDER BY b.seq DESC LIMIT 1) i ON true"
         " UNION ALL SELECT user_id, user_no, 0::int8, 0::int8, NULL::timestamptz, true FROM made",
         2},

    /* $1 user_no, array; rows have its ordinal. */
    [SQL_LOAD_DEVICES] =
        {"load_devices",
         "SELECT r.ord, d.device_no, d.device_id, d.acked_seq, d.sent_seq, d.alerted_seq,"
         " p.provider, p.token, p.topic, p.environment, p.registered_at"
         " FROM unnest($1::int8[]) WITH ORDINALITY AS r(user_no, ord)"
         " JOIN device d ON d.user_no = r.user_no"
         " LEFT JOIN push p ON p.user_no = d.user_no AND p.device_no = d.device_no",
         1},

    /* As SQL_LOAD_DEVICES. A row a subscription; one with null filter when there is none. */
    [SQL_LOAD_SESSIONS] =
        {"load_sessions",
         "SELECT r.ord, s.device_id, s.expiry_s, s.expires_at, t.filter, t.qos, t.options,"
         " t.subscription_id FROM unnest($1::int8[]) WITH ORDINALITY AS r(user_no, ord)"
         " JOIN session s ON s.user_no = r.user_no"
         " LEFT JOIN subscription t ON t.user_no = s.user_no AND t.device_id = s.device_id",
         1},

    /* $1 user_no $2 days of retention, arrays; rows have the ordinal. What is unread as last
     * written, and what came since (and is not written), with the end of the first that ends. */
    [SQL_LOAD_UNREAD] =
        {"load_unread",
         "WITH wanted AS MATERIALIZED"
         "  (SELECT * FROM unnest($1::int8[]) WITH ORDINALITY AS r(user_no, ord))"
         " SELECT w.ord, c.is_group, c.conversation, c.read_seq, c.unread, false,"
         "  NULL::timestamptz FROM wanted w"
         " JOIN conversation c ON c.user_no = w.user_no AND c.unread > 0"
         " UNION ALL"
         " SELECT w.ord, b.kind = 2, b.conversation, 0::int8, b.n, true, b.ends FROM wanted w"
         " LEFT JOIN user_head h ON h.user_no = w.user_no"
         " CROSS JOIN LATERAL (SELECT b.kind, b.conversation, count(*) AS n,"
         "  min(" SQL_END(
             "($2::int4[])[1]") ") AS ends FROM inbox b"
                                "  WHERE b.user_no = w.user_no AND b.seq > coalesce(h.counted_seq, "
                                "0)"
                                "  AND b.kind IN (1, 2) GROUP BY b.kind, b.conversation) b",
         2},

    /* $1 user_no $2 up to this seq $3 days of retention, arrays. A row a conversation with messages
     * that are unread and can still be delivered. */
    [SQL_RECOUNT] =
        {"recount",
         "SELECT r.ord, n.is_group, n.conversation, n.read_seq, n.n, n.ends"
         " FROM unnest($1::int8[], $2::int8[]) WITH ORDINALITY AS r(user_no, upto, ord)"
         " CROSS JOIN LATERAL (SELECT b.kind = 2 AS is_group, b.conversation,"
         "  coalesce(c.read_seq, 0) AS read_seq, count(*) AS n,"
         "  min(" SQL_END(
             "($3::int4[])[1]") ") AS ends"
                                "  FROM inbox b LEFT JOIN conversation c ON c.user_no = b.user_no"
                                "   AND c.is_group = (b.kind = 2) AND c.conversation = "
                                "b.conversation"
                                "  WHERE b.user_no = r.user_no AND b.seq <= r.upto AND b.kind IN "
                                "(1, 2)"
                                "   AND b.seq > coalesce(c.read_seq, 0) AND " SQL_KEPT(
                                    "($3::int4[])[1]") "  GROUP BY 1, 2, 3) n ORDER BY r.ord",
         3},

    /* $1 user_no $2 mid $3 its time $4 conversation or 0 $5 is_group $6 last seq to count, arrays.
     * A row each, in order: the message's seq (0 = none), and how many of that conversation came
     * after it. In a conversation, the newest message that is not newer than the MID stands in for
     * one that this inbox does not hold (the person's own, say). */
    [SQL_LOOKUP] =
        {"lookup",
         "SELECT coalesce(m.seq, 0), CASE WHEN r.conversation = 0 OR m.seq IS NULL THEN 0 ELSE"
         "  (SELECT count(*) FROM inbox b WHERE b.user_no = r.user_no AND b.seq > m.seq"
         "   AND b.seq <= r.upto AND b.conversation = r.conversation"
         "   AND b.kind = CASE WHEN r.is_group THEN 2 ELSE 1 END) END"
         " FROM unnest($1::int8[], $2::uuid[], $3::timestamptz[], $4::int8[], $5::bool[],"
         "  $6::int8[]) WITH ORDINALITY AS r(user_no, mid, sent_at, conversation, is_group, upto,"
         "  ord)"
         " CROSS JOIN LATERAL (SELECT coalesce("
         "  (SELECT i.seq FROM inbox i WHERE i.user_no = r.user_no AND i.sent_at = r.sent_at"
         "   AND i.mid = r.mid LIMIT 1),"
         "  CASE WHEN r.conversation <> 0 THEN"
         "   (SELECT i.seq FROM inbox i WHERE i.user_no = r.user_no"
         "    AND i.conversation = r.conversation"
         "    AND i.kind = CASE WHEN r.is_group THEN 2 ELSE 1 END AND i.mid <= r.mid"
         "    ORDER BY i.seq DESC LIMIT 1) END) AS seq) m ORDER BY r.ord",
         6},

    /* $1 after this user_no $2 up to this one $3 devices without a push registration too $4 days of
     * retention. Whose messages are over has nothing to alert. */
    [SQL_RECOVER] =
        {"recover",
         "SELECT u.user_id, (SELECT coalesce(max(user_no), 0) FROM users) FROM users u"
         " WHERE u.user_no > $1::int8 AND u.user_no <= $2::int8 AND EXISTS ("
         "  SELECT 1 FROM device d LEFT JOIN push p"
         "   ON p.user_no = d.user_no AND p.device_no = d.device_no"
         "  WHERE d.user_no = u.user_no AND (p.user_no IS NOT NULL OR $3::bool) AND EXISTS ("
         "   SELECT 1 FROM inbox b WHERE b.user_no = d.user_no"
         "   AND b.seq > greatest(d.acked_seq, d.alerted_seq)"
         "   AND " SQL_KEPT(
             "$4") "))"
                   " UNION ALL SELECT NULL, (SELECT coalesce(max(user_no), 0) FROM users)",
         4},

    /* $1 user_no $2 after this seq $3 up to this one $4 rows at most, arrays. A device's rows end
     * with the one that exceeds 256 KiB, so that large payloads can't fill the memory. */
    [SQL_FETCH] =
        {"fetch",
         "SELECT r.ord, i.seq, i.mid, i.kind,"
         " (SELECT u.user_id FROM users u WHERE u.user_no = i.from_no),"
         " CASE WHEN i.conversation <> i.from_no THEN"
         "  (SELECT u.user_id FROM users u WHERE u.user_no = i.conversation) END,"
         " coalesce(i.origin_device, 0), i.sent_at, i.expires_at, i.properties, i.payload,"
         " i.conversation, i.flags"
         " FROM unnest($1::int8[], $2::int8[], $3::int8[], $4::int4[]) WITH ORDINALITY"
         "  AS r(user_no, after, upto, n, ord)"
         " CROSS JOIN LATERAL (SELECT x.*, coalesce(sum(octet_length(x.payload)) OVER "
         "(ORDER BY x.seq"
         "  ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS before FROM ("
         "  SELECT * FROM inbox b WHERE b.user_no = r.user_no"
         "  AND b.seq > r.after AND b.seq <= r.upto ORDER BY b.seq LIMIT r.n) x) i"
         " WHERE i.before < 262144 ORDER BY r.ord, i.seq",
         4},

    /* $1 user_no, array. A row a device. */
    [SQL_RECHECK] = {"recheck",
                     "SELECT r.ord, d.device_no, d.acked_seq, d.alerted_seq"
                     " FROM unnest($1::int8[]) WITH ORDINALITY AS r(user_no, ord)"
                     " JOIN device d ON d.user_no = r.user_no ORDER BY r.ord",
                     1},
};

const struct pg_statement sql_api[SQL_API_COUNT] = {
    /* $1 mid $2 its time $3 days of retention. A row an event of a device; event columns null where
     * there is none, device columns null for a person without devices. A cursor also passes what
     * its device never got (expired, too large, sent by itself): there its move is no
     * acknowledgement. */
    [SQL_API_TRACE] =
        {"api_trace",
         "WITH m AS MATERIALIZED (SELECT b.user_no, b.seq, b.kind, b.from_no, b.conversation,"
         "  b.sent_at, b.expires_at, b.origin_device, NOT (" SQL_KEPT(
             "$3") ") AS over"
                   "  FROM inbox b WHERE b.sent_at = $2::timestamptz AND b.mid = $1::uuid)"
                   " SELECT u.user_id, m.seq, m.kind, f.user_id, m.sent_at, m.expires_at,"
                   "  coalesce(c.read_seq >= m.seq, false), d.device_id, d.acked_seq >= m.seq,"
                   "  d.alerted_seq >= m.seq, coalesce(d.device_no = m.origin_device, false), "
                   "p.outcome,"
                   "  m.over, e.at, e.step, e.outcome, e.reason, e.took_ms"
                   " FROM m JOIN users u ON u.user_no = m.user_no JOIN users f ON f.user_no = "
                   "m.from_no"
                   " LEFT JOIN conversation c ON c.user_no = m.user_no AND c.is_group = (m.kind = "
                   "2)"
                   "  AND c.conversation = m.conversation"
                   " LEFT JOIN device d ON d.user_no = m.user_no"
                   " LEFT JOIN LATERAL (SELECT CASE t.outcome WHEN 'failed' THEN t.reason ELSE "
                   "t.outcome END"
                   "   AS outcome FROM trace t WHERE t.user_no = m.user_no AND t.seq = m.seq"
                   "   AND t.device_no = d.device_no"
                   "   AND (t.outcome = 'expired' OR (t.outcome = 'failed' AND t.reason = "
                   "'too-large'))"
                   "  ORDER BY t.at LIMIT 1) p ON true"
                   " LEFT JOIN LATERAL ("
                   "  SELECT t.at, t.step, t.outcome, t.reason, t.took_ms FROM trace t"
                   "   WHERE t.user_no = m.user_no AND t.seq = m.seq AND t.device_no = d.device_no"
                   "  UNION ALL SELECT v.at, v.step, 'acknowledged', '', 0 FROM cursor_move v"
                   "   WHERE v.user_no = m.user_no AND v.device_no = d.device_no AND v.from_seq < "
                   "m.seq"
                   "   AND v.to_seq >= m.seq AND p.outcome IS NULL"
                   "   AND d.device_no IS DISTINCT FROM m.origin_device) e ON true"
                   " ORDER BY m.kind, u.user_id, d.device_id, e.at",
         3},
};

/* Each chore is a bounded piece of work in a transaction of its own, returns how much it did, and
 * is asked again until that is 0. $1 days of retention $2 of the trace, where they are needed. */
const struct pg_statement sql_janitor[SQL_JANITOR_COUNT] = {
    [SQL_CLOCK] = {"clock", "SELECT clock_timestamp()", 0},
    /* Whichever broker has it does the chores; it goes with the connection. */
    [SQL_JANITOR_LOCK] = {"janitor_lock", "SELECT pg_try_advisory_lock(" SQL_JANITOR_KEY ")", 0},
    [SQL_JANITOR_UNLOCK] = {"janitor_unlock", "SELECT pg_advisory_unlock(" SQL_JANITOR_KEY ")", 0},
    [SQL_MAKE_NEXT] = {"make_next", "SELECT beckon_make_next($1::int4, $2::int4)", 2},
    /* Some 100 us a person: a piece is about as long as a batch. */
    [SQL_RETIRE_NEXT] = {"retire_next", "SELECT beckon_retire_next($1::int4, 256)", 1},
    [SQL_DROP_INBOX] = {"drop_inbox", "SELECT beckon_drop_next($1::int4, $2::int4, 'inbox')", 2},
    [SQL_DROP_DEDUPE] = {"drop_dedupe", "SELECT beckon_drop_next($1::int4, $2::int4, 'dedupe')", 2},
    [SQL_DROP_TRACE] = {"drop_trace", "SELECT beckon_drop_next($1::int4, $2::int4, 'trace')", 2},
    [SQL_DROP_MOVES] = {"drop_moves", "SELECT beckon_drop_next($1::int4, $2::int4, 'cursor_move')",
                        2},
    [SQL_SWEEP_NEXT] = {"sweep_next", "SELECT beckon_sweep_next($1::int4, $2::int4, 1000)", 2},
    [SQL_DROP_SESSIONS] = {"drop_sessions", "SELECT beckon_drop_sessions(1000)", 0},
    [SQL_RETENTION_STATE] = {"retention_state",
                             "SELECT oldest_ms, ahead_ms, strays FROM beckon_retention_state()", 0},
};
