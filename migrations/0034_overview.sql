-- How runs stand, for people and programs that look after many of them: one call for any number of runs.
--
-- The database knows what was delivered to a run (events), what its steps failed with or have been at for long (attempts), and what it
-- waits for while no host is at it (parked, paused, queued). A step that a host has begun a moment ago is in none of them yet.

-- Steps of these runs, since they last continued as new: the last thousand that were delivered to each, and those that are open.
--
-- state: completed; failed; running, for longer than a moment, or about to; retrying, between two attempts; abandoned, because its run has
-- ended or no longer wants it. What a step depends on, its workflow has awaited before it asked for the step: so that is there for
-- every step that is.
CREATE FUNCTION step_readiness(p_namespace text, p_run_ids uuid[])
RETURNS TABLE (
    run_id uuid, call integer, step text, state text, dependencies_satisfied boolean, retry_eligible boolean,
    next_retry_at timestamptz, attempts integer, attempt_limit integer, last_failure bytea, asked_at timestamptz,
    ended_at timestamptz
) LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    WITH asked AS MATERIALIZED (
        SELECT r.shard, r.run_id, r.component, r.version, r.state = 0 AS is_open, r.first_seq, r.first_call,
               convert_from(coalesce(p.open_calls, nullif(h.open_calls, '')), 'UTF8')::jsonb AS open_calls
        FROM (SELECT DISTINCT shard_of(u.run_id) AS shard, u.run_id FROM unnest(p_run_ids) AS u (run_id)) u
        JOIN runs r ON r.shard = u.shard AND r.run_id = u.run_id AND r.namespace = p_namespace
        LEFT JOIN parked p ON p.shard = r.shard AND p.run_id = r.run_id
        LEFT JOIN paused h ON h.shard = r.shard AND h.run_id = r.run_id
    ), known AS MATERIALIZED (
        -- All that a run waits for that nobody is at is among its open calls, unless there are more than are kept.
        SELECT a.*, NOT a.is_open OR coalesce(jsonb_array_length(a.open_calls) < 100, false) AS is_all FROM asked a
    ), delivered AS MATERIALIZED (
        SELECT k.run_id, e.call, k.component, k.version, e.name, e.attempt, e.failed, e.outcome, e.asked_at, e.at
        FROM known k CROSS JOIN LATERAL (
            SELECT e.call, e.name, e.attempt, e.failed, CASE WHEN e.failed THEN e.outcome END AS outcome, e.asked_at, e.at
            FROM events e
            WHERE e.shard = k.shard AND e.run_id = k.run_id AND e.seq >= k.first_seq AND e.kind = 0
            ORDER BY e.seq DESC LIMIT 1000) e
    ), long AS MATERIALIZED (
        SELECT d.run_id, min(d.call) AS call FROM delivered d GROUP BY d.run_id HAVING count(*) = 1000
    ), tried AS MATERIALIZED (
        SELECT DISTINCT ON (t.run_id, t.call) t.run_id, t.call, k.component, k.version, k.is_all, t.step, t.attempt, t.attempt_limit,
               t.failure, t.next_at
        FROM known k JOIN attempts t ON t.shard = k.shard AND t.run_id = k.run_id AND t.call >= k.first_call
        -- Not what has ended before the last thousand.
        WHERE NOT EXISTS (SELECT FROM long l WHERE l.run_id = k.run_id AND t.call < l.call)
        ORDER BY t.run_id, t.call, t.attempt DESC
    ), waited_for AS MATERIALIZED (
        SELECT k.run_id, c.call, k.component, k.version, c.name, c.asked_at, c.due_at, c.next_attempt, c.attempt_limit
        FROM known k CROSS JOIN LATERAL jsonb_to_recordset(k.open_calls)
            AS c (call integer, kind text, name text, asked_at timestamptz, due_at timestamptz, next_attempt integer,
                  attempt_limit integer)
        WHERE c.kind = 'step'
    ), declared AS MATERIALIZED (
        SELECT v.component, v.version, s.step ->> 'name' AS step, (s.step -> 'retry' ->> 'max_attempts')::integer AS attempt_limit
        FROM (SELECT DISTINCT a.component, a.version FROM asked a) a
        JOIN versions v ON v.namespace = p_namespace AND v.component = a.component AND v.version = a.version
        CROSS JOIN LATERAL jsonb_array_elements(convert_from(v.manifest, 'UTF8')::jsonb -> 'steps') AS s (step)
    )
    SELECT q.run_id, q.call, q.step, q.state, true,
           q.state = 'retrying' AND q.attempts < coalesce(q.attempt_limit, q.attempts + 1),
           CASE WHEN q.state = 'retrying' THEN q.next_at END, q.attempts, q.attempt_limit, q.failure, q.asked_at, q.ended_at
    FROM (
        SELECT c.*, coalesce(c.limit_of_call, l.attempt_limit) AS attempt_limit
        FROM (
            -- Full joins are never done row by row, however few rows are expected.
            SELECT run_id, call, coalesce(d.component, t.component, w.component) AS component,
                   coalesce(d.version, t.version, w.version) AS version, coalesce(d.name, w.name, t.step) AS step,
                   CASE WHEN d.failed THEN 'failed'
                        WHEN NOT d.failed THEN 'completed'
                        WHEN w.next_attempt > 1 THEN 'retrying'
                        WHEN w.next_attempt IS NOT NULL THEN 'running'
                        WHEN t.is_all THEN 'abandoned'
                        WHEN t.next_at > clock_timestamp() THEN 'retrying'
                        ELSE 'running' END AS state,
                   coalesce(d.attempt, t.attempt, w.next_attempt - 1) AS attempts,
                   coalesce(t.attempt_limit, w.attempt_limit) AS limit_of_call, coalesce(t.next_at, w.due_at) AS next_at,
                   coalesce(d.outcome, t.failure) AS failure, coalesce(d.asked_at, w.asked_at) AS asked_at, d.at AS ended_at
            FROM delivered d
            FULL JOIN tried t USING (run_id, call)
            FULL JOIN waited_for w USING (run_id, call)
        ) c
        LEFT JOIN declared l ON l.component = c.component AND l.version = c.version AND l.step = c.step
    ) q
    ORDER BY q.run_id, q.call;
