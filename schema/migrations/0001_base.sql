-- 0001_base: users, inboxes, devices, sessions, idempotency, ownership.
-- Locks: none of note, everything is new.
-- Applied by `beckonctl migrate`, one transaction, never edited after release.
--
-- Names of people and devices become bigint surrogates here and are cached by the broker: the hot tables carry
-- integers only. Every key begins with the user, so that the tables can be distributed by user. Hot tables have no
-- foreign keys: the broker that owns a user is the only writer of that user's rows.

-- A person, made the first time somebody writes to them or they connect.
CREATE TABLE users (
    user_no    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id    text COLLATE "C" NOT NULL UNIQUE,
    created_at timestamptz NOT NULL DEFAULT now()
);

-- What must outlive the rows it was derived from: written when partitions are dropped or devices removed, so that a
-- sequence never starts again. The sequence in force is the greatest of this, the inbox and the cursors.
CREATE TABLE user_head (
    user_no   bigint PRIMARY KEY,
    last_seq  bigint NOT NULL DEFAULT 0, -- highest sequence ever given
    max_acked bigint NOT NULL DEFAULT 0  -- newest message any device ever acknowledged
);

-- One row a message and person, numbered without gaps; the body of a 1:1 message lies here. Partitioned by week of
-- sent_at, which is the time in the UUIDv7 `mid`: so a MID names its partition, and no index on it is needed.
-- Each partition has its own unique index (user_no, seq).
CREATE TABLE inbox (
    user_no       bigint      NOT NULL, -- whose inbox
    seq           bigint      NOT NULL,
    mid           uuid        NOT NULL,
    from_no       bigint      NOT NULL,
    conversation  bigint      NOT NULL, -- kinds 1, 3: the other person; 2, 4: the group
    origin_device bigint,               -- kinds 3, 4: the device it was sent from, which gets no copy
    sent_at       timestamptz NOT NULL,
    expires_at    timestamptz,          -- only when the sender chose one
    kind          smallint    NOT NULL, -- 1 from a person, 2 from a group, 3 copy of what was sent to a person, 4 to a group
    properties    bytea       NOT NULL, -- MQTT 5 properties that travel with it, MQTT 5 encoding
    payload       bytea       NOT NULL
) PARTITION BY RANGE (sent_at);

-- Payloads are small, often compressed or encrypted already: trying to compress them only costs time.
ALTER TABLE inbox ALTER COLUMN payload SET STORAGE EXTERNAL;
ALTER TABLE inbox ALTER COLUMN properties SET STORAGE EXTERNAL;

-- Clocks of connectors that are far off end here instead of failing a batch; normally empty.
CREATE TABLE inbox_default PARTITION OF inbox DEFAULT;
CREATE UNIQUE INDEX inbox_default_key ON inbox_default (user_no, seq);

-- Client message ids (KEY) of the last day or more: a repeated send is answered as the first one was.
CREATE TABLE dedupe (
    to_no      bigint      NOT NULL,
    from_no    bigint      NOT NULL,
    key        text COLLATE "C" NOT NULL,
    hash       bigint      NOT NULL, -- of the content: the same KEY with another content is refused
    mid        uuid        NOT NULL,
    created_at timestamptz NOT NULL
) PARTITION BY RANGE (created_at);
CREATE TABLE dedupe_default PARTITION OF dedupe DEFAULT;
CREATE UNIQUE INDEX dedupe_default_key ON dedupe_default (to_no, from_no, key);

-- A device and its cursor. Narrow, and only unindexed columns change, so that updates stay in the page (HOT).
CREATE TABLE device (
    user_no    bigint NOT NULL,
    device_no  bigint GENERATED ALWAYS AS IDENTITY,
    device_id  text COLLATE "C" NOT NULL,
    acked_seq  bigint NOT NULL, -- everything up to here is acknowledged (or expired, or too large)
    sent_seq   bigint NOT NULL, -- PUBLISHed at least once up to here: says when DUP is due
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_no, device_id)
) WITH (fillfactor = 50);

-- Persistent MQTT sessions. expires_at is null while the client is connected.
CREATE TABLE session (
    user_no    bigint NOT NULL,
    device_id  text COLLATE "C" NOT NULL,
    expiry_s   bigint NOT NULL,
    expires_at timestamptz,
    PRIMARY KEY (user_no, device_id)
) WITH (fillfactor = 70);

