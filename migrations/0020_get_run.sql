-- What people and programs read about runs.

-- Where a run stands: 0 ready, 1 running, 2 waiting, 3 completed, 4 failed, 5 cancelled, 6 quarantined, 7 paused. One that is
-- ready or waits is paused from the moment that its workflow is, whoever finds it so.
CREATE FUNCTION run_state(r runs, p_owned boolean, p_parked boolean) RETURNS smallint LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN CASE WHEN r.state > 0 THEN r.state + 2 WHEN p_owned THEN 1 WHEN is_paused(r) THEN 7 WHEN p_parked THEN 2 ELSE 0 END;
END $$;

-- What a run that has no slot waits for, for people.
CREATE FUNCTION waits_for_slot(p_shard smallint, p_run_id uuid) RETURNS bytea LANGUAGE sql STABLE AS $$
    SELECT convert_to(json_build_array(json_build_object(
        'kind', 'slot', 'name', CASE q.level WHEN 1 THEN 'concurrency_key' WHEN 2 THEN 'workflow' ELSE 'namespace' END,
        'asked_at', q.at))::text, 'UTF8')
    FROM queued q WHERE q.shard = p_shard AND q.run_id = p_run_id;
$$;

CREATE TYPE run_summary AS (
    run_id uuid, namespace text, workflow text, component text, version integer, state smallint, durability smallint,
    idempotency_key text, input bytea, result bytea, started_at timestamptz, cancelled_at timestamptz,
    closed_at timestamptz, events integer, wake_at timestamptz, open_calls bytea, deadline_at timestamptz,
    parent_run_id uuid, generation integer, tags text[], lineage text, priority smallint, concurrency_key text
);

CREATE FUNCTION get_run(p_namespace text, p_run_id uuid) RETURNS SETOF run_summary LANGUAGE sql STABLE AS $$
    SELECT r.run_id, r.namespace, r.workflow, r.component, r.version,
           run_state(r, o.run_id IS NOT NULL, p.run_id IS NOT NULL OR z.run_id IS NOT NULL), r.durability, r.idempotency_key, r.input,
           r.result, r.started_at, r.cancelled_at, r.closed_at,
           coalesce((SELECT e.seq + 1 FROM events e WHERE e.shard = r.shard AND e.run_id = r.run_id
                     ORDER BY e.seq DESC LIMIT 1), 0),
           p.wake_at,
           coalesce(p.open_calls, h.open_calls, CASE WHEN z.run_id IS NOT NULL THEN waits_for_slot(r.shard, r.run_id) END),
           r.deadline_at, r.parent_run_id, r.generation, r.tags, r.lineage, r.priority, r.concurrency_key
    FROM runs r
    LEFT JOIN owned o ON o.shard = r.shard AND o.run_id = r.run_id
    LEFT JOIN parked p ON p.shard = r.shard AND p.run_id = r.run_id
    LEFT JOIN paused h ON h.shard = r.shard AND h.run_id = r.run_id
    LEFT JOIN queued z ON z.shard = r.shard AND z.run_id = r.run_id
    WHERE r.shard = shard_of(p_run_id) AND r.run_id = p_run_id AND r.namespace = p_namespace;
$$;

-- Which of these runs have ended, cannot go on, or are not there any more. For hosts, whose callers wait for runs that others are at.
CREATE FUNCTION not_open(p_run_ids uuid[]) RETURNS SETOF uuid LANGUAGE sql STABLE AS $$
    SELECT u.run_id FROM unnest(p_run_ids) AS u (run_id)
    WHERE NOT EXISTS (SELECT FROM runs r WHERE r.shard = shard_of(u.run_id) AND r.run_id = u.run_id AND r.state = 0);
$$;