END $$;

-- The newest edition that a host at work knows; null if none is at work. (Tenants may read no more of hosts than this takes.)
CREATE FUNCTION newest_edition() RETURNS smallint LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN (SELECT max(h.edition) FROM hosts h WHERE h.lease_until > clock_timestamp());
END $$;

-- Where these runs stand, and what to do about it.
--
-- health: healthy, waiting, retrying, stuck, paused, quarantined, failed. recommended_action: none; wait, it goes on by itself; signal, it
-- waits for somebody; resume, somebody has paused it; check-hosts, no host has taken it up for a minute; upgrade-hosts, none
-- that is at work knows its edition; make-room, its namespace is full;
-- investigate, it cannot go on; retry, it has failed, and may not if it is tried again.
CREATE FUNCTION run_context(p_namespace text, p_run_ids uuid[])
RETURNS TABLE (
    run_id uuid, workflow text, component text, version integer, execution_status smallint, health text, recommended_action text,
    completion double precision, steps_completed integer, steps_failed integer, steps_running integer, steps_retrying integer,
    steps_abandoned integer, open_calls integer, letters integer, children integer, events integer, strikes integer, failure_code text,
    started_at timestamptz, closed_at timestamptz, last_event_at timestamptz, wake_at timestamptz
) LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
DECLARE
    late CONSTANT timestamptz := clock_timestamp() - interval '1 minute';
    newest CONSTANT smallint := newest_edition();
