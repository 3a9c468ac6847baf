-- Children: runs that runs start, of the priority that their parents have. Called by commit_batch, for runs that the host owns, in the commit of whatever led to it.
--
-- Sent again after its answer was lost, it changes nothing. A child that is not awaited, and one that cannot be started, is
-- answered at once, by a letter to its parent. The caller holds the locks of the parents, and of the gates of limited workflows.
CREATE FUNCTION start_children(
    p_host uuid, p_runs uuid[], p_calls integer[], p_child_ids uuid[], p_workflows text[], p_inputs bytea[], p_seeds bytea[],
    p_abandon boolean[], p_detached boolean[]
) RETURNS TABLE (run_id uuid, is_owned boolean) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    told uuid[];
    kinds smallint[];
    names text[];
    payloads bytea[];
    limited uuid[];
BEGIN
    WITH asked AS MATERIALIZED (
        SELECT u.*, p.namespace, p.durability, p.priority, w.component, w.version, w.is_limited, w.edition
        FROM unnest(p_runs, p_calls, p_child_ids, p_workflows, p_inputs, p_seeds, p_abandon, p_detached)
            AS u (run_id, call, child_id, workflow, input, seed, abandon, detached)
        JOIN owned o ON o.shard = shard_of(u.run_id) AND o.run_id = u.run_id AND o.host_id = p_host
        JOIN runs p ON p.shard = o.shard AND p.run_id = o.run_id
        LEFT JOIN workflows w ON w.namespace = p.namespace AND w.workflow = u.workflow
    ), started AS (
        INSERT INTO runs (shard, run_id, namespace, workflow, component, version, durability, seed, input, parent_run_id,
                          parent_call, priority, is_limited)
        SELECT shard_of(a.child_id), a.child_id, a.namespace, a.workflow, a.component, a.version, a.durability, a.seed, a.input,
               a.run_id, a.call, a.priority, a.is_limited
        FROM asked a WHERE a.component IS NOT NULL
        ON CONFLICT DO NOTHING
        RETURNING shard, namespace, run_id, priority, is_limited
    ), to_anyone AS (
        INSERT INTO ready (shard, namespace, priority, run_id, strikes, edition)
        SELECT s.shard, s.namespace, s.priority, s.run_id, 0, a.edition
        FROM started s JOIN asked a ON a.child_id = s.run_id WHERE NOT s.is_limited
    ), awaited AS (
        INSERT INTO children (shard, run_id, call, child_id, abandon)
        SELECT shard_of(a.run_id), a.run_id, a.call, a.child_id, a.abandon
        FROM asked a JOIN started s ON s.run_id = a.child_id WHERE NOT a.detached
    )
    SELECT array_agg(a.run_id), array_agg(CASE WHEN a.component IS NULL THEN 3 ELSE 2 END::smallint),
           array_agg(a.call::text),
           array_agg(CASE WHEN a.component IS NULL THEN convert_to(json_build_object(
               'code', 'unknown-workflow', 'message', 'no component of the namespace has the workflow ' || a.workflow,
               'retryable', false)::text, 'UTF8') ELSE 'null'::bytea END),
           (SELECT array_agg(s.run_id) FROM started s WHERE s.is_limited)
    INTO told, kinds, names, payloads, limited
    FROM asked a LEFT JOIN started s ON s.run_id = a.child_id
    WHERE a.component IS NULL OR (a.detached AND s.run_id IS NOT NULL);

    PERFORM enter_gates(limited);
    -- Those that started, for any host.
    RETURN QUERY SELECT c.id, false FROM unnest(p_child_ids) AS c (id);
    IF told IS NOT NULL THEN
        RETURN QUERY SELECT l.run_id, l.is_owned FROM put_letters(told, kinds, names, payloads) l;
    END IF;
END $$;

-- Ask children to stop whose parents have ended or no longer want them: up to p_limit. Returns how many there were, and those
-- that a host is at.
CREATE FUNCTION cancel_released(p_limit integer, OUT released integer, OUT owned_runs uuid[]) LANGUAGE plpgsql AS $$
DECLARE
    parents uuid[];
    calls integer[];
    ids uuid[];
BEGIN
    SELECT array_agg(c.run_id), array_agg(c.call), array_agg(c.child_id) INTO parents, calls, ids
    FROM (SELECT c.run_id, c.call, c.child_id FROM children c WHERE c.released LIMIT p_limit) c;
    released := coalesce(cardinality(ids), 0);
    IF released = 0 THEN
        RETURN;
    END IF;
    -- The runs first and then their rows here, as when a child is closed.
    PERFORM lock_runs(ids);
    WITH gone AS (
        DELETE FROM children c USING unnest(parents, calls, ids) AS u (run_id, call, child_id)
        WHERE c.shard = shard_of(u.run_id) AND c.run_id = u.run_id AND c.call = u.call AND c.child_id = u.child_id AND c.released
        RETURNING c.child_id
    )
    SELECT array_agg(g.child_id) INTO ids FROM gone g;
    WITH asked AS (
        UPDATE runs r SET cancelled_at = clock_timestamp() FROM unnest(ids) AS u (run_id)
        WHERE r.shard = shard_of(u.run_id) AND r.run_id = u.run_id AND r.state IN (0, 4) AND r.cancelled_at IS NULL
        RETURNING r.run_id
    )
    SELECT array_agg(l.run_id) FILTER (WHERE l.is_owned) INTO owned_runs
    FROM (SELECT array_agg(a.run_id) AS ids, array_agg(1::smallint) AS kinds, array_agg('parent-closed'::text) AS names,
                 array_agg(NULL::bytea) AS payloads FROM asked a) a
    CROSS JOIN LATERAL put_letters(a.ids, a.kinds, a.names, a.payloads) l WHERE a.ids IS NOT NULL;
END $$;
