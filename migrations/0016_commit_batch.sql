-- Everything that a host writes about its runs, of many runs in one call and one commit.
--
-- May be sent again when the answer to a commit was lost: what is there already is left as it is. Returns the runs whose end
-- was not as asked: 1 this host does not own it, 2 not parked, there is mail. All others are as asked. And the runs of others
-- that something has come of it for: 3 a host is at it and can be told, 4 any host can claim it. When there are some with 5,
-- a run that cannot be accepted so, those are all, and nothing is written.
CREATE FUNCTION commit_batch(
    p_host uuid, p_epoch bigint,
    -- runs that are new, and perhaps over
    r_runs uuid[], r_namespaces text[], r_workflows text[], r_components text[], r_versions integer[],
    r_durabilities smallint[], r_seeds bytea[], r_keys text[], r_inputs bytea[], r_started_ats timestamptz[],
    r_deadline_ats timestamptz[], r_states smallint[], r_results bytea[], r_closed_ats timestamptz[],
    -- events
    e_runs uuid[], e_seqs integer[], e_kinds smallint[], e_calls integer[], e_names text[], e_inputs bytea[],
    e_attempts integer[], e_failed boolean[], e_outcomes bytea[], e_asked_ats timestamptz[], e_ats timestamptz[],
    e_inbox bigint[],
    -- attempts
    a_runs uuid[], a_calls integer[], a_attempts integer[], a_failures bytea[], a_heartbeats bytea[],
    a_started_ats timestamptz[], a_ended_ats timestamptz[], a_next_ats timestamptz[],
    -- log lines
    l_runs uuid[], l_sources integer[], l_attempts integer[], l_numbers integer[], l_levels smallint[], l_messages text[],
    -- published values
    v_runs uuid[], v_keys text[], v_values bytea[],
    -- children that are started; calls whose child is no longer wanted
    s_runs uuid[], s_calls integer[], s_children uuid[], s_workflows text[], s_inputs bytea[], s_seeds bytea[],
    s_abandon boolean[], s_detached boolean[],
    x_runs uuid[], x_calls integer[],
    -- answers to updates
    u_runs uuid[], u_calls integer[], u_failed boolean[], u_answers bytea[],
    -- letters that nobody wants
    d_runs uuid[], d_inbox bigint[],
    -- continuations as new
    n_runs uuid[], n_generations integer[], n_seqs integer[], n_calls integer[], n_inputs bytea[], n_ats timestamptz[],
    n_told text[],
    -- ends
    c_runs uuid[], c_states smallint[], c_results bytea[], c_ats timestamptz[],
    -- parks
    w_runs uuid[], w_wake_ats timestamptz[], w_signals text[], w_updates text[], w_strikes smallint[],
    w_open_calls bytea[]
) RETURNS TABLE (run_id uuid, verdict smallint) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    added integer;
    other record;
    ours uuid[];
    states smallint[];
    results bytea[];
    ats timestamptz[];
