-- 0003_retention: partitions by age alone, kept in bounded steps; storage settings for tables that live on.
-- Locks: each table below, exclusive or against other changes of its definition, for a moment; nothing is rewritten.
-- Brokers of the previous release refuse this version: stop them, apply, start the new ones.
--
-- What a broker calls here does a bounded piece of work in a transaction of its own and says how much, 0 = nothing is
-- left. No piece waits longer than 100 ms for a lock: whoever comes to the table meanwhile queues behind the one that
-- waits, so this is the longest that a batch is held up. A piece that gives up is asked for again later. (DETACH
-- PARTITION CONCURRENTLY would not queue, but PostgreSQL refuses it where there is a default partition.)

-- --- partitions ---

DROP FUNCTION beckon_make_partitions(integer);
DROP FUNCTION beckon_drop_partitions(integer);
DROP FUNCTION beckon_make_trace_partitions();
DROP FUNCTION beckon_drop_trace_partitions(integer);

-- Rows of a partition are written once. Freezing them with the first vacuum after they came, every 100,000 of them,
-- reads each page once; by the defaults they would all be read again, in all partitions at about the same time, when
-- their age in transactions reaches autovacuum_freeze_max_age (at 500 commits a second: after four days).
CREATE FUNCTION beckon_write_once(part regclass) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('ALTER TABLE %s SET (autovacuum_freeze_min_age = 0, autovacuum_vacuum_insert_scale_factor = 0,
                    autovacuum_vacuum_insert_threshold = 100000)', part);
    IF (SELECT reltoastrelid FROM pg_class WHERE oid = part) <> 0 THEN
        EXECUTE format('ALTER TABLE %s SET (toast.autovacuum_freeze_min_age = 0,
                        toast.autovacuum_vacuum_insert_scale_factor = 0,
                        toast.autovacuum_vacuum_insert_threshold = 100000)', part);
    END IF;
END $$;
SELECT beckon_write_once(inhrelid::regclass) FROM pg_inherits
 WHERE inhparent IN ('inbox'::regclass, 'dedupe'::regclass, 'trace'::regclass, 'cursor_move'::regclass);

-- What is partitioned: by which column, how wide, how long it is kept. An eighth of the retention time: the inbox then
-- has about a dozen partitions whatever the retention, each of which costs a probe when a person is loaded, and
-- messages lie on the disk an eighth longer than they are kept. KEYs are kept for two days at least.
CREATE FUNCTION beckon_partitioned(retention_days integer, trace_days integer)
RETURNS TABLE (parent text, key_column text, unique_key text, width interval, kept interval) LANGUAGE sql STABLE AS $$
    VALUES ('inbox', 'sent_at', 'user_no, seq', greatest(1, retention_days / 8) * interval '1 day',
            retention_days * interval '1 day'),
           ('dedupe', 'created_at', 'to_no, from_no, key', interval '1 day', interval '2 days'),
           ('trace', 'at', NULL, interval '1 day', trace_days * interval '1 day'),
           ('cursor_move', 'at', NULL, interval '1 day', trace_days * interval '1 day')
$$;

-- The partitions with bounds, that is, all but the defaults. Their names say nothing: bounds do.
CREATE FUNCTION beckon_partitions() RETURNS TABLE (parent text, name text, low timestamptz, high timestamptz)
LANGUAGE sql STABLE SET timezone = 'UTC' AS $$
    SELECT p.relname::text, c.relname::text, b[1]::timestamptz, b[2]::timestamptz
      FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid JOIN pg_class p ON p.oid = i.inhparent
     CROSS JOIN LATERAL regexp_match(pg_get_expr(c.relpartbound, c.oid), 'FROM \(''(.+)''\) TO \(''(.+)''\)') b
     WHERE b IS NOT NULL
       AND i.inhparent IN ('inbox'::regclass, 'dedupe'::regclass, 'trace'::regclass, 'cursor_move'::regclass)
$$;

