-- Which host is at which run: claiming, and what a host owns and does not know of.

-- All that a host must know of a run to be at it.
CREATE TYPE claimed_run AS (
    run_id uuid, namespace text, workflow text, component text, version integer, durability smallint, seed bytea,
    input bytea, started_at timestamptz, deadline_at timestamptz, parent_run_id uuid, parent_call integer,
    generation integer, first_seq integer, first_call integer, continued_at timestamptz, told text, lineage text,
    priority smallint, tags text[], strikes smallint
);

CREATE FUNCTION as_claimed(r runs, p_strikes smallint) RETURNS SETOF claimed_run LANGUAGE sql STABLE AS $$
    SELECT r.run_id, r.namespace, r.workflow, r.component, r.version, r.durability, r.seed, r.input, r.started_at,
           r.deadline_at, r.parent_run_id, r.parent_call, r.generation, r.first_seq, r.first_call, r.continued_at, r.told,
           r.lineage, r.priority, r.tags, p_strikes;
$$;

-- Take up to p_limit ready runs. Of each namespace in p_namespaces at most so many as p_rooms says, of each other at most p_each: a host
-- takes no more of one than is fair to others, and what one has waiting stands in nobody's way.
--
-- The shard is first that holds what is most urgent; of those that are alike, hosts begin with different ones (p_first). In a shard, the
-- namespaces are first of which the host may take most: it has least of them. And of each, what is most urgent, and then what is oldest. So
-- a priority is one among the runs of its namespace, and takes nothing from another. Only as many shards are looked through as it takes.
-- There is no cursor over ids, which are not
-- committed in the order in which they are given out: each claim looks from the beginning, and hosts vacuum the table so that
-- this stays short.
--
-- What is of a later edition than the host's is left to hosts that know it: a claim does not even step over it, but past it. Where one
-- namespace has runs of several editions waiting, which of them comes first is left to chance, so that none waits for another to end.
CREATE FUNCTION claim(
    p_host uuid, p_epoch bigint, p_first smallint, p_limit integer, p_each integer = 2147483647,
    p_namespaces text[] = '{}', p_rooms integer[] = '{}'
) RETURNS SETOF claimed_run LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    known smallint;
BEGIN
    PERFORM fence(p_host, p_epoch);
    SELECT h.edition INTO known FROM hosts h WHERE h.host_id = p_host;
    RETURN QUERY
    WITH found AS MATERIALIZED (
        SELECT q.*
        FROM (
            SELECT n.number::smallint AS shard,
                   (SELECT r.priority FROM ready r WHERE r.shard = n.number::smallint ORDER BY r.priority LIMIT 1) AS first
            FROM generate_series(0, 15) AS n (number) ORDER BY first, (n.number + 16 - p_first) % 16
        ) s
        CROSS JOIN LATERAL (
            -- Each priority, namespace and edition that has any: one look into the index for each.
            WITH RECURSIVE present AS (
                SELECT p.* FROM (SELECT r.priority::smallint AS priority, r.namespace, r.edition FROM ready r
                                 WHERE r.shard = s.shard ORDER BY r.priority, r.namespace, r.edition LIMIT 1) p
                UNION ALL
                SELECT n.* FROM present p CROSS JOIN LATERAL (
                    SELECT r.priority::smallint, r.namespace, r.edition FROM ready r
                    WHERE r.shard = s.shard AND (r.priority, r.namespace, r.edition) > (p.priority, p.namespace, p.edition)
                    ORDER BY r.priority, r.namespace, r.edition LIMIT 1) n
            )
            SELECT p.priority, p.namespace, p.edition,
                   coalesce((SELECT u.room FROM unnest(p_namespaces, p_rooms) AS u (namespace, room)
                             WHERE u.namespace = p.namespace), p_each) AS room
            FROM present p WHERE p.edition <= known ORDER BY 4 DESC, 1, random()
        ) w
        CROSS JOIN LATERAL (
            SELECT r.ctid AS row, r.priority, r.namespace, r.id, w.room FROM ready r
            WHERE r.shard = s.shard AND r.priority = w.priority AND r.namespace = w.namespace AND r.edition = w.edition
              AND r.strikes < 2
            ORDER BY r.id LIMIT w.room FOR UPDATE SKIP LOCKED
        ) q
        WHERE s.first IS NOT NULL
        LIMIT p_limit
    ), fair AS (
        SELECT f.row
        FROM (SELECT f.*, row_number() OVER (PARTITION BY f.namespace ORDER BY f.priority, f.id) AS number FROM found f) f
        WHERE f.number <= f.room
    ), taken AS (
        -- By where they are, which is fixed while they are locked: to join by key what may be many is planned for what may be all.
        DELETE FROM ready r WHERE r.ctid = ANY (ARRAY (SELECT f.row FROM fair f))
        RETURNING r.shard, r.namespace, r.priority, r.run_id, r.strikes, r.edition
    ), kept AS (
        INSERT INTO owned AS o (shard, namespace, run_id, host_id, priority, strikes, edition)
        SELECT t.shard, t.namespace, t.run_id, p_host, t.priority, t.strikes, t.edition FROM taken t
        RETURNING o.shard, o.run_id, o.strikes
    )
    SELECT c.* FROM kept k JOIN runs r ON r.shard = k.shard AND r.run_id = k.run_id
    CROSS JOIN LATERAL as_claimed(r, k.strikes) c;
