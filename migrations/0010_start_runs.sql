-- Accept runs. With a host, it owns them from their first commit on, if it has learnt what it takes; without, they wait for one.
--
-- What has to have a slot first is given to no host: it waits for one, or for the slot (0036).
--
-- p_timeouts: from now to the deadline, in µs. p_tags: those of a run, joined by commas. outcome: 0 started, 1 was there already with the same input, 2 was there with another, 3 no such workflow, 4 another
-- session has started it since this statement began: ask again, 5 started, and it waits for a host that knows more than this one.
CREATE FUNCTION start_runs(
    p_host uuid, p_epoch bigint, p_namespaces text[], p_run_ids uuid[], p_workflows text[], p_durabilities smallint[],
    p_seeds bytea[], p_keys text[], p_inputs bytea[], p_timeouts bigint[], p_tags text[] = NULL,
    p_priorities smallint[] = NULL, p_concurrency_keys text[] = NULL
) RETURNS TABLE (
    run_id uuid, outcome smallint, component text, version integer, started_at timestamptz, deadline_at timestamptz, is_limited boolean
)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    limited uuid[];
BEGIN
    IF p_host IS NOT NULL THEN
        PERFORM fence(p_host, p_epoch);
    END IF;
    FOR run_id, outcome, component, version, started_at, deadline_at, is_limited IN
    WITH asked AS (
        SELECT shard_of(u.run_id) AS shard, u.*, w.component, w.version, w.is_limited, w.edition,
               w.edition <= (SELECT h.edition FROM hosts h WHERE h.host_id = p_host) AS is_known
        FROM unnest(p_namespaces, p_run_ids, p_workflows, p_durabilities, p_seeds, p_keys, p_inputs, p_timeouts, p_tags,
                    p_priorities, p_concurrency_keys)
            AS u (namespace, run_id, workflow, durability, seed, key, input, timeout, tags, priority, concurrency_key)
        LEFT JOIN workflows w USING (namespace, workflow)
    ), started AS (
        INSERT INTO runs (shard, run_id, namespace, workflow, component, version, durability, seed, idempotency_key, input,
                          deadline_at, tags, priority, concurrency_key, is_limited)
        SELECT a.shard, a.run_id, a.namespace, a.workflow, a.component, a.version, a.durability, a.seed, a.key, a.input,
               clock_timestamp() + a.timeout * interval '1 microsecond', string_to_array(a.tags, ','),
               coalesce(a.priority, 3), a.concurrency_key, a.is_limited
        FROM asked a WHERE a.component IS NOT NULL
        ON CONFLICT DO NOTHING
        RETURNING shard, namespace, run_id, component, version, started_at, deadline_at, priority, is_limited
    ), to_host AS (
        INSERT INTO owned (shard, namespace, run_id, host_id, priority, strikes, edition)
        SELECT s.shard, s.namespace, s.run_id, p_host, s.priority, 0, a.edition
        FROM started s JOIN asked a USING (run_id) WHERE a.is_known AND NOT s.is_limited
    ), to_anyone AS (
        INSERT INTO ready (shard, namespace, priority, run_id, strikes, edition)
        SELECT s.shard, s.namespace, s.priority, s.run_id, 0, a.edition
        FROM started s JOIN asked a USING (run_id) WHERE a.is_known IS NOT TRUE AND NOT s.is_limited
    )
    SELECT a.run_id,
           CASE WHEN s.run_id IS NOT NULL THEN CASE WHEN a.is_known OR p_host IS NULL OR s.is_limited THEN 0 ELSE 5 END
                WHEN (r.namespace, r.workflow, r.input) = (a.namespace, a.workflow, a.input) THEN 1
                WHEN r.run_id IS NOT NULL THEN 2
                WHEN a.component IS NULL THEN 3
                ELSE 4 END::smallint,
           coalesce(s.component, r.component), coalesce(s.version, r.version), coalesce(s.started_at, r.started_at),
           coalesce(s.deadline_at, r.deadline_at), coalesce(s.is_limited, false)
    FROM asked a
    LEFT JOIN started s ON s.run_id = a.run_id
    LEFT JOIN runs r ON r.shard = a.shard AND r.run_id = a.run_id
    LOOP
        limited := CASE WHEN is_limited THEN limited || run_id ELSE limited END;
        RETURN NEXT;
    END LOOP;
    IF num_nonnulls(VARIADIC p_tags) > 0 THEN
        -- A run that was there already may be getting other tags right now.
        PERFORM lock_runs(p_run_ids);
        PERFORM tag_runs(p_run_ids);
    END IF;
    PERFORM enter_gates(limited);
END $$;