CREATE TABLE subscription (
    user_no         bigint   NOT NULL,
    device_id       text COLLATE "C" NOT NULL,
    filter          text COLLATE "C" NOT NULL,
    qos             smallint NOT NULL,
    options         smallint NOT NULL, -- MQTT 5 subscription options without QoS
    subscription_id bigint   NOT NULL, -- 0 = none
    PRIMARY KEY (user_no, device_id, filter)
);

-- The generation of ownership: raised by every broker that starts. Every batch checks it, so a broker that was
-- replaced can't write any more.
CREATE TABLE ownership (
    only_row   boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    generation bigint NOT NULL
);
INSERT INTO ownership (generation) VALUES (0);

-- Raises BK001 unless the generation is the expected one. Runs after the shared advisory lock was taken in an earlier
-- statement of the same transaction, so that its snapshot is newer than any finished change of membership.
CREATE FUNCTION beckon_fence(expected bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    actual bigint;
BEGIN
    SELECT generation INTO actual FROM ownership;
    IF actual <> expected THEN
        RAISE EXCEPTION 'generation of ownership is %, expected %', actual, expected USING ERRCODE = 'BK001';
    END IF;
END $$;

-- Makes the partitions from last week to `weeks_ahead` weeks ahead (inbox) and for the days around now (dedupe).
CREATE FUNCTION beckon_make_partitions(weeks_ahead integer) RETURNS integer LANGUAGE plpgsql
SET timezone = 'UTC' SET lock_timeout = '5s' AS $$
DECLARE
    made integer := 0;
    low timestamptz;
    name text;
BEGIN
    FOR i IN -1 .. weeks_ahead LOOP
        low := date_trunc('week', now()) + i * interval '1 week';
        name := 'inbox_' || to_char(low, 'YYYYMMDD');
        IF to_regclass(name) IS NULL THEN
            EXECUTE format('CREATE TABLE %I PARTITION OF inbox FOR VALUES FROM (%L) TO (%L)', name, low,
                           low + interval '1 week');
            EXECUTE format('CREATE UNIQUE INDEX %I ON %I (user_no, seq)', name || '_key', name);
            made := made + 1;
        END IF;
    END LOOP;
    FOR i IN -1 .. 3 LOOP
        low := date_trunc('day', now()) + i * interval '1 day';
        name := 'dedupe_' || to_char(low, 'YYYYMMDD');
        IF to_regclass(name) IS NULL THEN
            EXECUTE format('CREATE TABLE %I PARTITION OF dedupe FOR VALUES FROM (%L) TO (%L)', name, low,
                           low + interval '1 day');
            EXECUTE format('CREATE UNIQUE INDEX %I ON %I (to_no, from_no, key)', name || '_key', name);
            made := made + 1;
        END IF;
    END LOOP;
    RETURN made;
END $$;

-- Drops inbox partitions whose newest possible message is older than `retention_days`, and keys older than two days.
-- Before a partition goes, the heads remember its sequences.
CREATE FUNCTION beckon_drop_partitions(retention_days integer) RETURNS integer LANGUAGE plpgsql
SET timezone = 'UTC' SET lock_timeout = '5s' AS $$
DECLARE
    dropped integer := 0;
    part record;
BEGIN
    FOR part IN
        SELECT c.oid, c.relname, p.relname AS parent
        FROM pg_inherits i
        JOIN pg_class c ON c.oid = i.inhrelid
        JOIN pg_class p ON p.oid = i.inhparent
        WHERE p.oid IN ('inbox'::regclass, 'dedupe'::regclass) AND c.relname ~ '_[0-9]{8}$'
    LOOP
        IF part.parent = 'inbox' THEN
            CONTINUE WHEN to_date(right(part.relname, 8), 'YYYYMMDD') + 7 > now() - retention_days * interval '1 day';
            EXECUTE format('INSERT INTO user_head (user_no, last_seq) SELECT user_no, max(seq) FROM %I GROUP BY user_no
                            ON CONFLICT (user_no) DO UPDATE
                            SET last_seq = greatest(user_head.last_seq, excluded.last_seq)', part.relname);
        ELSE
            CONTINUE WHEN to_date(right(part.relname, 8), 'YYYYMMDD') + 1 > now() - interval '2 days';
        END IF;
        EXECUTE format('DROP TABLE %I', part.relname);
        dropped := dropped + 1;
    END LOOP;
    RETURN dropped;
END $$;

SELECT beckon_make_partitions(2);