END $$;

-- Take up one run that claim leaves alone, on trial: it may be the one that hosts die of, or that crashes when the time is short.
CREATE FUNCTION claim_suspect(p_host uuid, p_epoch bigint, p_first smallint)
RETURNS SETOF claimed_run LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    PERFORM fence(p_host, p_epoch);
    RETURN QUERY
    WITH found AS MATERIALIZED (
        SELECT q.*
        FROM generate_series(p_first::integer, p_first + 15) AS n (number)
        CROSS JOIN LATERAL (
            SELECT r.ctid AS row FROM ready r
            WHERE r.shard = (n.number % 16)::smallint AND r.strikes >= 2
              AND r.edition <= (SELECT h.edition FROM hosts h WHERE h.host_id = p_host)
            ORDER BY r.id LIMIT 1 FOR UPDATE SKIP LOCKED
        ) q
        LIMIT 1
    ), taken AS (
        DELETE FROM ready r WHERE r.ctid = ANY (ARRAY (SELECT f.row FROM found f))
        RETURNING r.shard, r.namespace, r.priority, r.run_id, r.strikes, r.edition
    ), kept AS (
        INSERT INTO owned AS o (shard, namespace, run_id, host_id, priority, strikes, on_trial, edition)
        SELECT t.shard, t.namespace, t.run_id, p_host, t.priority, t.strikes, true, t.edition FROM taken t
        RETURNING o.shard, o.run_id, o.strikes
    )
    SELECT c.* FROM kept k JOIN runs r ON r.shard = k.shard AND r.run_id = k.run_id
    CROSS JOIN LATERAL as_claimed(r, k.strikes) c;
END $$;

-- The host has outlived it: whatever it dies of from now on, it is not known to be this one.
CREATE FUNCTION end_trial(p_host uuid, p_run_id uuid) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    UPDATE owned o SET on_trial = false WHERE o.shard = shard_of(p_run_id) AND o.run_id = p_run_id AND o.host_id = p_host;
END $$;

-- Runs that the host owns and does not know of: the answer to the commit that gave them to it was lost. p_known are the runs
-- that it knew a moment ago, p_age is longer than that moment: whatever it has been given since is younger.
CREATE FUNCTION orphans(p_host uuid, p_epoch bigint, p_known uuid[], p_age interval)
RETURNS SETOF claimed_run LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    PERFORM fence(p_host, p_epoch);
    RETURN QUERY
    SELECT c.* FROM owned o JOIN runs r ON r.shard = o.shard AND r.run_id = o.run_id
    CROSS JOIN LATERAL as_claimed(r, o.strikes) c
    WHERE o.host_id = p_host AND o.claimed_at < clock_timestamp() - p_age AND o.run_id <> ALL (p_known);
END $$;

-- What a host finds when it takes these runs up: the number of the next event, whether there is anything in the inbox or
-- among the attempts, and whether the run is paused. Asked after the claim was committed: a letter that comes later finds the
-- host at the run.
CREATE FUNCTION standing(p_run_ids uuid[])
RETURNS TABLE (run_id uuid, next_seq integer, has_letters boolean, has_attempts boolean, is_paused boolean) LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT u.run_id,
           (SELECT e.seq + 1 FROM events e WHERE e.shard = shard_of(u.run_id) AND e.run_id = u.run_id
            ORDER BY e.seq DESC LIMIT 1),
           EXISTS (SELECT 1 FROM inbox i WHERE i.shard = shard_of(u.run_id) AND i.run_id = u.run_id),
           EXISTS (SELECT 1 FROM attempts a WHERE a.shard = shard_of(u.run_id) AND a.run_id = u.run_id),
           (SELECT is_paused(r) FROM runs r WHERE r.shard = shard_of(u.run_id) AND r.run_id = u.run_id)
    FROM unnest(p_run_ids) AS u (run_id);
END $$;