-- Makes the oldest partition that is missing between the newest there is and three days (two widths) from now, and moves
-- into it what lies in the default partition. After a long rest only what can still be kept is made up for: messages
-- that connectors held meanwhile carry the time at which they came.
CREATE FUNCTION beckon_make_next(retention_days integer, trace_days integer) RETURNS integer LANGUAGE plpgsql
SET timezone = 'UTC' SET lock_timeout = '100ms' AS $$
DECLARE
    t record;
    low timestamptz;
    name text;
BEGIN
    FOR t IN SELECT * FROM beckon_partitioned(retention_days, trace_days) LOOP
        SELECT max(p.high) INTO low FROM beckon_partitions() p WHERE p.parent = t.parent;
        low := greatest(low, date_trunc('day', now()) -
                             CASE WHEN low IS NULL OR t.parent <> 'inbox' THEN interval '1 day' ELSE t.kept END);
        CONTINUE WHEN low >= now() + greatest(interval '3 days', 2 * t.width);
        name := t.parent || '_' || to_char(low, 'YYYYMMDD');
        -- One of now should have been there: rows are on their way into the default partition, and would find that it
        -- does not take them any more. They have to wait before they choose.
        EXECUTE format('LOCK TABLE %I IN ACCESS EXCLUSIVE MODE',
                       t.parent || CASE WHEN low <= now() THEN '' ELSE '_default' END);
        EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING STORAGE)', name, t.parent);
        EXECUTE format('WITH moved AS (DELETE FROM %1$I WHERE %2$I >= %3$L AND %2$I < %4$L RETURNING *)
                        INSERT INTO %5$I SELECT * FROM moved', t.parent || '_default', t.key_column, low,
                       low + t.width, name);
        IF t.unique_key IS NOT NULL THEN
            EXECUTE format('CREATE UNIQUE INDEX %I ON %I (%s)', name || '_key', name, t.unique_key);
        END IF;
        PERFORM beckon_write_once(name::regclass);
        EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', t.parent, name, low,
                       low + t.width);
        RETURN 1;
    END LOOP;
    RETURN 0;
END $$;

-- --- the end of messages ---

-- How far the people of an inbox partition that is to be dropped have been dealt with.
CREATE TABLE retiring (
    name       text PRIMARY KEY,
    after_user bigint NOT NULL DEFAULT 0,
    done       boolean NOT NULL DEFAULT false
);

-- The oldest inbox partition without anything that is still kept.
CREATE FUNCTION beckon_over(retention_days integer, OUT name text, OUT high timestamptz) LANGUAGE sql STABLE AS $$
    SELECT p.name, p.high FROM beckon_partitions() p
     WHERE p.parent = 'inbox' AND p.high <= now() - retention_days * interval '1 day' ORDER BY p.high LIMIT 1
$$;

-- The head of a person remembers a sequence. Looked at first: a row that is locked holds up the batch that counts in it.
CREATE FUNCTION beckon_keep_head(person bigint, newest bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM user_head h WHERE h.user_no = person AND greatest(h.last_seq, h.counted_seq) >= newest) THEN
        RETURN;
    END IF;
    INSERT INTO user_head (user_no, last_seq) VALUES (person, newest)
        ON CONFLICT (user_no) DO UPDATE SET last_seq = greatest(user_head.last_seq, excluded.last_seq);
END $$;

-- Before a partition goes, some of its people at a time: their heads remember its sequences, and each device that has not
-- got past them is moved up to what remains, with a row of the trace that says so. Up to what remains, not to the newest
-- that goes: a message that was sent again after weeks has a time of then and a sequence of now.
CREATE FUNCTION beckon_retire_next(retention_days integer, at_most integer) RETURNS integer LANGUAGE plpgsql
SET lock_timeout = '100ms' AS $$
DECLARE
    part record;
    person record;
    dev record;
    later bigint;
    lost bigint;
    people integer := 0;