BEGIN
    RETURN QUERY
    WITH steps AS MATERIALIZED (
        SELECT s.run_id, count(*) FILTER (WHERE s.state = 'completed')::integer AS completed,
               count(*) FILTER (WHERE s.state = 'failed')::integer AS failed, count(*) FILTER (WHERE s.state = 'running')::integer AS running,
               count(*) FILTER (WHERE s.state = 'retrying')::integer AS retrying,
               count(*) FILTER (WHERE s.state = 'abandoned')::integer AS abandoned
        FROM step_readiness(p_namespace, p_run_ids) s GROUP BY s.run_id
    ), asked AS MATERIALIZED (
        SELECT r.shard, r.run_id, r.workflow, r.component, r.version, r.state, r.failure_code, r.started_at, r.closed_at,
               CASE WHEN r.state > 0 THEN r.state + 2
                    WHEN o.run_id IS NOT NULL THEN 1
                    WHEN r.paused_at IS NOT NULL OR w.is_paused THEN 7
                    WHEN p.run_id IS NOT NULL OR z.run_id IS NOT NULL THEN 2 ELSE 0 END::smallint AS status,
               coalesce(o.strikes, p.strikes, h.strikes, q.strikes)::integer AS strikes, p.wake_at, q.at AS ready_at,
               q.edition > newest AS is_beyond,
               convert_from(coalesce(p.open_calls, nullif(h.open_calls, ''),
                                     CASE WHEN r.is_limited THEN waits_for_slot(r.shard, r.run_id) END), 'UTF8')::jsonb AS open_calls
        FROM (SELECT DISTINCT shard_of(u.run_id) AS shard, u.run_id FROM unnest(p_run_ids) AS u (run_id)) u
        JOIN runs r ON r.shard = u.shard AND r.run_id = u.run_id AND r.namespace = p_namespace
        LEFT JOIN owned o ON o.shard = r.shard AND o.run_id = r.run_id
        LEFT JOIN parked p ON p.shard = r.shard AND p.run_id = r.run_id
        LEFT JOIN paused h ON h.shard = r.shard AND h.run_id = r.run_id
        LEFT JOIN queued z ON r.is_limited AND z.shard = r.shard AND z.run_id = r.run_id
        LEFT JOIN ready q ON r.state = 0 AND o.run_id IS NULL AND p.run_id IS NULL AND h.run_id IS NULL AND z.run_id IS NULL
             AND q.shard = r.shard AND q.namespace = r.namespace AND q.run_id = r.run_id
        CROSS JOIN LATERAL (
            SELECT EXISTS (SELECT FROM pauses w WHERE w.namespace = r.namespace AND w.workflow IN ('', r.workflow)) AS is_paused) w
    ), weighed AS (
        SELECT a.*, coalesce(s.completed, 0) AS completed, coalesce(s.failed, 0) AS failed, coalesce(s.running, 0) AS running,
               coalesce(s.retrying, 0) AS retrying, coalesce(s.abandoned, 0) AS abandoned,
               CASE a.state WHEN 1 THEN 'healthy' WHEN 3 THEN 'healthy' WHEN 2 THEN 'failed' WHEN 4 THEN 'quarantined'
                    ELSE CASE WHEN a.status = 7 THEN 'paused'
                              WHEN a.is_beyond OR a.ready_at < late OR a.wake_at < late OR a.open_calls @> '[{"kind": "room"}]' THEN 'stuck'
                              WHEN s.retrying > 0 OR a.strikes > 0 THEN 'retrying'
                              WHEN a.status = 2 THEN 'waiting' ELSE 'healthy' END END AS health
        FROM asked a LEFT JOIN steps s USING (run_id)
    )
    SELECT w.run_id, w.workflow, w.component, w.version, w.status, w.health,
           CASE WHEN w.open_calls @> '[{"kind": "room"}]' THEN 'make-room'
                WHEN w.is_beyond THEN 'upgrade-hosts'
                WHEN w.health = 'stuck' THEN 'check-hosts'
                WHEN w.health = 'quarantined' THEN 'investigate'
                WHEN w.health = 'failed' THEN 'retry'
                WHEN w.health = 'paused' THEN 'resume'
                WHEN w.status = 2 AND w.wake_at IS NULL AND NOT w.open_calls @> '[{"kind": "child"}]'
                     AND NOT w.open_calls @> '[{"kind": "slot"}]' THEN 'signal'
                WHEN w.state = 0 THEN 'wait'
                ELSE 'none' END,
           CASE WHEN w.state = 1 THEN 1
                ELSE w.completed / nullif(w.completed + w.failed + w.running + w.retrying, 0)::double precision END,
           w.completed, w.failed, w.running, w.retrying, w.abandoned, coalesce(jsonb_array_length(w.open_calls), 0),
           (SELECT count(*)::integer FROM (SELECT FROM inbox i WHERE i.shard = w.shard AND i.run_id = w.run_id LIMIT 10000) i),
           (SELECT count(*)::integer FROM (SELECT FROM children c WHERE c.shard = w.shard AND c.run_id = w.run_id LIMIT 10000) c),
           coalesce(e.seq + 1, 0), coalesce(w.strikes, 0), w.failure_code, w.started_at, w.closed_at, e.at, w.wake_at
    FROM weighed w
    LEFT JOIN LATERAL (SELECT e.seq, e.at FROM events e WHERE e.shard = w.shard AND e.run_id = w.run_id ORDER BY e.seq DESC LIMIT 1) e
        ON true
    ORDER BY w.run_id;
END $$;

