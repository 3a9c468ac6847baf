-- Everything that a host writes about its runs, of many runs in one call and one commit. What there is none of is null.
--
-- May be sent again when the answer to a commit was lost: what is there already is left as it is. Returns the runs whose end
-- was not as asked: 1 this host does not own it, 2 not parked, there is mail. All others are as asked, 0 of them with something that the
-- host does not know: somebody has asked the run to stop. And the runs of others
-- that something has come of it for: 3 a host is at it and can be told, 4 any host can claim it. When there are some with 5,
-- a run that cannot be accepted so, those are all, and nothing is written.
CREATE FUNCTION commit_batch(
    p_host uuid, p_epoch bigint,
    -- runs that are new, and perhaps over
    r_runs uuid[] = NULL, r_namespaces text[] = NULL, r_workflows text[] = NULL, r_components text[] = NULL,
    r_versions integer[] = NULL, r_durabilities smallint[] = NULL, r_seeds bytea[] = NULL, r_keys text[] = NULL,
    r_inputs bytea[] = NULL, r_started_ats timestamptz[] = NULL, r_deadline_ats timestamptz[] = NULL,
    r_states smallint[] = NULL, r_results bytea[] = NULL, r_closed_ats timestamptz[] = NULL, r_codes text[] = NULL,
    r_tags text[] = NULL, r_priorities smallint[] = NULL,
    -- events
    e_runs uuid[] = NULL, e_seqs integer[] = NULL, e_kinds smallint[] = NULL, e_calls integer[] = NULL,
    e_names text[] = NULL, e_inputs bytea[] = NULL, e_attempts integer[] = NULL, e_failed boolean[] = NULL,
    e_outcomes bytea[] = NULL, e_asked_ats timestamptz[] = NULL, e_ats timestamptz[] = NULL, e_inbox bigint[] = NULL,
    -- attempts
    a_runs uuid[] = NULL, a_calls integer[] = NULL, a_attempts integer[] = NULL, a_steps text[] = NULL,
    a_limits integer[] = NULL, a_failures bytea[] = NULL,
    a_heartbeats bytea[] = NULL, a_started_ats timestamptz[] = NULL, a_ended_ats timestamptz[] = NULL,
    a_next_ats timestamptz[] = NULL,
    -- log lines
    l_runs uuid[] = NULL, l_sources integer[] = NULL, l_attempts integer[] = NULL, l_numbers integer[] = NULL,
    l_levels smallint[] = NULL, l_messages text[] = NULL,
    -- published values
    v_runs uuid[] = NULL, v_keys text[] = NULL, v_values bytea[] = NULL,
    -- tags: all that a run has now, joined by commas
    t_runs uuid[] = NULL, t_tags text[] = NULL,
    -- children that are started; calls whose child is no longer wanted
    s_runs uuid[] = NULL, s_calls integer[] = NULL, s_children uuid[] = NULL, s_workflows text[] = NULL,
    s_inputs bytea[] = NULL, s_seeds bytea[] = NULL, s_abandon boolean[] = NULL, s_detached boolean[] = NULL,
    x_runs uuid[] = NULL, x_calls integer[] = NULL,
    -- answers to updates
    u_runs uuid[] = NULL, u_calls integer[] = NULL, u_failed boolean[] = NULL, u_answers bytea[] = NULL,
    -- letters that nobody wants
    d_runs uuid[] = NULL, d_inbox bigint[] = NULL,
    -- continuations as new
    n_runs uuid[] = NULL, n_generations integer[] = NULL, n_seqs integer[] = NULL, n_calls integer[] = NULL,
    n_inputs bytea[] = NULL, n_ats timestamptz[] = NULL, n_told text[] = NULL,
    -- ends
    c_runs uuid[] = NULL, c_states smallint[] = NULL, c_results bytea[] = NULL, c_ats timestamptz[] = NULL,
    c_codes text[] = NULL,
    -- parks
    w_runs uuid[] = NULL, w_wake_ats timestamptz[] = NULL, w_signals text[] = NULL, w_updates text[] = NULL,
    w_strikes smallint[] = NULL, w_open_calls bytea[] = NULL
) RETURNS TABLE (run_id uuid, verdict smallint) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    added integer;
    other record;
    ours uuid[];
    states smallint[];
    results bytea[];
    ats timestamptz[];
    codes text[];
