-- Accept runs. With a host, it owns them from their first commit on; without, they wait for one.
--
-- p_timeouts: from now to the deadline, in µs. outcome: 0 started, 1 was there already with the same input, 2 was there with another, 3 no such workflow, 4 another
-- session has started it since this statement began: ask again.
CREATE FUNCTION start_runs(
    p_host uuid, p_epoch bigint, p_namespaces text[], p_run_ids uuid[], p_workflows text[], p_durabilities smallint[],
    p_seeds bytea[], p_keys text[], p_inputs bytea[], p_timeouts bigint[]
) RETURNS TABLE (
    run_id uuid, outcome smallint, component text, version integer, started_at timestamptz, deadline_at timestamptz
)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    IF p_host IS NOT NULL THEN
        PERFORM fence(p_host, p_epoch);
    END IF;
    RETURN QUERY
    WITH asked AS (
        SELECT shard_of(u.run_id) AS shard, u.*, w.component, w.version
        FROM unnest(p_namespaces, p_run_ids, p_workflows, p_durabilities, p_seeds, p_keys, p_inputs, p_timeouts)
            AS u (namespace, run_id, workflow, durability, seed, key, input, timeout)
        LEFT JOIN workflows w USING (namespace, workflow)
    ), started AS (
        INSERT INTO runs (shard, run_id, namespace, workflow, component, version, durability, seed, idempotency_key, input,
                          deadline_at)
        SELECT a.shard, a.run_id, a.namespace, a.workflow, a.component, a.version, a.durability, a.seed, a.key, a.input,
               clock_timestamp() + a.timeout * interval '1 microsecond'
        FROM asked a WHERE a.component IS NOT NULL
        ON CONFLICT DO NOTHING
        RETURNING shard, run_id, component, version, started_at, deadline_at
    ), to_host AS (
        INSERT INTO owned (shard, run_id, host_id, strikes)
        SELECT s.shard, s.run_id, p_host, 0 FROM started s WHERE p_host IS NOT NULL
    ), to_anyone AS (
        INSERT INTO ready (shard, run_id, strikes)
        SELECT s.shard, s.run_id, 0 FROM started s WHERE p_host IS NULL
    )
    SELECT a.run_id,
           CASE WHEN s.run_id IS NOT NULL THEN 0
                WHEN (r.namespace, r.workflow, r.input) = (a.namespace, a.workflow, a.input) THEN 1
                WHEN r.run_id IS NOT NULL THEN 2
                WHEN a.component IS NULL THEN 3
                ELSE 4 END::smallint,
           coalesce(s.component, r.component), coalesce(s.version, r.version), coalesce(s.started_at, r.started_at),
           coalesce(s.deadline_at, r.deadline_at)
    FROM asked a
    LEFT JOIN started s ON s.run_id = a.run_id
    LEFT JOIN runs r ON r.shard = a.shard AND r.run_id = a.run_id;
END $$;
