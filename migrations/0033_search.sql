-- Finding runs: by what they are, what they came to, when, and how they were tagged.
--
-- A condition that may hold for few of many runs has an index, newest last, which is read backwards: one whose newest rows stand
-- at its beginning splits its pages in the middle. A search takes the one that gets furthest with so many rows, and asks the rest of each
-- of them. So a page takes no longer however large the tables are and however little is found; where it had to stop, it says so, and the
-- next page goes on there.

CREATE TABLE run_tags (
    namespace  text        NOT NULL,
    tag        text        NOT NULL,
    started_at timestamptz NOT NULL,
    run_id     uuid        NOT NULL,
    shard      smallint    NOT NULL,
    PRIMARY KEY (namespace, tag, started_at, run_id)
);
COMMENT ON TABLE run_tags IS 'The tags of runs once more, to find them by.';

-- Each run that is accepted pays for this one, and for no other of these. (A second one, by version, cost as much again: 5 to 8 µs of 60.)
CREATE INDEX runs_by_workflow ON runs (namespace, workflow, started_at, run_id);
-- Those that go well are the others; most of them are written once, and never in here.
CREATE INDEX runs_by_state ON runs (namespace, state, started_at, run_id) WHERE state <> 1;
CREATE INDEX runs_by_pause ON runs (namespace, started_at, run_id) WHERE paused_at IS NOT NULL;
CREATE INDEX runs_by_failure ON runs (namespace, failure_code, started_at, run_id) WHERE failure_code IS NOT NULL;
-- For whoever watches over all namespaces: hardly any run is ever in here.
CREATE INDEX runs_in_quarantine ON runs (failure_code, quarantined_at) WHERE state = 4;
CREATE INDEX runs_by_parent ON runs (namespace, parent_run_id, started_at, run_id) WHERE parent_run_id IS NOT NULL;