BEGIN
    SELECT * INTO part FROM beckon_over(retention_days);
    IF part.name IS NULL THEN
        RETURN 0;
    END IF;
    INSERT INTO retiring (name) VALUES (part.name) ON CONFLICT DO NOTHING;
    FOR person IN EXECUTE format('WITH RECURSIVE people AS (
            SELECT (SELECT min(p.user_no) FROM %1$I p WHERE p.user_no > r.after_user) AS user_no
              FROM retiring r WHERE r.name = %2$L AND NOT r.done
            UNION ALL
            SELECT (SELECT min(p.user_no) FROM %1$I p WHERE p.user_no > q.user_no) FROM people q
             WHERE q.user_no IS NOT NULL)
        SELECT q.user_no, (SELECT max(p.seq) FROM %1$I p WHERE p.user_no = q.user_no) AS newest
          FROM people q WHERE q.user_no IS NOT NULL LIMIT %3$s', part.name, part.name, at_most)
    LOOP
        people := people + 1;
        UPDATE retiring SET after_user = person.user_no WHERE name = part.name;
        PERFORM beckon_keep_head(person.user_no, person.newest);
        IF NOT EXISTS (SELECT FROM device d WHERE d.user_no = person.user_no AND d.acked_seq < person.newest) THEN
            CONTINUE;
        END IF;
        SELECT b.seq - 1 INTO later FROM inbox b WHERE b.user_no = person.user_no AND b.sent_at >= part.high
         ORDER BY b.seq LIMIT 1;
        later := least(later, person.newest);
        FOR dev IN SELECT d.device_no, d.acked_seq FROM device d WHERE d.user_no = person.user_no
                      AND d.acked_seq < later FOR UPDATE LOOP
            EXECUTE format('SELECT count(*) FROM %I WHERE user_no = $1 AND seq > $2 AND seq <= $3', part.name)
               INTO lost USING person.user_no, dev.acked_seq, later;
            UPDATE device SET acked_seq = later WHERE user_no = person.user_no AND device_no = dev.device_no;
            INSERT INTO trace (user_no, device_no, seq, at, step, outcome, reason, took_ms)
            VALUES (person.user_no, dev.device_no, later, now(), '', 'expired', 'retention: ' || lost || ' messages', 0);
        END LOOP;
    END LOOP;
    IF people = 0 THEN
        UPDATE retiring SET done = true WHERE name = part.name;
    END IF;
    RETURN people;
END $$;

-- Drops the oldest partition of one table whose time is over; one of the inbox only when its people were dealt with. One
-- a transaction: two would hold locks on one table while they wait for another.
CREATE FUNCTION beckon_drop_next(retention_days integer, trace_days integer, of text) RETURNS integer LANGUAGE plpgsql
SET lock_timeout = '100ms' AS $$
DECLARE
    part record;
BEGIN
    SELECT p.name INTO part FROM beckon_partitions() p JOIN beckon_partitioned(retention_days, trace_days) t USING (parent)
     WHERE p.parent = of AND p.high <= now() - t.kept
       AND (p.parent <> 'inbox' OR EXISTS (SELECT FROM retiring r WHERE r.name = p.name AND r.done))
     ORDER BY p.high LIMIT 1;
    IF part.name IS NULL THEN
        RETURN 0;
    END IF;
    EXECUTE format('DROP TABLE %I', part.name);
    DELETE FROM retiring WHERE name = part.name;
    RETURN 1;
END $$;

-- Default partitions are normally empty, so here rows are deleted, some at a time. A message in there ends as any other,
-- unless its time is not to be believed (flag 2): then its end was set when it was accepted, or is set here.
CREATE FUNCTION beckon_sweep_next(retention_days integer, trace_days integer, at_most integer) RETURNS integer
LANGUAGE plpgsql SET lock_timeout = '100ms' AS $$
DECLARE
    t record;
    n integer;
    swept integer := 0;