-- The way above is for runs that are written before anybody is at them. A host may also go ahead with a run that it accepts,
-- as long as nothing of it leaves the host, and write it when it is on its way or has even ended: one commit for all of it.
-- It then says which version it took, and what the run came to (p_states, p_results,
-- p_closed_ats, p_codes: null if it goes on; one that is quarantined is not over, and has been since then).

-- Those that cannot be accepted as they are: the workflow has another version by now, is paused or limited, or the id belongs to a run
-- already.
-- One that is there with the same seed is the same, from a commit whose answer was lost.
CREATE FUNCTION refused_runs(
    p_runs uuid[], p_namespaces text[], p_workflows text[], p_components text[], p_versions integer[], p_seeds bytea[]
) RETURNS SETOF uuid LANGUAGE sql STABLE AS $$
    SELECT u.run_id
    FROM unnest(p_runs, p_namespaces, p_workflows, p_components, p_versions, p_seeds)
        AS u (run_id, namespace, workflow, component, version, seed)
    LEFT JOIN runs r ON r.shard = shard_of(u.run_id) AND r.run_id = u.run_id
    LEFT JOIN workflows w ON w.namespace = u.namespace AND w.workflow = u.workflow
    WHERE CASE WHEN r.run_id IS NOT NULL THEN r.seed <> u.seed
               ELSE (w.component, w.version) IS DISTINCT FROM (u.component, u.version) OR w.is_limited
                    OR EXISTS (SELECT FROM pauses p WHERE p.namespace = u.namespace AND p.workflow IN ('', u.workflow))
               END;
$$;

-- Write them. The host owns those that go on.
CREATE FUNCTION accept_runs(
    p_host uuid, p_runs uuid[], p_namespaces text[], p_workflows text[], p_components text[], p_versions integer[],
    p_durabilities smallint[], p_seeds bytea[], p_keys text[], p_inputs bytea[], p_started_ats timestamptz[],
    p_deadline_ats timestamptz[], p_states smallint[], p_results bytea[], p_closed_ats timestamptz[], p_codes text[] = NULL,
    p_tags text[] = NULL, p_priorities smallint[] = NULL
) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    added integer;
BEGIN
    WITH accepted AS (
        INSERT INTO runs (run_id, shard, namespace, workflow, component, version, durability, seed, idempotency_key, input,
                          started_at, deadline_at, state, result, closed_at, quarantined_at, quarantines, failure_code, tags,
                          priority)
        SELECT u.run_id, shard_of(u.run_id), u.namespace, u.workflow, u.component, u.version, u.durability, u.seed, u.key,
               u.input, u.started_at, u.deadline_at, u.state, u.result, CASE WHEN u.state <> 4 THEN u.closed_at END,
               CASE u.state WHEN 4 THEN u.closed_at END, CASE u.state WHEN 4 THEN 1 END, u.code, string_to_array(u.tags, ','),
               coalesce(u.priority, 3)
        FROM unnest(p_runs, p_namespaces, p_workflows, p_components, p_versions, p_durabilities, p_seeds, p_keys, p_inputs,
                    p_started_ats, p_deadline_ats, p_states, p_results, p_closed_ats, p_codes, p_tags, p_priorities)
            AS u (run_id, namespace, workflow, component, version, durability, seed, key, input, started_at, deadline_at,
                  state, result, closed_at, code, tags, priority)
        -- Two that accept the same runs do it in the same order: one waits for the other, and not both for each other.
        ORDER BY u.run_id
        ON CONFLICT DO NOTHING
        RETURNING shard, namespace, run_id, component, version, state, priority
    ), to_host AS (
        INSERT INTO owned (shard, namespace, run_id, host_id, priority, strikes, edition)
        SELECT a.shard, a.namespace, a.run_id, p_host, a.priority, 0, edition_of(a.namespace, a.component, a.version)
        FROM accepted a WHERE a.state = 0
    )
    SELECT count(*) INTO added FROM accepted;
    IF added < cardinality(p_runs) THEN
        PERFORM 1 FROM unnest(p_runs, p_seeds) AS u (run_id, seed)
        JOIN runs r ON r.shard = shard_of(u.run_id) AND r.run_id = u.run_id WHERE r.seed <> u.seed;
        IF FOUND THEN
            RAISE EXCEPTION 'somebody else has just started one of these runs' USING ERRCODE = 'WL009';
        END IF;
    END IF;
    -- From a commit whose answer was lost, they are there, and may be others by now.
    IF added > 0 AND num_nonnulls(VARIADIC p_tags) > 0 THEN
        PERFORM tag_runs(p_runs);
    END IF;
END $$;
