-- Rewinding a run to before one of its events, and forking another run from there.
--
--     events   0 1 2 3 4 5 ──rewind before 3──→ events 0 1 2, past_events 3 4 5: and the run goes on from 2
--                          ──fork before 3────→ the same events 0 1 2 of another run, which goes on from 2
--
-- Whoever asks has delivered the history up to there to the run's guest (`run/rewind.rs`), and so knows which call it makes next, and
-- which it waits for. Calls from that one on are made anew, and so are those before whose outcome is dropped: what was asked of others is
-- asked again, what others have sent is there again. What is made anew is known by other keys and ids than before: runs.lineage.
--
-- These functions change histories, so hosts call them as themselves and not as a tenant; each asks for the namespace first.

-- Refuse if the run is not where somebody has looked: rewound, or continued as new.
CREATE FUNCTION check_point(p_run runs, p_generation integer, p_lineage text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF p_run.generation <> p_generation OR p_run.lineage IS DISTINCT FROM p_lineage THEN
        PERFORM refuse_state(format('run %s', p_run.run_id), 'further by now');
    END IF;
    PERFORM FROM versions v WHERE v.namespace = p_run.namespace AND v.component = p_run.component AND v.version = p_run.version
    FOR KEY SHARE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the component % has no version %', p_run.component, p_run.version USING ERRCODE = 'WL012';
    END IF;
END $$;

-- Take a run that is paused out of where it stands; refuse one that goes on. A host may be at it all the same, and is about to let go.
CREATE FUNCTION take_paused(p_run runs) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF NOT is_paused(p_run) THEN
        PERFORM refuse_state(format('run %s', p_run.run_id), run_state_name(p_run));
    END IF;
    -- In the order in which runs move: whoever is moving it just now is met at the next place.
    DELETE FROM parked p WHERE p.shard = p_run.shard AND p.run_id = p_run.run_id;
    IF FOUND THEN
        RETURN;
    END IF;
    DELETE FROM ready r WHERE r.shard = p_run.shard AND r.run_id = p_run.run_id;
    IF FOUND THEN
        RETURN;
    END IF;
    DELETE FROM paused p WHERE p.shard = p_run.shard AND p.run_id = p_run.run_id;
    IF NOT FOUND THEN
        PERFORM refuse_state(format('run %s', p_run.run_id),
                             CASE WHEN EXISTS (SELECT FROM queued q WHERE q.shard = p_run.shard AND q.run_id = p_run.run_id)
                                  THEN 'waiting for a slot' ELSE 'about to be paused' END);
    END IF;
END $$;

CREATE FUNCTION inbox_bytes(p_run runs) RETURNS bigint LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN (SELECT coalesce(sum(100 + coalesce(octet_length(i.payload), 0)), 0) FROM inbox i
            WHERE i.shard = p_run.shard AND i.run_id = p_run.run_id);
END $$;

-- Move the events from p_before on to the past. What they had taken out of the inbox is there again, before all that has come since.
CREATE FUNCTION drop_events(p_run runs, p_rewind integer, p_before integer, OUT dropped integer) LANGUAGE plpgsql AS $$
DECLARE
    lowest bigint;
BEGIN
    WITH gone AS (
        DELETE FROM events e WHERE e.shard = p_run.shard AND e.run_id = p_run.run_id AND e.seq >= p_before RETURNING e.*
    )
    INSERT INTO past_events (shard, run_id, rewind, seq, kind, call, name, input, attempt, failed, outcome, asked_at, at)
    SELECT g.shard, g.run_id, p_rewind, g.seq, g.kind, g.call, g.name, g.input, g.attempt, g.failed, g.outcome, g.asked_at, g.at
    FROM gone g;
    GET DIAGNOSTICS dropped = ROW_COUNT;

    -- Letters are read in the order of their numbers, and numbers that are given out ascend: these have to be below.
    SELECT least(min(i.id), 1) INTO lowest FROM inbox i WHERE i.shard = p_run.shard AND i.run_id = p_run.run_id;
    WITH letters AS MATERIALIZED (
        SELECT e.kind, e.call, e.name, e.outcome, lowest - row_number() OVER (ORDER BY e.seq DESC) AS id
        FROM past_events e
        WHERE e.shard = p_run.shard AND e.run_id = p_run.run_id AND e.rewind = p_rewind AND e.kind IN (2, 6)
    ), put AS (
        INSERT INTO inbox (shard, run_id, id, kind, name, payload) OVERRIDING SYSTEM VALUE
        SELECT p_run.shard, p_run.run_id, l.id, CASE l.kind WHEN 2 THEN 0 ELSE 4 END, l.name, l.outcome FROM letters l
    )
    -- One that was answered keeps its answer: the first one is the answer.
    UPDATE updates u SET call = NULL, inbox_id = l.id FROM letters l
    WHERE l.kind = 6 AND u.shard = p_run.shard AND u.run_id = p_run.run_id AND u.call = l.call;
END $$;

-- Of what calls have left that are made anew, attempts go, and lines stay, out of the way of those that come.
CREATE FUNCTION clear_calls(p_run runs, p_rewind integer, p_next_call integer, p_next_line integer) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    redone integer[];
    lowest integer;
BEGIN
    SELECT coalesce(array_agg(e.call), '{}') INTO redone FROM past_events e
    WHERE e.shard = p_run.shard AND e.run_id = p_run.run_id AND e.rewind = p_rewind AND e.kind = 0;
    DELETE FROM attempts a
    WHERE a.shard = p_run.shard AND a.run_id = p_run.run_id AND (a.call >= p_next_call OR a.call = ANY (redone));
    SELECT least(min(l.number), 0) INTO lowest FROM logs l WHERE l.shard = p_run.shard AND l.run_id = p_run.run_id;
    UPDATE logs l SET number = lowest - 1 - l.number
    WHERE l.shard = p_run.shard AND l.run_id = p_run.run_id AND l.number >= 0
      AND CASE l.source WHEN -1 THEN l.attempt = p_run.generation AND l.number >= p_next_line
                        ELSE l.source >= p_next_call OR l.source = ANY (redone) END;
END $$;

-- The children of a run that is rewound. Those of calls that are made anew are asked to stop, and what came of them is forgotten. Those of
-- calls that stay, and that are waited for, stay: the run hears of their ends, also of those that it had heard of. The caller holds the
-- locks of the run and of these children.
CREATE FUNCTION await_children(
    p_run runs, p_next_call integer, p_calls integer[], p_child_ids uuid[], p_abandon boolean[], p_detached boolean[]
) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    archived uuid;
BEGIN
    DELETE FROM inbox i
    WHERE i.shard = p_run.shard AND i.run_id = p_run.run_id
      AND CASE WHEN i.kind IN (2, 3) THEN i.name::integer >= p_next_call ELSE false END;
    PERFORM release_children(array_agg(c.run_id), array_agg(c.call)) FROM children c
    WHERE c.shard = p_run.shard AND c.run_id = p_run.run_id AND c.call >= p_next_call;

    -- The call would start it once more, under the same id.
    SELECT u.child_id INTO archived FROM unnest(p_child_ids) AS u (child_id)
    WHERE NOT EXISTS (SELECT FROM runs r WHERE r.shard = shard_of(u.child_id) AND r.run_id = u.child_id)
      AND EXISTS (SELECT FROM archived_runs a
                  WHERE a.shard = shard_of(u.child_id) AND a.run_id = u.child_id AND a.namespace = p_run.namespace)
    LIMIT 1;
    IF archived IS NOT NULL THEN
        PERFORM refuse_state(format('run %s', p_run.run_id), format('waiting there for its child %s, which is archived', archived));
    END IF;

    WITH asked AS MATERIALIZED (
        SELECT u.*, c.state, c.result FROM unnest(p_calls, p_child_ids, p_abandon, p_detached) AS u (call, child_id, abandon, detached)
        JOIN runs c ON c.shard = shard_of(u.child_id) AND c.run_id = u.child_id
        -- What has come and was not delivered is there.
        WHERE NOT EXISTS (SELECT FROM inbox i WHERE i.shard = p_run.shard AND i.run_id = p_run.run_id AND i.kind IN (2, 3)
                          AND i.name = u.call::text)
    ), told AS (
        INSERT INTO inbox (shard, run_id, kind, name, payload)
        SELECT p_run.shard, p_run.run_id, CASE WHEN a.detached OR a.state = 1 THEN 2 ELSE 3 END, a.call::text,
               CASE WHEN a.detached THEN 'null'::bytea ELSE a.result END
        FROM asked a WHERE a.detached OR a.state BETWEEN 1 AND 3
    )
    INSERT INTO children AS c (shard, run_id, call, child_id, abandon)
    SELECT p_run.shard, p_run.run_id, a.call, a.child_id, a.abandon
    FROM asked a WHERE NOT a.detached AND a.state IN (0, 4)
    ON CONFLICT (shard, run_id, call, child_id) DO UPDATE SET released = false;
END $$;

-- Rewind a run that is paused, in quarantine or has ended. p_lineage: what is to be its lineage. p_what: how the audit log calls it.
-- Returns which rewind of the run it was, how many events it has dropped, and about how many bytes more are kept.
CREATE FUNCTION rewind_run(
    p_namespace text, p_run_id uuid, p_before integer, p_next_seq integer, p_generation integer, p_lineage_before text,
    p_lineage text, p_next_call integer, p_next_line integer, p_calls integer[], p_child_ids uuid[], p_abandon boolean[],
    p_detached boolean[], p_pause boolean, p_what text, p_who text, OUT rewind integer, OUT dropped integer, OUT bytes bigint
) LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
    run runs;
BEGIN
    -- Before any lock: another tenant's run is none of this one's business.
    PERFORM FROM runs r WHERE r.shard = shard_of(p_run_id) AND r.run_id = p_run_id AND r.namespace = p_namespace;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no run % in the namespace %', p_run_id, p_namespace USING ERRCODE = 'WL003';
    END IF;
    PERFORM lock_runs(p_run_id || p_child_ids);
    run := lock_run(p_namespace, p_run_id);
    IF run.state = 0 THEN
        PERFORM take_paused(run);
    END IF;
    PERFORM check_point(run, p_generation, p_lineage_before);
    IF p_next_seq <> coalesce((SELECT e.seq + 1 FROM events e WHERE e.shard = run.shard AND e.run_id = p_run_id
                               ORDER BY e.seq DESC LIMIT 1), run.first_seq) THEN
        PERFORM refuse_state(format('run %s', p_run_id), 'further by now');
    END IF;
    SELECT count(*) + 1 INTO rewind FROM rewinds w WHERE w.shard = run.shard AND w.run_id = p_run_id;
    INSERT INTO rewinds (shard, run_id, rewind, before_seq, state, result, who)
    VALUES (run.shard, p_run_id, rewind, p_before, run.state, run.result, p_who);
    bytes := 100 - inbox_bytes(run);
    dropped := drop_events(run, rewind, p_before);
    PERFORM clear_calls(run, rewind, p_next_call, p_next_line);
    PERFORM await_children(run, p_next_call, p_calls, p_child_ids, p_abandon, p_detached);
    bytes := bytes + inbox_bytes(run);

    UPDATE runs r SET
        state = 0, result = NULL, failure_code = NULL, closed_at = NULL, lineage = p_lineage,
        -- What had ended has given its slots back.
        is_limited = run.is_limited OR run.state > 0,
        paused_at = CASE WHEN run.state = 0 AND run.paused_at IS NOT NULL THEN run.paused_at
                         WHEN p_pause THEN clock_timestamp() END,
        -- Told once more at once, it could do nothing else.
        deadline_at = CASE WHEN run.deadline_at > clock_timestamp() THEN run.deadline_at END,
        -- A request to stop that is dropped was about what is dropped.
        cancelled_at = CASE WHEN run.told IS NOT NULL
                              OR EXISTS (SELECT FROM events e WHERE e.shard = run.shard AND e.run_id = p_run_id AND e.kind = 3)
                              OR EXISTS (SELECT FROM inbox i WHERE i.shard = run.shard AND i.run_id = p_run_id AND i.kind = 1)
                            THEN run.cancelled_at END
    WHERE r.shard = run.shard AND r.run_id = p_run_id RETURNING r.* INTO run;
    PERFORM place_run(run);
    PERFORM audit(p_namespace, p_who, p_what, p_run_id::text,
                  jsonb_build_object('before', p_before, 'rewind', rewind, 'dropped', dropped)::text);
END $$;

-- A run that stands nowhere waits for a host; or to be resumed. One that holds no slot, and has gates before it, comes to them, paused or
-- not: whoever takes it up finds that out.
CREATE FUNCTION place_run(p_run runs) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF p_run.is_limited AND EXISTS (SELECT FROM gates_before(p_run))
       AND NOT EXISTS (SELECT FROM slots s WHERE s.shard = p_run.shard AND s.run_id = p_run.run_id) THEN
        PERFORM enter_gates(ARRAY [p_run.run_id]);
    ELSIF is_paused(p_run) THEN
        INSERT INTO paused (shard, namespace, priority, run_id, strikes, open_calls, edition)
        VALUES (p_run.shard, p_run.namespace, p_run.priority, p_run.run_id, 0, '[]',
                edition_of(p_run.namespace, p_run.component, p_run.version));
    ELSE
        INSERT INTO ready (shard, namespace, priority, run_id, strikes, edition)
        VALUES (p_run.shard, p_run.namespace, p_run.priority, p_run.run_id, 0, edition_of(p_run.namespace, p_run.component, p_run.version));
    END IF;
END $$;

-- Of the steps and signals to others whose outcome a rewind would drop, those that stay as calls.
CREATE FUNCTION redone_calls(p_namespace text, p_run_id uuid, p_before integer, p_next_call integer) RETURNS SETOF integer
LANGUAGE sql STABLE AS $$
    SELECT e.call FROM events e
    WHERE e.shard = shard_of(p_run_id) AND e.run_id = p_run_id AND e.seq >= p_before AND e.kind IN (0, 5) AND e.call < p_next_call
      AND EXISTS (SELECT FROM runs r WHERE r.shard = shard_of(p_run_id) AND r.run_id = p_run_id AND r.namespace = p_namespace)
    ORDER BY e.call;
$$;

-- Start a run with the events of another up to p_before, whatever that one does meanwhile. Nothing happens if there is a run of that id.
-- Returns whether there was none, and about how many bytes it keeps.
CREATE FUNCTION fork_run(
    p_namespace text, p_run_id uuid, p_fork_id uuid, p_key text, p_before integer, p_generation integer, p_lineage_before text,
    p_lineage text, p_pause boolean, p_who text, OUT created boolean, OUT bytes bigint
) LANGUAGE plpgsql AS $$
DECLARE
    run runs;
    fork runs;
BEGIN
    run := lock_run(p_namespace, p_run_id);
    PERFORM check_point(run, p_generation, p_lineage_before);
    -- Its clock goes on from where the other's was.
    INSERT INTO runs AS r (
        shard, run_id, namespace, workflow, component, version, durability, seed, idempotency_key, input, parent_run_id, parent_call,
        generation, first_seq, first_call, continued_at, told, lineage, tags, priority, concurrency_key, is_limited, paused_at)
    VALUES (shard_of(p_fork_id), p_fork_id, run.namespace, run.workflow, run.component, run.version, run.durability, run.seed, p_key,
            run.input, run.parent_run_id, run.parent_call, run.generation, run.first_seq, run.first_call,
            coalesce(run.continued_at, run.started_at), run.told, p_lineage, run.tags, run.priority,
            run.concurrency_key, true, CASE WHEN p_pause THEN clock_timestamp() END)
    ON CONFLICT DO NOTHING RETURNING r.* INTO fork;
    created := FOUND;
    bytes := 0;
    IF NOT created THEN
        RETURN;
    END IF;
    WITH copied AS (
        INSERT INTO events AS c (shard, run_id, seq, kind, call, name, input, attempt, failed, outcome, asked_at, at)
        SELECT fork.shard, p_fork_id, e.seq, e.kind, e.call, e.name, e.input, e.attempt, e.failed, e.outcome, e.asked_at, e.at
        FROM events e
        WHERE e.shard = run.shard AND e.run_id = p_run_id AND e.seq >= run.first_seq AND e.seq < p_before
        RETURNING 100 + coalesce(octet_length(c.input), 0) + coalesce(octet_length(c.outcome), 0) AS bytes
    )
    SELECT 100 + octet_length(run.input) + coalesce(sum(c.bytes), 0) INTO bytes FROM copied c;
    IF fork.tags IS NOT NULL THEN
        PERFORM tag_runs(ARRAY [p_fork_id]);
    END IF;
    PERFORM place_run(fork);
    PERFORM audit(p_namespace, p_who, 'run.fork', p_fork_id::text,
                  jsonb_build_object('from', p_run_id, 'before', p_before)::text);
END $$;

-- Those of these runs that were rewound in the last p_ago.
CREATE FUNCTION rewound_runs(p_run_ids uuid[], p_ago interval) RETURNS SETOF uuid LANGUAGE sql STABLE AS $$
    SELECT DISTINCT w.run_id FROM unnest(p_run_ids) AS u (run_id)
    JOIN rewinds w ON w.shard = shard_of(u.run_id) AND w.run_id = u.run_id AND w.at > clock_timestamp() - p_ago;
$$;