BEGIN
    UPDATE inbox_default SET flags = flags | 2::smallint,
           expires_at = least(expires_at, now() + retention_days * interval '1 day')
     WHERE sent_at > now() + interval '1 day' AND flags & 2 = 0;
    WITH gone AS (
        DELETE FROM inbox_default WHERE ctid = ANY (ARRAY(SELECT b.ctid FROM inbox_default b
         WHERE CASE WHEN b.flags & 2 <> 0 THEN b.expires_at
                    ELSE least(b.expires_at, b.sent_at + retention_days * interval '1 day') END < now() LIMIT at_most))
        RETURNING user_no, seq
    ), heads AS (
        SELECT beckon_keep_head(g.user_no, g.newest)
          FROM (SELECT user_no, max(seq) AS newest FROM gone GROUP BY user_no ORDER BY user_no) g
    ), ends AS (
        INSERT INTO trace (user_no, device_no, seq, at, step, outcome, reason, took_ms)
        SELECT g.user_no, d.device_no, g.seq, now(), '', 'expired', 'retention: 1 messages', 0
          FROM gone g JOIN device d ON d.user_no = g.user_no AND d.acked_seq < g.seq
    ) SELECT count(*) INTO swept FROM gone, (SELECT count(*) FROM heads) AS all_heads;
    FOR t IN SELECT * FROM beckon_partitioned(retention_days, trace_days) p WHERE p.parent <> 'inbox' LOOP
        EXECUTE format('WITH gone AS (DELETE FROM %1$I WHERE ctid = ANY (ARRAY(SELECT ctid FROM %1$I
                        WHERE %2$I < now() - %3$L::interval LIMIT %4$s)) RETURNING 1) SELECT count(*) FROM gone',
                       t.parent || '_default', t.key_column, t.kept, at_most) INTO n;
        swept := swept + n;
    END LOOP;
    RETURN swept;
END $$;

-- Sessions that ended an hour ago or more: a client that comes back in the last moment must not find half of its own.
-- There is no index for it: it would have a new entry at each connect, to save a scan an hour.
CREATE FUNCTION beckon_drop_sessions(at_most integer) RETURNS integer LANGUAGE sql SET lock_timeout = '100ms' AS $$
    WITH gone AS (
        DELETE FROM session WHERE ctid = ANY (ARRAY(SELECT s.ctid FROM session s
         WHERE s.expires_at < now() - interval '1 hour' LIMIT at_most FOR UPDATE SKIP LOCKED))
        RETURNING user_no, device_id
    ), subscriptions AS (
        DELETE FROM subscription s USING gone g WHERE s.user_no = g.user_no AND s.device_id = g.device_id
    ) SELECT count(*)::integer FROM gone
$$;

-- How it stands: milliseconds of age of the oldest message there can be, milliseconds that partitions reach ahead (the
-- table that is worst off), rows in the inbox's default partition (counted up to a thousand).
CREATE FUNCTION beckon_retention_state(OUT oldest_ms bigint, OUT ahead_ms bigint, OUT strays bigint) LANGUAGE sql STABLE AS $$
    SELECT coalesce((SELECT 1000 * extract(epoch FROM now() - min(p.low)) FROM beckon_partitions() p
                      WHERE p.parent = 'inbox'), 0)::bigint,
           (SELECT 1000 * extract(epoch FROM min(coalesce(m.high, now())) - now())
              FROM beckon_partitioned(1, 1) t
              LEFT JOIN (SELECT p.parent, max(p.high) AS high FROM beckon_partitions() p GROUP BY p.parent) m USING (parent))::bigint,
           (SELECT count(*) FROM (SELECT FROM inbox_default LIMIT 1000) AS few)
$$;

-- --- tables that live on ---

-- Their rows change many times a day, in unindexed columns only. Free space in each page keeps a new version beside the
-- old one (HOT), which the next reader of the page then removes: what vacuum is left with is little, and comes sooner
-- than at a fifth of the table, so that each run is short. A head changes in each batch that counts in it, as a device.
ALTER TABLE user_head SET (fillfactor = 50);
ALTER TABLE conversation SET (fillfactor = 50);
DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['user_head', 'device', 'conversation', 'session', 'subscription', 'push'] LOOP
        EXECUTE format('ALTER TABLE %I SET (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_cost_limit = 1000)',
                       name);
    END LOOP;
END $$;
