-- Leases: a host renews one row, not one for each of its runs. The database's clock decides.

-- Every write of a host begins here. The row is held FOR KEY SHARE until the end of the transaction: renewing it does not
-- wait, and the reaper, who takes it FOR UPDATE, waits for writes under way and is seen by every one that comes later.
CREATE FUNCTION fence(p_host uuid, p_epoch bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM 1 FROM hosts h WHERE h.host_id = p_host AND h.epoch = p_epoch FOR KEY SHARE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'host % has lost its lease (epoch %)', p_host, p_epoch USING ERRCODE = 'WL001';
    END IF;
END $$;

-- The key of the advisory lock that a host's session holds: freed by the server the moment that the host dies.
-- Advisory locks are common to the whole database, hence the schema's name in it.
CREATE FUNCTION host_lock_key(p_host uuid) RETURNS bigint LANGUAGE sql STABLE STRICT
RETURN hashtextextended(current_schema() || p_host::text, 0);

-- Runs of a host that no longer has them go back to where any host can claim them.
CREATE FUNCTION release_runs(p_host uuid) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    released integer;
BEGIN
    WITH gone AS (
        DELETE FROM owned o WHERE o.host_id = p_host RETURNING o.shard, o.namespace, o.priority, o.run_id, o.strikes, o.edition
    )
    INSERT INTO ready (shard, namespace, priority, run_id, strikes, edition)
    SELECT g.shard, g.namespace, g.priority, g.run_id, g.strikes, g.edition FROM gone g;
    GET DIAGNOSTICS released = ROW_COUNT;
    RETURN released;
END $$;

-- The same, of a host that is dead. What made no progress since the host took it up has one strike more; what did has one. Two
-- deaths make a run a suspect, and say nothing about whose fault they were: many runs were at that host. So the third strike
-- needs a trial: a suspect that was taken up alone, and whose host died right then.
CREATE FUNCTION release_runs_of_dead(p_host uuid) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    released integer;
BEGIN
    WITH gone AS (
        DELETE FROM owned o WHERE o.host_id = p_host
        RETURNING o.shard, o.namespace, o.priority, o.run_id, o.strikes, o.on_trial, o.claimed_at, o.edition
    ), seen AS (
        SELECT g.*, coalesce((SELECT e.at FROM events e WHERE e.shard = g.shard AND e.run_id = g.run_id
                              ORDER BY e.seq DESC LIMIT 1) >= g.claimed_at, false) AS has_progressed
        FROM gone g
    )
    INSERT INTO ready (shard, namespace, priority, run_id, strikes, edition)
    SELECT s.shard, s.namespace, s.priority, s.run_id,
           CASE WHEN s.has_progressed THEN 1
                WHEN s.strikes < 2 OR s.on_trial THEN s.strikes + 1
                ELSE s.strikes END,
           s.edition
    FROM seen s;
    GET DIAGNOSTICS released = ROW_COUNT;
    RETURN released;
END $$;

-- Take a lease: at start-up, and again with the next epoch after it was lost. Returns the epoch.
-- p_edition: what the host has learnt.
CREATE FUNCTION take_lease(p_host uuid, p_name text, p_ttl interval, p_edition smallint = 1) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    taken bigint;
BEGIN
    INSERT INTO hosts AS h (host_id, name, renewed_at, lease_until, edition)
    VALUES (p_host, p_name, clock_timestamp(), clock_timestamp() + p_ttl, p_edition)
    ON CONFLICT (host_id) DO UPDATE
        SET epoch = h.epoch + 1, renewed_at = excluded.renewed_at, lease_until = excluded.lease_until,
            edition = excluded.edition
    RETURNING epoch INTO taken;
    PERFORM release_runs(p_host);
    RETURN taken;
END $$;

-- Keep it. Returns whether it was still there to keep, and the time.
CREATE FUNCTION renew_lease(p_host uuid, p_epoch bigint, p_ttl interval, OUT renewed boolean, OUT at timestamptz)
LANGUAGE plpgsql AS $$
BEGIN
    at := clock_timestamp();
    UPDATE hosts h SET renewed_at = at, lease_until = at + p_ttl WHERE h.host_id = p_host AND h.epoch = p_epoch;
    renewed := FOUND;
END $$;

-- Give it up in good order: its runs are anyone's at once.
CREATE FUNCTION end_lease(p_host uuid, p_epoch bigint) RETURNS integer LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM hosts h WHERE h.host_id = p_host AND h.epoch = p_epoch;
    RETURN CASE WHEN FOUND THEN release_runs(p_host) ELSE 0 END;
END $$;

-- Free the runs of hosts that are dead: the lease has run out, or the host's session is gone and it has missed a heartbeat
-- (right after a restart of the database all sessions are gone, and nobody is dead). Returns how many hosts and runs.
--
-- A row that a write still holds is waited for, not skipped: a transaction that hangs must not shield a dead host for ever.
-- The wait ends after p_patience, with nothing done; the next round tries again.
CREATE FUNCTION reap(p_self uuid, p_missed interval, p_patience interval, OUT hosts_reaped integer, OUT runs_freed integer)
LANGUAGE plpgsql AS $$
DECLARE
    suspect uuid;
BEGIN
    hosts_reaped := 0;
    runs_freed := 0;
    PERFORM set_config('lock_timeout', (extract(epoch FROM p_patience) * 1000)::integer::text, true);
    FOR suspect IN
        SELECT h.host_id FROM hosts h
        WHERE h.host_id <> p_self AND h.lease_until > '-infinity'
          AND (h.lease_until < clock_timestamp()
               OR (h.renewed_at < clock_timestamp() - p_missed
                   AND pg_try_advisory_xact_lock(host_lock_key(h.host_id))))
        ORDER BY h.host_id
    LOOP
        PERFORM 1 FROM hosts h WHERE h.host_id = suspect FOR UPDATE;
        -- It may have renewed its lease while we waited.
        UPDATE hosts h SET epoch = h.epoch + 1, lease_until = '-infinity'
        WHERE h.host_id = suspect
          AND (h.lease_until < clock_timestamp() OR h.renewed_at < clock_timestamp() - p_missed);
        IF FOUND THEN
            hosts_reaped := hosts_reaped + 1;
            runs_freed := runs_freed + release_runs_of_dead(suspect);
        END IF;
    END LOOP;
    DELETE FROM hosts h WHERE h.lease_until = '-infinity' AND h.renewed_at < clock_timestamp() - interval '1 hour';
END $$;
