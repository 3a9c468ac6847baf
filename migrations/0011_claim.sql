-- Which host is at which run: claiming, and what a host owns and does not know of.

-- All that a host must know of a run to be at it.
CREATE TYPE claimed_run AS (
    run_id uuid, namespace text, workflow text, component text, version integer, durability smallint, seed bytea,
    input bytea, started_at timestamptz, deadline_at timestamptz, parent_run_id uuid, parent_call integer,
    generation integer, first_seq integer, first_call integer, continued_at timestamptz, told text,
    strikes smallint
);

CREATE FUNCTION as_claimed(r runs, p_strikes smallint) RETURNS SETOF claimed_run LANGUAGE sql STABLE AS $$
    SELECT r.run_id, r.namespace, r.workflow, r.component, r.version, r.durability, r.seed, r.input, r.started_at,
           r.deadline_at, r.parent_run_id, r.parent_call, r.generation, r.first_seq, r.first_call, r.continued_at, r.told,
           p_strikes;
$$;

-- Take up to p_limit ready runs, the oldest of each shard first, beginning with shard p_first (hosts begin with different
-- ones). There is no cursor over ids, which are not committed in the order in which they are given out: each claim looks
-- from the beginning, and hosts vacuum the table so that this stays short.
CREATE FUNCTION claim(p_host uuid, p_epoch bigint, p_first smallint, p_limit integer)
RETURNS SETOF claimed_run LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    PERFORM fence(p_host, p_epoch);
    RETURN QUERY
    WITH found AS MATERIALIZED (
        SELECT q.shard, q.id
        FROM generate_series(p_first::integer, p_first + 15) AS n (number)
        CROSS JOIN LATERAL (
            SELECT r.shard, r.id FROM ready r WHERE r.shard = (n.number % 16)::smallint
            ORDER BY r.id LIMIT p_limit FOR UPDATE SKIP LOCKED
        ) q
        LIMIT p_limit
    ), taken AS (
        DELETE FROM ready r USING found f WHERE r.shard = f.shard AND r.id = f.id RETURNING r.shard, r.run_id, r.strikes
    ), kept AS (
        INSERT INTO owned AS o (shard, run_id, host_id, strikes)
        SELECT t.shard, t.run_id, p_host, t.strikes FROM taken t
        RETURNING o.shard, o.run_id, o.strikes
    )
    SELECT c.* FROM kept k JOIN runs r ON r.shard = k.shard AND r.run_id = k.run_id
    CROSS JOIN LATERAL as_claimed(r, k.strikes) c;
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

-- What a host finds when it takes these runs up: the number of the next event, and whether there is anything in the inbox or
-- among the attempts. Asked after the claim was committed: a letter that comes later finds the host at the run.
CREATE FUNCTION standing(p_run_ids uuid[])
RETURNS TABLE (run_id uuid, next_seq integer, has_letters boolean, has_attempts boolean) LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT u.run_id,
           (SELECT e.seq + 1 FROM events e WHERE e.shard = shard_of(u.run_id) AND e.run_id = u.run_id
            ORDER BY e.seq DESC LIMIT 1),
           EXISTS (SELECT 1 FROM inbox i WHERE i.shard = shard_of(u.run_id) AND i.run_id = u.run_id),
           EXISTS (SELECT 1 FROM attempts a WHERE a.shard = shard_of(u.run_id) AND a.run_id = u.run_id)
    FROM unnest(p_run_ids) AS u (run_id);
END $$;
