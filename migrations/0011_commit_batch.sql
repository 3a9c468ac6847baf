-- Everything that a host writes about its runs, of many runs in one call and one commit.
--
-- May be sent again when the answer to a commit was lost: what is there already is left as it is. Returns the runs whose end
-- was not as asked: 1 this host does not own it, 2 not parked, there is mail. All others are as asked.
CREATE FUNCTION commit_batch(
    p_host uuid, p_epoch bigint,
    -- events
    e_runs uuid[], e_seqs integer[], e_kinds smallint[], e_calls integer[], e_names text[], e_inputs bytea[],
    e_attempts integer[], e_failed boolean[], e_outcomes bytea[], e_asked_ats timestamptz[], e_ats timestamptz[],
    e_inbox bigint[],
    -- attempts
    a_runs uuid[], a_calls integer[], a_attempts integer[], a_failures bytea[], a_started_ats timestamptz[],
    a_ended_ats timestamptz[], a_next_ats timestamptz[],
    -- log lines
    l_runs uuid[], l_sources integer[], l_attempts integer[], l_numbers integer[], l_levels smallint[], l_messages text[],
    -- published values
    v_runs uuid[], v_keys text[], v_values bytea[],
    -- ends
    c_runs uuid[], c_states smallint[], c_results bytea[],
    -- parks
    w_runs uuid[], w_wake_ats timestamptz[], w_signals text[], w_strikes smallint[], w_open_calls bytea[]
) RETURNS TABLE (run_id uuid, verdict smallint) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    added integer;
    other record;
BEGIN
    PERFORM fence(p_host, p_epoch);

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
        DELETE FROM inbox i USING unnest(e_runs, e_inbox) AS u (run_id, id)
        WHERE i.shard = shard_of(u.run_id) AND i.run_id = u.run_id AND i.id = u.id;
    END IF;

    -- Sent again, these two could come after another host's newer ones: only for runs that are still ours.
    IF cardinality(a_runs) > 0 THEN
        INSERT INTO attempts AS a (shard, run_id, call, attempt, failure, started_at, ended_at, next_at)
        SELECT o.shard, u.* FROM unnest(a_runs, a_calls, a_attempts, a_failures, a_started_ats, a_ended_ats, a_next_ats)
            AS u (run_id, call, attempt, failure, started_at, ended_at, next_at)
        JOIN owned o ON o.shard = shard_of(u.run_id) AND o.run_id = u.run_id AND o.host_id = p_host
        ON CONFLICT (shard, run_id, call, attempt) DO UPDATE
            SET failure = excluded.failure, started_at = excluded.started_at, ended_at = excluded.ended_at,
                next_at = excluded.next_at;
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

    IF cardinality(c_runs) > 0 THEN
        RETURN QUERY
        WITH asked AS (
            SELECT shard_of(u.run_id) AS shard, u.* FROM unnest(c_runs, c_states, c_results) AS u (run_id, state, result)
        ), released AS (
            DELETE FROM owned o USING asked a
            WHERE o.shard = a.shard AND o.run_id = a.run_id AND o.host_id = p_host RETURNING o.run_id
        ), closed AS (
            UPDATE runs r SET state = a.state, result = a.result,
                              closed_at = CASE WHEN a.state BETWEEN 1 AND 3 THEN clock_timestamp() END
            FROM asked a JOIN released USING (run_id)
            WHERE r.shard = a.shard AND r.run_id = a.run_id AND r.state = 0 RETURNING r.run_id
        )
        SELECT a.run_id, 1::smallint FROM asked a
        LEFT JOIN closed c USING (run_id) JOIN runs r ON r.shard = a.shard AND r.run_id = a.run_id
        WHERE c.run_id IS NULL AND (r.state, r.result) IS DISTINCT FROM (a.state, a.result);
    END IF;

    IF cardinality(w_runs) > 0 THEN
        RETURN QUERY SELECT p.run_id, p.verdict FROM park(p_host, w_runs, w_wake_ats, w_signals, w_strikes, w_open_calls) p;
    END IF;
END $$;