BEGIN
    IF cardinality(r_runs) > 0 THEN
        RETURN QUERY SELECT f.run_id, 5::smallint
        FROM refused_runs(r_runs, r_namespaces, r_workflows, r_components, r_versions, r_seeds) AS f (run_id);
        IF FOUND THEN
            RETURN;
        END IF;
    END IF;
    PERFORM fence(p_host, p_epoch);
    -- Before any lock: it may wait for another who accepts the same run.
    IF cardinality(r_runs) > 0 THEN
        PERFORM accept_runs(p_host, r_runs, r_namespaces, r_workflows, r_components, r_versions, r_durabilities, r_seeds,
                            r_keys, r_inputs, r_started_ats, r_deadline_ats, r_states, r_results, r_closed_ats);
    END IF;
    -- All at once and in order, so that no two sessions wait for each other.
    IF cardinality(s_runs) + cardinality(x_runs) + cardinality(n_runs) + cardinality(c_runs) + cardinality(w_runs) > 0 THEN
        PERFORM lock_runs(s_runs || x_runs || n_runs || c_runs || w_runs || ARRAY (
            SELECT r.parent_run_id FROM unnest(c_runs) AS u (run_id)
            JOIN runs r ON r.shard = shard_of(u.run_id) AND r.run_id = u.run_id WHERE r.parent_run_id IS NOT NULL));
    END IF;

    IF cardinality(e_runs) > 0 THEN
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
        DELETE FROM inbox i USING unnest(e_runs, e_inbox) AS u (run_id, id)
        WHERE i.shard = shard_of(u.run_id) AND i.run_id = u.run_id AND i.id = u.id;
    END IF;

    -- Sent again, these two could come after another host's newer ones: only for runs that are still ours.
    IF cardinality(a_runs) > 0 THEN
        INSERT INTO attempts AS a (shard, run_id, call, attempt, failure, heartbeat, started_at, ended_at, next_at)
        SELECT o.shard, u.*
        FROM unnest(a_runs, a_calls, a_attempts, a_failures, a_heartbeats, a_started_ats, a_ended_ats, a_next_ats)
            AS u (run_id, call, attempt, failure, heartbeat, started_at, ended_at, next_at)
        JOIN owned o ON o.shard = shard_of(u.run_id) AND o.run_id = u.run_id AND o.host_id = p_host
        ON CONFLICT (shard, run_id, call, attempt) DO UPDATE
            SET failure = excluded.failure, heartbeat = coalesce(excluded.heartbeat, a.heartbeat),
                started_at = excluded.started_at, ended_at = excluded.ended_at, next_at = excluded.next_at;
    END IF;
    IF cardinality(v_runs) > 0 THEN
        INSERT INTO published AS v (shard, run_id, key, value)
        SELECT o.shard, u.* FROM unnest(v_runs, v_keys, v_values) AS u (run_id, key, value)
        JOIN owned o ON o.shard = shard_of(u.run_id) AND o.run_id = u.run_id AND o.host_id = p_host
        ON CONFLICT (shard, run_id, key) DO UPDATE SET value = excluded.value, at = excluded.at;
    END IF;

    IF cardinality(l_runs) > 0 THEN
        INSERT INTO logs (shard, run_id, source, attempt, number, level, message)
        SELECT shard_of(u.run_id), u.* FROM unnest(l_runs, l_sources, l_attempts, l_numbers, l_levels, l_messages)
            AS u (run_id, source, attempt, number, level, message)
        ON CONFLICT DO NOTHING;
    END IF;

    IF cardinality(u_runs) > 0 THEN
        -- The first answer is the answer.
        UPDATE updates t SET failed = u.failed, answer = u.answer, answered_at = clock_timestamp()
        FROM unnest(u_runs, u_calls, u_failed, u_answers) AS u (run_id, call, failed, answer)
        WHERE t.shard = shard_of(u.run_id) AND t.run_id = u.run_id AND t.call = u.call AND t.answer IS NULL;
    END IF;
    IF cardinality(d_runs) > 0 THEN
        DELETE FROM inbox i USING unnest(d_runs, d_inbox) AS u (run_id, id)
        WHERE i.shard = shard_of(u.run_id) AND i.run_id = u.run_id AND i.id = u.id;
    END IF;
    IF cardinality(s_runs) > 0 THEN
        RETURN QUERY
        SELECT s.run_id, CASE WHEN s.is_owned THEN 3 ELSE 4 END::smallint
        FROM start_children(p_host, s_runs, s_calls, s_children, s_workflows, s_inputs, s_seeds, s_abandon, s_detached) s;
    END IF;
    IF cardinality(x_runs) > 0 THEN
        PERFORM release_children(x_runs, x_calls);
    END IF;

    IF cardinality(n_runs) > 0 THEN
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

    IF cardinality(c_runs) > 0 THEN
        -- Those that are ours; of the others, those are as asked that were closed so before.
        SELECT array_agg(a.run_id), array_agg(a.state), array_agg(a.result), array_agg(a.at) INTO ours, states, results, ats
        FROM release_owned(p_host, c_runs) o JOIN unnest(c_runs, c_states, c_results, c_ats) AS a (run_id, state, result, at)
            ON a.run_id = o.run_id;
        IF ours IS NOT NULL THEN
            RETURN QUERY SELECT t.run_id, CASE WHEN t.is_owned THEN 3 ELSE 4 END::smallint
            FROM close_runs(ours, states, results, ats) t;
        END IF;
        RETURN QUERY
        SELECT a.run_id, 1::smallint FROM unnest(c_runs, c_states, c_results) AS a (run_id, state, result)
        JOIN runs r ON r.shard = shard_of(a.run_id) AND r.run_id = a.run_id
        WHERE (r.state, r.result) IS DISTINCT FROM (a.state, a.result);
    END IF;

    IF cardinality(w_runs) > 0 THEN
        RETURN QUERY SELECT p.run_id, p.verdict
        FROM park(p_host, w_runs, w_wake_ats, w_signals, w_updates, w_strikes, w_open_calls) p;
    END IF;
END $$;