-- Put the tags of these runs where they are found. Those that are there already stay.
CREATE FUNCTION tag_runs(p_run_ids uuid[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO run_tags (namespace, tag, started_at, run_id, shard)
    SELECT r.namespace, t.tag, r.started_at, r.run_id, r.shard
    FROM unnest(p_run_ids) AS u (run_id) JOIN runs r ON r.shard = shard_of(u.run_id) AND r.run_id = u.run_id
    CROSS JOIN LATERAL unnest(r.tags) AS t (tag)
    ON CONFLICT DO NOTHING;
END $$;

-- From now on these runs have these tags, each run's joined by commas, and no others: those that are this host's. Their rows are locked.
CREATE FUNCTION set_tags(p_host uuid, p_runs uuid[], p_tags text[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    WITH asked AS MATERIALIZED (
        SELECT r.shard, r.run_id, r.namespace, r.started_at, coalesce(r.tags, '{}') AS before, string_to_array(u.tags, ',') AS tags
        FROM unnest(p_runs, p_tags) AS u (run_id, tags)
        JOIN owned o ON o.shard = shard_of(u.run_id) AND o.run_id = u.run_id AND o.host_id = p_host
        JOIN runs r ON r.shard = o.shard AND r.run_id = o.run_id
    ), gone AS (
        DELETE FROM run_tags t USING asked a CROSS JOIN LATERAL unnest(a.before) AS b (tag)
        WHERE b.tag <> ALL (a.tags) AND t.namespace = a.namespace AND t.tag = b.tag AND t.started_at = a.started_at
          AND t.run_id = a.run_id
    ), new AS (
        INSERT INTO run_tags (namespace, tag, started_at, run_id, shard)
        SELECT a.namespace, n.tag, a.started_at, a.run_id, a.shard FROM asked a CROSS JOIN LATERAL unnest(a.tags) AS n (tag)
        WHERE n.tag <> ALL (a.before)
        ON CONFLICT DO NOTHING
    )
    UPDATE runs r SET tags = a.tags FROM asked a
    WHERE r.shard = a.shard AND r.run_id = a.run_id AND r.tags IS DISTINCT FROM a.tags;
END $$;

-- What runs are asked for; what is null is not asked. Times are from the first, and before the second. state as in run_state.
CREATE TYPE run_filter AS (
    state smallint, workflow text, component text, version integer, parent_run_id uuid, failure_code text, tags text[],
    started_from timestamptz, started_to timestamptz, closed_from timestamptz, closed_to timestamptz
);

-- The states of a run that is not over.
CREATE FUNCTION is_live(p_state smallint) RETURNS boolean LANGUAGE sql IMMUTABLE
RETURN p_state IN (0, 1, 2, 7);

-- Whether the row of a run has all that is asked for. p_row_state is a state as runs has it: what is not over is the same there; where it
-- stands, live_state says.
CREATE FUNCTION is_asked_for(
    r runs, p_row_state smallint, p_workflow text, p_component text, p_version integer, p_parent uuid, p_code text, p_tags text[],
    p_closed_from timestamptz, p_closed_to timestamptz
) RETURNS boolean LANGUAGE sql STABLE
RETURN (p_row_state IS NULL OR r.state = p_row_state) AND (p_workflow IS NULL OR r.workflow = p_workflow)
    AND (p_component IS NULL OR r.component = p_component) AND (p_version IS NULL OR r.version = p_version)
    AND (p_parent IS NULL OR r.parent_run_id = p_parent) AND (p_code IS NULL OR r.failure_code = p_code)
    AND (p_tags IS NULL OR r.tags @> p_tags)
    AND (p_closed_from IS NULL OR r.closed_at >= p_closed_from) AND (p_closed_to IS NULL OR r.closed_at < p_closed_to);

-- Where a run stands that is not over, as run_state has it. It becomes a part of the statement that asks.
CREATE FUNCTION live_state(p_shard smallint, p_run_id uuid, p_namespace text, p_workflow text, p_paused_at timestamptz)
RETURNS smallint LANGUAGE sql STABLE
RETURN CASE WHEN EXISTS (SELECT FROM owned o WHERE o.shard = p_shard AND o.run_id = p_run_id) THEN 1
            WHEN p_paused_at IS NOT NULL THEN 7
            WHEN EXISTS (SELECT FROM pauses u WHERE u.namespace = p_namespace AND u.workflow IN ('', p_workflow)) THEN 7
            WHEN EXISTS (SELECT FROM parked p WHERE p.shard = p_shard AND p.run_id = p_run_id) THEN 2
            WHEN EXISTS (SELECT FROM queued q WHERE q.shard = p_shard AND q.run_id = p_run_id) THEN 2
            ELSE 0 END;

-- What follows reads an index from its newest end on and stops when it has enough, whatever the planner thinks of it: it cannot know for how
-- many rows a parameter holds, and would sooner read all of them and sort. (Such plans count as
-- expensive, which is what JIT goes by.)

-- In the role of tenants no row of another may be told by what a function does, and shard_of counts as one that tells: so shards are
-- looked up, and not computed from another row's id.

-- How far one gets by one condition: where the p_nth run stands that it holds for, newest first; null if there are not so many. Only
-- the condition's index is read.
CREATE FUNCTION nth_run(
    p_by text, p_namespace text, f run_filter, p_tag text, p_low_at timestamptz, p_high_at timestamptz, p_high_id uuid, p_nth integer,
    OUT at timestamptz, OUT id uuid
) LANGUAGE plpgsql STABLE
SET enable_sort = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off AS $$
BEGIN
    CASE p_by
        WHEN 'tag' THEN
            SELECT t.started_at, t.run_id INTO at, id FROM run_tags t
            WHERE t.namespace = p_namespace AND t.tag = p_tag
              AND t.started_at >= p_low_at AND (t.started_at, t.run_id) < (p_high_at, p_high_id)
            ORDER BY t.started_at DESC, t.run_id DESC OFFSET p_nth - 1 LIMIT 1;
        WHEN 'parent' THEN
            SELECT r.started_at, r.run_id INTO at, id FROM runs r
            WHERE r.namespace = p_namespace AND r.parent_run_id = f.parent_run_id
              AND r.started_at >= p_low_at AND (r.started_at, r.run_id) < (p_high_at, p_high_id)
            ORDER BY r.started_at DESC, r.run_id DESC OFFSET p_nth - 1 LIMIT 1;
        WHEN 'failure' THEN
            SELECT r.started_at, r.run_id INTO at, id FROM runs r
            WHERE r.namespace = p_namespace AND r.failure_code = f.failure_code
              AND r.started_at >= p_low_at AND (r.started_at, r.run_id) < (p_high_at, p_high_id)
            ORDER BY r.started_at DESC, r.run_id DESC OFFSET p_nth - 1 LIMIT 1;
        WHEN 'state' THEN
            SELECT r.started_at, r.run_id INTO at, id FROM runs r
            WHERE r.namespace = p_namespace AND r.state = CASE WHEN is_live(f.state) THEN 0 ELSE f.state - 2 END AND r.state <> 1
              AND r.started_at >= p_low_at AND (r.started_at, r.run_id) < (p_high_at, p_high_id)
            ORDER BY r.started_at DESC, r.run_id DESC OFFSET p_nth - 1 LIMIT 1;
        WHEN 'pause' THEN
            SELECT r.started_at, r.run_id INTO at, id FROM runs r
            WHERE r.namespace = p_namespace AND r.paused_at IS NOT NULL
              AND r.started_at >= p_low_at AND (r.started_at, r.run_id) < (p_high_at, p_high_id)
            ORDER BY r.started_at DESC, r.run_id DESC OFFSET p_nth - 1 LIMIT 1;
        WHEN 'workflow' THEN
            SELECT r.started_at, r.run_id INTO at, id FROM runs r
            WHERE r.namespace = p_namespace AND r.workflow = f.workflow
              AND r.started_at >= p_low_at AND (r.started_at, r.run_id) < (p_high_at, p_high_id)
            ORDER BY r.started_at DESC, r.run_id DESC OFFSET p_nth - 1 LIMIT 1;
        WHEN 'time' THEN
            SELECT r.started_at, r.run_id INTO at, id FROM runs r
            WHERE r.namespace = p_namespace
              AND r.started_at >= p_low_at AND (r.started_at, r.run_id) < (p_high_at, p_high_id)
            ORDER BY r.started_at DESC, r.run_id DESC OFFSET p_nth - 1 LIMIT 1;
    END CASE;
END $$;

-- Up to p_limit runs of a namespace, newest first, after the run that started at p_before_at with the id p_before_id. No more than p_look are
-- looked at: if that is too few, a last row that is no match says how far it got.
CREATE FUNCTION find_runs(
    p_namespace text, f run_filter, p_before_at timestamptz, p_before_id uuid, p_limit integer, p_look integer
) RETURNS TABLE (shard smallint, run_id uuid, started_at timestamptz, is_match boolean) LANGUAGE plpgsql STABLE ROWS 100
SET enable_sort = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off AS $$
#variable_conflict use_column
DECLARE
    nobody CONSTANT uuid := '00000000-0000-0000-0000-000000000000';
    live CONSTANT boolean := coalesce(is_live(f.state), false);
    row_state CONSTANT smallint := CASE WHEN live THEN 0 ELSE f.state - 2 END;
    high_at timestamptz := coalesce(p_before_at, 'infinity');
    high_id uuid := coalesce(p_before_id, nobody);
    low_at timestamptz := coalesce(f.started_from, '-infinity');
    low_id uuid := nobody;
    best text;
    best_tag text;
    way record;
    nth record;
    far_at timestamptz;
    far_id uuid;
    matches integer;
BEGIN
    -- What ended before then had started before; clocks may differ a little.
    IF least(f.started_to, f.closed_to + interval '1 minute') <= high_at THEN
        high_at := least(f.started_to, f.closed_to + interval '1 minute');
        high_id := nobody;
    END IF;
    -- Of the two tables that are small, as a rule, all is read.
    IF f.state = 0 THEN
        PERFORM FROM generate_series(0, 15) AS n (number) CROSS JOIN generate_series(1, 5) AS m (priority) CROSS JOIN LATERAL (
            SELECT FROM ready q WHERE q.shard = n.number::smallint AND q.priority = m.priority AND q.namespace = p_namespace
            LIMIT 1001) q OFFSET 1000 LIMIT 1;
        best := CASE WHEN NOT FOUND THEN 'ready' END;
    ELSIF f.state = 1 THEN
        PERFORM FROM owned o WHERE o.namespace = p_namespace OFFSET 1000 LIMIT 1;
        best := CASE WHEN NOT FOUND THEN 'owned' END;
    END IF;
    IF best IS NULL THEN
        FOR way IN
            SELECT w.name, w.tag
            FROM (VALUES ('parent', NULL, f.parent_run_id IS NOT NULL), ('failure', NULL, f.failure_code IS NOT NULL),
                         -- Where no workflow is, those are paused that say so themselves.
                         ('pause', NULL, f.state = 7 AND NOT EXISTS (SELECT FROM pauses u WHERE u.namespace = p_namespace)),
                         ('state', NULL, f.state <> 3), ('workflow', NULL, f.workflow IS NOT NULL)) AS w (name, tag, is_given)
            WHERE w.is_given
            UNION ALL
            SELECT 'tag', t.tag FROM unnest(f.tags) AS t (tag)
        LOOP
            -- If nothing else is asked for, all that are looked at are found.
            IF num_nonnulls(f.state, f.workflow, f.component, f.version, f.parent_run_id, f.failure_code, f.closed_from, f.closed_to)
               + coalesce(cardinality(f.tags), 0) = 1 AND NOT live THEN
                best := way.name;
                best_tag := way.tag;
                EXIT;
            END IF;
            nth := nth_run(way.name, p_namespace, f, way.tag, low_at, high_at, high_id, p_look);
            IF best IS NULL OR nth.at IS NULL OR (nth.at, nth.id) < (far_at, far_id) THEN
                best := way.name;
                best_tag := way.tag;
                far_at := nth.at;
                far_id := nth.id;
                EXIT WHEN nth.at IS NULL;
            END IF;
        END LOOP;
    END IF;
    IF best IS NULL THEN
        best := 'time';
        -- The same without any condition.
        IF num_nonnulls(f.state, f.component, f.version, f.closed_from, f.closed_to) > 0 THEN
            nth := nth_run('time', p_namespace, f, NULL, low_at, high_at, high_id, p_look);
            far_at := nth.at;
            far_id := nth.id;
        END IF;
    END IF;
    IF far_at IS NOT NULL THEN
        low_at := far_at;
        low_id := far_id;
    END IF;

    CASE best
        WHEN 'tag' THEN
            RETURN QUERY SELECT t.shard, t.run_id, t.started_at, true
            FROM run_tags t JOIN runs r ON r.shard = t.shard AND r.run_id = t.run_id
            WHERE t.namespace = p_namespace AND t.tag = best_tag AND r.namespace = p_namespace
              AND (t.started_at, t.run_id) >= (low_at, low_id) AND (t.started_at, t.run_id) < (high_at, high_id)
              AND is_asked_for(r, row_state, f.workflow, f.component, f.version, f.parent_run_id, f.failure_code, f.tags, f.closed_from,
                                   f.closed_to)
              AND (NOT live OR live_state(r.shard, r.run_id, r.namespace, r.workflow, r.paused_at) = f.state)
            ORDER BY t.started_at DESC, t.run_id DESC LIMIT p_limit;
        WHEN 'parent' THEN
            RETURN QUERY SELECT r.shard, r.run_id, r.started_at, true FROM runs r
            WHERE r.namespace = p_namespace AND r.parent_run_id = f.parent_run_id
              AND (r.started_at, r.run_id) >= (low_at, low_id) AND (r.started_at, r.run_id) < (high_at, high_id)
              AND is_asked_for(r, row_state, f.workflow, f.component, f.version, f.parent_run_id, f.failure_code, f.tags, f.closed_from,
                                   f.closed_to)
              AND (NOT live OR live_state(r.shard, r.run_id, r.namespace, r.workflow, r.paused_at) = f.state)
            ORDER BY r.started_at DESC, r.run_id DESC LIMIT p_limit;
        WHEN 'failure' THEN
            RETURN QUERY SELECT r.shard, r.run_id, r.started_at, true FROM runs r
            WHERE r.namespace = p_namespace AND r.failure_code = f.failure_code
              AND (r.started_at, r.run_id) >= (low_at, low_id) AND (r.started_at, r.run_id) < (high_at, high_id)
              AND is_asked_for(r, row_state, f.workflow, f.component, f.version, f.parent_run_id, f.failure_code, f.tags, f.closed_from,
                                   f.closed_to)
              AND (NOT live OR live_state(r.shard, r.run_id, r.namespace, r.workflow, r.paused_at) = f.state)
            ORDER BY r.started_at DESC, r.run_id DESC LIMIT p_limit;
        WHEN 'state' THEN
            RETURN QUERY SELECT r.shard, r.run_id, r.started_at, true FROM runs r
            WHERE r.namespace = p_namespace AND r.state = row_state AND r.state <> 1
              AND (r.started_at, r.run_id) >= (low_at, low_id) AND (r.started_at, r.run_id) < (high_at, high_id)
              AND is_asked_for(r, row_state, f.workflow, f.component, f.version, f.parent_run_id, f.failure_code, f.tags, f.closed_from,
                                   f.closed_to)
              AND (NOT live OR live_state(r.shard, r.run_id, r.namespace, r.workflow, r.paused_at) = f.state)
            ORDER BY r.started_at DESC, r.run_id DESC LIMIT p_limit;
        WHEN 'pause' THEN
            RETURN QUERY SELECT r.shard, r.run_id, r.started_at, true FROM runs r
            WHERE r.namespace = p_namespace AND r.paused_at IS NOT NULL
              AND (r.started_at, r.run_id) >= (low_at, low_id) AND (r.started_at, r.run_id) < (high_at, high_id)
              AND is_asked_for(r, row_state, f.workflow, f.component, f.version, f.parent_run_id, f.failure_code, f.tags, f.closed_from,
                                   f.closed_to)
              AND (NOT live OR live_state(r.shard, r.run_id, r.namespace, r.workflow, r.paused_at) = f.state)
            ORDER BY r.started_at DESC, r.run_id DESC LIMIT p_limit;
        WHEN 'workflow' THEN
            RETURN QUERY SELECT r.shard, r.run_id, r.started_at, true FROM runs r
            WHERE r.namespace = p_namespace AND r.workflow = f.workflow
              AND (r.started_at, r.run_id) >= (low_at, low_id) AND (r.started_at, r.run_id) < (high_at, high_id)
              AND is_asked_for(r, row_state, f.workflow, f.component, f.version, f.parent_run_id, f.failure_code, f.tags, f.closed_from,
                                   f.closed_to)
              AND (NOT live OR live_state(r.shard, r.run_id, r.namespace, r.workflow, r.paused_at) = f.state)
            ORDER BY r.started_at DESC, r.run_id DESC LIMIT p_limit;
        WHEN 'time' THEN
            RETURN QUERY SELECT r.shard, r.run_id, r.started_at, true FROM runs r
            WHERE r.namespace = p_namespace
              AND (r.started_at, r.run_id) >= (low_at, low_id) AND (r.started_at, r.run_id) < (high_at, high_id)
              AND is_asked_for(r, row_state, f.workflow, f.component, f.version, f.parent_run_id, f.failure_code, f.tags, f.closed_from,
                                   f.closed_to)
              AND (NOT live OR live_state(r.shard, r.run_id, r.namespace, r.workflow, r.paused_at) = f.state)
            ORDER BY r.started_at DESC, r.run_id DESC LIMIT p_limit;
        WHEN 'owned' THEN
            RETURN QUERY SELECT r.shard, r.run_id, r.started_at, true
            FROM (SELECT q.shard, q.run_id FROM owned q WHERE q.namespace = p_namespace LIMIT 1001) q
            CROSS JOIN LATERAL (
                SELECT r.shard, r.run_id, r.started_at FROM runs r
                WHERE r.shard = q.shard AND r.run_id = q.run_id AND r.namespace = p_namespace
                  AND (r.started_at, r.run_id) >= (low_at, low_id) AND (r.started_at, r.run_id) < (high_at, high_id)
                  AND is_asked_for(r, row_state, f.workflow, f.component, f.version, f.parent_run_id, f.failure_code, f.tags,
                                   f.closed_from, f.closed_to)
                LIMIT 1) r
            ORDER BY r.started_at DESC, r.run_id DESC LIMIT p_limit;
        WHEN 'ready' THEN
            RETURN QUERY SELECT r.shard, r.run_id, r.started_at, true
            FROM generate_series(0, 15) AS n (number) CROSS JOIN generate_series(1, 5) AS m (priority)
            CROSS JOIN LATERAL (SELECT q.shard, q.run_id FROM ready q
                                WHERE q.shard = n.number::smallint AND q.priority = m.priority AND q.namespace = p_namespace
                                LIMIT 1001) q
            CROSS JOIN LATERAL (
                SELECT r.shard, r.run_id, r.started_at FROM runs r
                WHERE r.shard = q.shard AND r.run_id = q.run_id AND r.namespace = p_namespace
                  AND (r.started_at, r.run_id) >= (low_at, low_id) AND (r.started_at, r.run_id) < (high_at, high_id)
                  AND is_asked_for(r, row_state, f.workflow, f.component, f.version, f.parent_run_id, f.failure_code, f.tags,
                                   f.closed_from, f.closed_to)
                  AND r.paused_at IS NULL
                  AND NOT EXISTS (SELECT FROM pauses u WHERE u.namespace = p_namespace AND u.workflow IN ('', r.workflow))
                LIMIT 1) r
            ORDER BY r.started_at DESC, r.run_id DESC LIMIT p_limit;
    END CASE;
    GET DIAGNOSTICS matches = ROW_COUNT;
    IF matches < p_limit AND far_at IS NOT NULL THEN
        RETURN QUERY SELECT NULL::smallint, far_id, far_at, false;
    END IF;
END $$;

-- A page of runs: see find_runs, which says how it ends.
CREATE FUNCTION list_runs(p_namespace text, f run_filter, p_before_at timestamptz, p_before_id uuid, p_limit integer)
RETURNS TABLE (
    run_id uuid, workflow text, component text, version integer, state smallint, started_at timestamptz, closed_at timestamptz,
    parent_run_id uuid, failure_code text, tags text[], is_match boolean, quarantined_at timestamptz, quarantines smallint
) LANGUAGE plpgsql STABLE
SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT q.run_id, r.workflow, r.component, r.version,
           CASE r.state WHEN 0 THEN live_state(r.shard, r.run_id, r.namespace, r.workflow, r.paused_at) ELSE r.state + 2 END::smallint,
           q.started_at, r.closed_at, r.parent_run_id, r.failure_code, r.tags, q.is_match,
           r.quarantined_at, r.quarantines
    FROM find_runs(p_namespace, f, p_before_at, p_before_id, p_limit, 2000) q
    LEFT JOIN runs r ON r.shard = q.shard AND r.run_id = q.run_id
    ORDER BY q.started_at DESC, q.run_id DESC;
END $$;

-- How many there are: exactly, if they are no more than p_most and it takes no long search; else at least so many.
CREATE FUNCTION count_runs(p_namespace text, f run_filter, p_most integer, OUT runs integer, OUT is_exact boolean)
LANGUAGE plpgsql STABLE AS $$
BEGIN
    SELECT count(*) FILTER (WHERE q.is_match), coalesce(bool_and(q.is_match), true) INTO runs, is_exact
    FROM find_runs(p_namespace, f, NULL, NULL, p_most + 1, 2 * p_most) q;
    is_exact := is_exact AND runs <= p_most;
    runs := least(runs, p_most);
END $$;
