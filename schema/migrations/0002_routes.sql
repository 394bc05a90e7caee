-- 0002_routes: push registrations, unread counts, what was alerted, and the trace.
-- Locks: device, user_head and inbox, exclusive, no rewrite (constant defaults); the index on inbox is built while writers
-- wait: minutes on a large table.
-- Brokers of the previous release refuse this version: stop them, apply, start the new ones.

-- Everything up to alerted_seq was alerted, or never will be: a push service accepted it, the person saw a local
-- notification, or no step of the route could carry it. Never below what is acknowledged.
ALTER TABLE device ADD COLUMN alerted_seq bigint NOT NULL DEFAULT 0;

-- Where a device can be pushed to. A token belongs to the (user, device) that registered it last.
CREATE TABLE push (
    user_no       bigint NOT NULL,
    device_no     bigint NOT NULL,
    provider      text COLLATE "C" NOT NULL, -- name of the delivery plugin
    token         text COLLATE "C" NOT NULL,
    topic         text COLLATE "C" NOT NULL,
    environment   text COLLATE "C" NOT NULL,
    registered_at timestamptz NOT NULL,
    PRIMARY KEY (user_no, device_no)
);
CREATE UNIQUE INDEX push_token ON push (provider, token);

-- Unread messages of a person in each conversation. Counts every message up to user_head.counted_seq.
CREATE TABLE conversation (
    user_no      bigint  NOT NULL,
    is_group     boolean NOT NULL,
    conversation bigint  NOT NULL, -- number of the other person, or of the group
    read_seq     bigint  NOT NULL DEFAULT 0,
    unread       bigint  NOT NULL DEFAULT 0,
    PRIMARY KEY (user_no, is_group, conversation)
) WITH (fillfactor = 70);
ALTER TABLE user_head ADD COLUMN counted_seq bigint NOT NULL DEFAULT 0;

-- 1 = sent by a service (a token with svc).
ALTER TABLE inbox ADD COLUMN flags smallint NOT NULL DEFAULT 0;

-- Finds the rows of a message by the time in its MID, at the cost of a few bytes for each 32 pages.
CREATE INDEX inbox_sent_at ON inbox USING brin (sent_at) WITH (pages_per_range = 32, autosummarize = on);

-- What departed from the ordinary, for one message and device: a step that did not acknowledge, a push that was
-- accepted, an end other than the device's acknowledgement.
CREATE TABLE trace (
    user_no   bigint NOT NULL,
    device_no bigint NOT NULL,
    seq       bigint NOT NULL,
    at        timestamptz NOT NULL,
    step      text COLLATE "C" NOT NULL, -- plugin, or '' where no plugin was concerned
    outcome   text COLLATE "C" NOT NULL, -- accepted, acknowledged, retry, failed, timed-out, suppressed, expired, ...
    reason    text COLLATE "C" NOT NULL,
    took_ms   bigint NOT NULL            -- since the step began
) PARTITION BY RANGE (at);
CREATE INDEX trace_message ON trace (user_no, seq);

-- The ordinary: the device acknowledged everything in (from_seq, to_seq]. One row a move of its cursor.
CREATE TABLE cursor_move (
    user_no   bigint NOT NULL,
    device_no bigint NOT NULL,
    from_seq  bigint NOT NULL,
    to_seq    bigint NOT NULL,
    step      text COLLATE "C" NOT NULL, -- plugin of the last acknowledgement
    at        timestamptz NOT NULL
) PARTITION BY RANGE (at);
CREATE INDEX cursor_move_device ON cursor_move (user_no, device_no, to_seq);

-- Partitions of trace and cursor_move are days. As beckon_make_partitions, from yesterday to three days ahead.
CREATE FUNCTION beckon_make_trace_partitions() RETURNS integer LANGUAGE plpgsql
SET timezone = 'UTC' SET lock_timeout = '5s' AS $$
DECLARE
    made integer := 0;
    low timestamptz;
    parent text;
    name text;
BEGIN
    FOREACH parent IN ARRAY ARRAY['trace', 'cursor_move'] LOOP
        FOR i IN -1 .. 3 LOOP
            low := date_trunc('day', now()) + i * interval '1 day';
            name := parent || '_' || to_char(low, 'YYYYMMDD');
            IF to_regclass(name) IS NULL THEN
                EXECUTE format('CREATE TABLE %I PARTITION OF %I FOR VALUES FROM (%L) TO (%L)', name, parent, low,
                               low + interval '1 day');
                made := made + 1;
            END IF;
        END LOOP;
    END LOOP;
    RETURN made;
END $$;

CREATE FUNCTION beckon_drop_trace_partitions(retention_days integer) RETURNS integer LANGUAGE plpgsql
SET timezone = 'UTC' SET lock_timeout = '5s' AS $$
DECLARE
    dropped integer := 0;
    part record;
BEGIN
    FOR part IN
        SELECT c.relname
        FROM pg_inherits i
        JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent IN ('trace'::regclass, 'cursor_move'::regclass) AND c.relname ~ '_[0-9]{8}$'
    LOOP
        CONTINUE WHEN to_date(right(part.relname, 8), 'YYYYMMDD') + 1 > now() - retention_days * interval '1 day';
        EXECUTE format('DROP TABLE %I', part.relname);
        dropped := dropped + 1;
    END LOOP;
    RETURN dropped;
END $$;

CREATE TABLE trace_default PARTITION OF trace DEFAULT;
CREATE TABLE cursor_move_default PARTITION OF cursor_move DEFAULT;
SELECT beckon_make_trace_partitions();