-- How many runs stand where, of a namespace, or of all together (as the owner of the tables): ready, and suspects among them, and those
-- beyond what any host at work has learnt; running; waiting, and late among them, whose time has come; paused, and put aside; queued, for a
-- slot (0036); with the time since when the first of them does.
CREATE FUNCTION queue_depths(p_namespace text)
RETURNS TABLE (queue text, depth bigint, oldest_at timestamptz) LANGUAGE plpgsql STABLE
-- All of five small tables is read, and so in the order in which it lies there.
SET enable_seqscan = on AS $$
DECLARE
    newest CONSTANT smallint := newest_edition();
BEGIN
    RETURN QUERY
    SELECT u.queue, u.depth, u.oldest_at FROM (
        SELECT count(*) AS depth, min(q.at) AS oldest_at, count(*) FILTER (WHERE q.strikes >= 2) AS suspects,
               min(q.at) FILTER (WHERE q.strikes >= 2) AS suspect_at,
               count(*) FILTER (WHERE q.edition > newest) AS beyond, min(q.at) FILTER (WHERE q.edition > newest) AS beyond_at
        FROM ready q WHERE p_namespace IS NULL OR q.namespace = p_namespace
    ) q CROSS JOIN LATERAL (VALUES ('ready', q.depth, q.oldest_at), ('suspects', q.suspects, q.suspect_at),
                                 ('beyond', q.beyond, q.beyond_at)) AS u (queue, depth, oldest_at)
    UNION ALL
    SELECT 'running', count(*), min(o.claimed_at) FROM owned o WHERE p_namespace IS NULL OR o.namespace = p_namespace
    UNION ALL
    SELECT u.queue, u.depth, u.oldest_at FROM (
        SELECT count(*) AS depth, min(p.parked_at) AS oldest_at, count(*) FILTER (WHERE p.wake_at < clock_timestamp()) AS late,
               min(p.wake_at) FILTER (WHERE p.wake_at < clock_timestamp()) AS late_at
        FROM parked p WHERE p_namespace IS NULL OR p.namespace = p_namespace
    ) p CROSS JOIN LATERAL (VALUES ('waiting', p.depth, p.oldest_at), ('late', p.late, p.late_at)) AS u (queue, depth, oldest_at)
    UNION ALL
    SELECT 'paused', count(*), min(h.at) FROM paused h WHERE p_namespace IS NULL OR h.namespace = p_namespace
    UNION ALL
    SELECT 'queued', count(*), min(z.at) FROM queued z WHERE p_namespace IS NULL OR z.namespace = p_namespace;
END $$;

-- Figures of a namespace by name. Counts of runs stop at 10,000.
CREATE FUNCTION system_metrics(p_namespace text) RETURNS TABLE (metric text, value double precision) LANGUAGE plpgsql STABLE AS $$
DECLARE
    hour_ago CONSTANT timestamptz := clock_timestamp() - interval '1 hour';
BEGIN
    RETURN QUERY
    WITH depths AS MATERIALIZED (SELECT d.queue, d.depth, d.oldest_at FROM queue_depths(p_namespace) d)
    SELECT 'runs_' || d.queue, d.depth::double precision FROM depths d
    UNION ALL
    SELECT u.metric, extract(epoch FROM greatest(clock_timestamp() - d.oldest_at, interval '0'))::double precision
    FROM (VALUES ('ready', 'oldest_ready_seconds'), ('late', 'oldest_late_seconds')) AS u (queue, metric) JOIN depths d USING (queue)
    WHERE d.depth > 0
    UNION ALL
    SELECT 'runs_started_last_hour', (SELECT count(*) FROM (
        SELECT FROM runs r WHERE r.namespace = p_namespace AND r.started_at >= hour_ago ORDER BY r.started_at DESC, r.run_id DESC LIMIT 10000) r)
    UNION ALL
    -- Of those that were started within the hour; whatever is in quarantine, whenever it was started.
    SELECT u.metric, (SELECT count(*) FROM (
        SELECT FROM runs r WHERE r.namespace = p_namespace AND r.state = u.state AND r.state <> 1 AND r.started_at >= u.since
        ORDER BY r.started_at DESC, r.run_id DESC LIMIT 10000) r)
    FROM (VALUES ('runs_failed_last_hour', 2, hour_ago), ('runs_cancelled_last_hour', 3, hour_ago), ('runs_quarantined', 4, '-infinity'))
        AS u (metric, state, since)
    UNION ALL
    SELECT 'workflows', (SELECT count(*) FROM workflows w WHERE w.namespace = p_namespace);
END $$;