BEGIN
    IF r_runs IS NOT NULL THEN
        RETURN QUERY SELECT f.run_id, 5::smallint
        FROM refused_runs(r_runs, r_namespaces, r_workflows, r_components, r_versions, r_seeds) AS f (run_id);
        IF FOUND THEN
            RETURN;
        END IF;
    END IF;
    PERFORM fence(p_host, p_epoch);
    -- Before any lock: it may wait for another who accepts the same run.
    IF r_runs IS NOT NULL THEN
        PERFORM accept_runs(p_host, r_runs, r_namespaces, r_workflows, r_components, r_versions, r_durabilities, r_seeds,
                            r_keys, r_inputs, r_started_ats, r_deadline_ats, r_states, r_results, r_closed_ats, r_codes, r_tags,
                            r_priorities);
    END IF;
    -- All at once and in order, so that no two sessions wait for each other.
    IF coalesce(t_runs, s_runs, x_runs, n_runs, c_runs, w_runs) IS NOT NULL THEN
        PERFORM lock_runs(t_runs || s_runs || x_runs || n_runs || c_runs || w_runs || ARRAY (
            SELECT r.parent_run_id FROM unnest(c_runs) AS u (run_id)
            JOIN runs r ON r.shard = shard_of(u.run_id) AND r.run_id = u.run_id WHERE r.parent_run_id IS NOT NULL));
    END IF;

    IF coalesce(s_runs, c_runs) IS NOT NULL AND EXISTS (SELECT FROM concurrency) THEN
        PERFORM lock_gates_of(s_runs, s_workflows, c_runs);
    END IF;

    IF e_runs IS NOT NULL THEN
        INSERT INTO events (shard, run_id, seq, kind, call, name, input, attempt, failed, outcome, asked_at, at)
        SELECT shard_of(u.run_id), u.* FROM unnest(
            e_runs, e_seqs, e_kinds, e_calls, e_names, e_inputs, e_attempts, e_failed, e_outcomes, e_asked_ats, e_ats
        ) AS u (run_id, seq, kind, call, name, input, attempt, failed, outcome, asked_at, at)
        ON CONFLICT DO NOTHING;
        GET DIAGNOSTICS added = ROW_COUNT;
        IF added < cardinality(e_runs) THEN
            -- Ours, from a commit whose answer was lost; or another's, and then nothing of this batch may stay.
            SELECT e.run_id, e.seq INTO other
            FROM unnest(e_runs, e_seqs, e_kinds, e_calls, e_failed, e_outcomes, e_ats)
                AS u (run_id, seq, kind, call, failed, outcome, at)
            JOIN events e ON e.shard = shard_of(u.run_id) AND e.run_id = u.run_id AND e.seq = u.seq
            WHERE (e.kind, e.call, e.failed, e.outcome, e.at)
                IS DISTINCT FROM (u.kind, u.call, u.failed, u.outcome, u.at)
            LIMIT 1;
            IF FOUND THEN
                RAISE EXCEPTION 'event % of run % is there already, and another', other.seq, other.run_id
                    USING ERRCODE = 'WL002', DETAIL = other.run_id::text;
            END IF;
        END IF;
        IF 6 = ANY (e_kinds) THEN
            UPDATE updates t SET call = u.call FROM unnest(e_runs, e_calls, e_kinds, e_inbox) AS u (run_id, call, kind, id)
            WHERE u.kind = 6 AND t.shard = shard_of(u.run_id) AND t.run_id = u.run_id AND t.inbox_id = u.id;
        END IF;
        IF num_nonnulls(VARIADIC e_inbox) > 0 THEN
            DELETE FROM inbox i USING unnest(e_runs, e_inbox) AS u (run_id, id)
            WHERE i.shard = shard_of(u.run_id) AND i.run_id = u.run_id AND i.id = u.id;
        END IF;
    END IF;

    -- Sent again, these three could come after another host's newer ones: only for runs that are still ours.
    IF a_runs IS NOT NULL THEN
        INSERT INTO attempts AS a (shard, run_id, call, attempt, step, attempt_limit, failure, heartbeat, started_at, ended_at, next_at)
        SELECT o.shard, u.*
        FROM unnest(a_runs, a_calls, a_attempts, a_steps, a_limits, a_failures, a_heartbeats, a_started_ats, a_ended_ats,
                    a_next_ats)
            AS u (run_id, call, attempt, step, attempt_limit, failure, heartbeat, started_at, ended_at, next_at)
        JOIN owned o ON o.shard = shard_of(u.run_id) AND o.run_id = u.run_id AND o.host_id = p_host
        ON CONFLICT (shard, run_id, call, attempt) DO UPDATE
            SET failure = excluded.failure, heartbeat = coalesce(excluded.heartbeat, a.heartbeat),
                started_at = excluded.started_at, ended_at = excluded.ended_at, next_at = excluded.next_at;
    END IF;
    IF v_runs IS NOT NULL THEN
        INSERT INTO published AS v (shard, run_id, key, value)
        SELECT o.shard, u.* FROM unnest(v_runs, v_keys, v_values) AS u (run_id, key, value)
        JOIN owned o ON o.shard = shard_of(u.run_id) AND o.run_id = u.run_id AND o.host_id = p_host
        ON CONFLICT (shard, run_id, key) DO UPDATE SET value = excluded.value, at = excluded.at;
    END IF;
    IF t_runs IS NOT NULL THEN
        PERFORM set_tags(p_host, t_runs, t_tags);
    END IF;

    IF l_runs IS NOT NULL THEN
        INSERT INTO logs (shard, run_id, source, attempt, number, level, message)
        SELECT shard_of(u.run_id), u.* FROM unnest(l_runs, l_sources, l_attempts, l_numbers, l_levels, l_messages)
            AS u (run_id, source, attempt, number, level, message)
        ON CONFLICT DO NOTHING;
    END IF;

    IF u_runs IS NOT NULL THEN
        -- The first answer is the answer.
        UPDATE updates t SET failed = u.failed, answer = u.answer, answered_at = clock_timestamp()
        FROM unnest(u_runs, u_calls, u_failed, u_answers) AS u (run_id, call, failed, answer)
        WHERE t.shard = shard_of(u.run_id) AND t.run_id = u.run_id AND t.call = u.call AND t.answer IS NULL;
    END IF;
    IF d_runs IS NOT NULL THEN
        DELETE FROM inbox i USING unnest(d_runs, d_inbox) AS u (run_id, id)
        WHERE i.shard = shard_of(u.run_id) AND i.run_id = u.run_id AND i.id = u.id;
    END IF;
    IF s_runs IS NOT NULL THEN
        RETURN QUERY
        SELECT s.run_id, CASE WHEN s.is_owned THEN 3 ELSE 4 END::smallint
        FROM start_children(p_host, s_runs, s_calls, s_children, s_workflows, s_inputs, s_seeds, s_abandon, s_detached) s;
    END IF;
    IF x_runs IS NOT NULL THEN
        PERFORM release_children(x_runs, x_calls);
    END IF;

    IF n_runs IS NOT NULL THEN
        PERFORM release_children(n_runs, NULL);
        RETURN QUERY
        WITH asked AS (
            SELECT shard_of(u.run_id) AS shard, u.* FROM unnest(n_runs, n_generations, n_seqs, n_calls, n_inputs, n_ats, n_told)
                AS u (run_id, generation, seq, call, input, at, told)
        ), continued AS (
            UPDATE runs r SET generation = a.generation, first_seq = a.seq, first_call = a.call, input = a.input,
                              continued_at = a.at, told = a.told
            FROM asked a JOIN owned o ON o.shard = a.shard AND o.run_id = a.run_id AND o.host_id = p_host
            WHERE r.shard = a.shard AND r.run_id = a.run_id AND r.generation <= a.generation RETURNING r.run_id
        )
        SELECT a.run_id, 1::smallint FROM asked a WHERE a.run_id NOT IN (SELECT c.run_id FROM continued c);
    END IF;

    IF c_runs IS NOT NULL THEN
        -- Those that are ours; of the others, those are as asked that were closed so before.
        SELECT array_agg(a.run_id), array_agg(a.state), array_agg(a.result), array_agg(a.at), array_agg(a.code)
        INTO ours, states, results, ats, codes
        FROM release_owned(p_host, c_runs) o
        JOIN unnest(c_runs, c_states, c_results, c_ats, c_codes) AS a (run_id, state, result, at, code) ON a.run_id = o.run_id;
        IF ours IS NOT NULL THEN
            RETURN QUERY SELECT t.run_id, CASE WHEN t.is_owned THEN 3 ELSE 4 END::smallint
            FROM close_runs(ours, states, results, ats, codes) t;
        END IF;
        RETURN QUERY
        SELECT a.run_id, CASE WHEN (r.state, r.result) IS DISTINCT FROM (a.state, a.result) THEN 1 ELSE 0 END::smallint
        FROM unnest(c_runs, c_states, c_results) AS a (run_id, state, result)
        JOIN runs r ON r.shard = shard_of(a.run_id) AND r.run_id = a.run_id
        WHERE (r.state, r.result) IS DISTINCT FROM (a.state, a.result) OR r.cancelled_at IS NOT NULL;
    END IF;

    IF w_runs IS NOT NULL THEN
        RETURN QUERY SELECT p.run_id, p.verdict
        FROM park(p_host, w_runs, w_wake_ats, w_signals, w_updates, w_strikes, w_open_calls) p;
    END IF;
END $$;
