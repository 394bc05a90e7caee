-- 0004_brokers: the brokers of an installation and their leases.
-- Locks: none of note, everything is new.
-- Brokers of the previous release refuse this version: stop them, apply, start the new ones.

-- Who is a member, until when. A broker renews its own row; PostgreSQL's clock is the only one that counts.
-- Fillfactor and no index but the key: a renewal stays in the page (HOT).
CREATE TABLE broker (
    name        text COLLATE "C" PRIMARY KEY, -- what people are dealt to, the same after a restart
    instance    uuid        NOT NULL,         -- the process: another one after a restart
    endpoint    text        NOT NULL,         -- where connectors and other brokers reach it
    joined      bigint      NOT NULL,         -- the generation it came with
    lease_until timestamptz NOT NULL
) WITH (fillfactor = 50);

-- The lock of ownership, exclusively: it waits for batches that are under way; later ones find another generation.
-- A batch that waits for its broker's bytes since more than a lease (a broker that was stopped, or whose machine is gone,
-- in the middle of sending) would keep everybody out: its connection is ended. Gives up after a second, because new batches wait
-- behind whoever waits here; the caller tries again.
CREATE FUNCTION beckon_lock_ownership(lease_ms bigint) RETURNS void LANGUAGE plpgsql
SET lock_timeout = '1s' AS $$
BEGIN
    PERFORM pg_terminate_backend(a.pid)
    FROM pg_locks l
    JOIN pg_stat_activity a ON a.pid = l.pid
    WHERE l.locktype = 'advisory' AND l.classid = 1650811755 AND l.objid = 1 AND l.objsubid = 2 AND l.granted
        AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
        AND a.usename = current_user AND a.wait_event = 'ClientRead'
        AND a.xact_start < clock_timestamp() - lease_ms * interval '1 millisecond';
    PERFORM pg_advisory_xact_lock(1650811755, 1);
END $$;

-- One step of the generation, told to whoever listens. The caller has the lock.
CREATE FUNCTION beckon_raise_generation() RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    raised bigint;
BEGIN
    UPDATE ownership SET generation = generation + 1 RETURNING generation INTO raised;
    PERFORM pg_notify('beckon_members', raised::text);
    RETURN raised;
END $$;

-- Becomes a member, in place of an older process of that name. Returns the new generation.
CREATE FUNCTION beckon_join(new_name text, new_instance uuid, new_endpoint text, lease_ms bigint) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    raised bigint;
BEGIN
    PERFORM beckon_lock_ownership(lease_ms);
    raised := beckon_raise_generation();
    INSERT INTO broker (name, instance, endpoint, joined, lease_until)
    VALUES (new_name, new_instance, new_endpoint, raised, clock_timestamp() + lease_ms * interval '1 millisecond')
    ON CONFLICT (name) DO UPDATE SET instance = excluded.instance, endpoint = excluded.endpoint,
        joined = excluded.joined, lease_until = excluded.lease_until;
    RETURN raised;
END $$;

-- No lock: nobody's people move. Nor does it wait for a standby: after a promotion nobody is removed for a whole lease,
-- however old a renewal the new primary has. False when this process is not a member (any more).
CREATE FUNCTION beckon_renew(own_name text, own_instance uuid, lease_ms bigint) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('synchronous_commit', 'local', true);
    UPDATE broker SET lease_until = clock_timestamp() + lease_ms * interval '1 millisecond'
    WHERE name = own_name AND instance = own_instance;
    RETURN FOUND;
END $$;

-- Leaves by itself. False when it was no member.
CREATE FUNCTION beckon_leave(own_name text, own_instance uuid, lease_ms bigint) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    PERFORM beckon_lock_ownership(lease_ms);
    DELETE FROM broker WHERE name = own_name AND instance = own_instance;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    PERFORM beckon_raise_generation();
    RETURN true;
END $$;

-- Removes the members whose lease is over, all of them in one step. Returns how many. A renewal that is under way wins:
-- the row is looked at again when it is free.
CREATE FUNCTION beckon_remove_expired(lease_ms bigint) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    removed bigint;
BEGIN
    IF NOT EXISTS (SELECT FROM broker WHERE lease_until < clock_timestamp()) THEN
        RETURN 0;
    END IF;
    PERFORM beckon_lock_ownership(lease_ms);
    DELETE FROM broker WHERE lease_until < clock_timestamp();
    GET DIAGNOSTICS removed = ROW_COUNT;
    IF removed > 0 THEN
        PERFORM beckon_raise_generation();
    END IF;
    RETURN removed;
END $$;
