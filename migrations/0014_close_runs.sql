-- How runs end.

-- Runs that a host is at and that are about to end. Returns those that it had.
CREATE FUNCTION release_owned(p_host uuid, p_run_ids uuid[]) RETURNS TABLE (run_id uuid) LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    DELETE FROM owned o USING unnest(p_run_ids) AS u (run_id)
    WHERE o.shard = shard_of(u.run_id) AND o.run_id = u.run_id AND o.host_id = p_host RETURNING o.run_id;
END $$;

-- The end of runs, and what it means to others. The caller holds the locks of these runs and of their parents, and has taken
-- them out of ready, owned, parked, paused and queued. Of those that hold slots, the gates are locked as well.
--
-- p_codes: those of failures and reports, whose documents may be sealed. Returns the parents that have been told: see put_letters; and the
-- runs that have got the slots: no host is at them.
CREATE FUNCTION close_runs(p_run_ids uuid[], p_states smallint[], p_results bytea[], p_ats timestamptz[], p_codes text[] = NULL)
RETURNS TABLE (run_id uuid, is_owned boolean) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    told uuid[];
    kinds smallint[];
    names text[];
    payloads bytea[];
    limited uuid[];
BEGIN
    WITH asked AS MATERIALIZED (
        SELECT shard_of(u.run_id) AS shard, u.*
        FROM unnest(p_run_ids, p_states, p_results, p_ats, p_codes) AS u (run_id, state, result, at, code)
    ), gone AS (
        UPDATE runs r SET state = a.state, result = a.result, failure_code = a.code,
                          closed_at = CASE WHEN a.state BETWEEN 1 AND 3 THEN a.at END,
                          quarantined_at = CASE a.state WHEN 4 THEN a.at ELSE r.quarantined_at END,
                          quarantines = CASE a.state WHEN 4 THEN least(coalesce(r.quarantines, 0) + 1, 32767) ELSE r.quarantines END
        FROM asked a
        -- One that is quarantined can still be ended.
        WHERE r.shard = a.shard AND r.run_id = a.run_id AND r.state IN (0, 4)
        RETURNING r.run_id, shard_of(r.parent_run_id) AS parent_shard, r.parent_run_id, r.parent_call, r.state, r.result, r.is_limited
    ), awaited AS (
        DELETE FROM children c USING gone g
        WHERE c.shard = g.parent_shard AND c.run_id = g.parent_run_id AND c.call = g.parent_call
          -- The call may have another child by now, after a rewind; and a fork of a child is nobody's child.
          AND c.child_id = g.run_id AND g.state <> 4
        RETURNING c.run_id, c.call, c.released, g.state, g.result
    )
    SELECT array_agg(a.run_id), array_agg(CASE a.state WHEN 1 THEN 2 ELSE 3 END::smallint), array_agg(a.call::text),
           array_agg(a.result), (SELECT array_agg(g.run_id) FROM gone g WHERE g.is_limited)
    INTO told, kinds, names, payloads, limited
    FROM awaited a WHERE NOT a.released;

    -- What came and was not asked for; a quarantined run may yet ask.
    DELETE FROM inbox i
    USING (SELECT shard_of(u.run_id) AS shard, u.* FROM unnest(p_run_ids, p_states) AS u (run_id, state) OFFSET 0) a
    WHERE i.shard = a.shard AND i.run_id = a.run_id AND a.state <> 4;
    PERFORM release_children(array_agg(a.run_id), NULL)
    FROM unnest(p_run_ids, p_states) AS a (run_id, state) WHERE a.state <> 4;

    IF told IS NOT NULL THEN
        RETURN QUERY SELECT l.run_id, l.is_owned FROM put_letters(told, kinds, names, payloads) l;
    END IF;
    IF limited IS NOT NULL THEN
        RETURN QUERY SELECT s.id, false FROM give_back_slots(limited) AS s (id);
    END IF;
END $$;

-- End a run from outside, whatever it is at and without asking it. Its failure is given. Returns the host that was at it, so
-- that it can be told: from now on, nothing that it writes about the run counts.
CREATE FUNCTION terminate_run(
    p_namespace text, p_run_id uuid, p_failure bytea, p_code text = 'terminated', OUT owner uuid, OUT parent uuid
)
LANGUAGE plpgsql AS $$
DECLARE
    run runs;
BEGIN
    -- Before any lock: another tenant's run is none of this one's business.
    SELECT r.parent_run_id INTO parent FROM runs r
    WHERE r.shard = shard_of(p_run_id) AND r.run_id = p_run_id AND r.namespace = p_namespace;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no run % in the namespace %', p_run_id, p_namespace USING ERRCODE = 'WL003';
    END IF;
    PERFORM lock_runs(ARRAY [p_run_id, coalesce(parent, p_run_id)]);
    SELECT r.* INTO run FROM runs r WHERE r.shard = shard_of(p_run_id) AND r.run_id = p_run_id;
    IF run.state NOT IN (0, 4) THEN
        RAISE EXCEPTION 'run % has ended', p_run_id USING ERRCODE = 'WL004', DETAIL = run.state::text;
    END IF;
    IF run.is_limited THEN
        -- Or somebody who gives a slot back could take it out of queued just now.
        PERFORM lock_gates(ARRAY [run.namespace], ARRAY [run.workflow], ARRAY [run.concurrency_key]);
        DELETE FROM queued q WHERE q.shard = run.shard AND q.run_id = p_run_id;
    END IF;
    DELETE FROM ready r WHERE r.shard = run.shard AND r.run_id = p_run_id;
    DELETE FROM parked p WHERE p.shard = run.shard AND p.run_id = p_run_id;
    DELETE FROM paused p WHERE p.shard = run.shard AND p.run_id = p_run_id;
    DELETE FROM owned o WHERE o.shard = run.shard AND o.run_id = p_run_id RETURNING o.host_id INTO owner;
    PERFORM close_runs(ARRAY [p_run_id], ARRAY [2::smallint], ARRAY [p_failure], ARRAY [clock_timestamp()], ARRAY [p_code]);
END $$;
