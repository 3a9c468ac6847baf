-- Concurrency limits: how many runs of a namespace, of a workflow, and of each key that runs of a workflow are started with, are under
-- way at once.
--
-- A run is under way from when it gets its slot until it ends: while it waits, too, because a limit protects what a run holds, and not
-- who computes. Before, it stands in `queued`, where no claim sees it, whatever there is of them. Whoever ends a run gives its slots back
-- in that commit, and in it the next of those that wait, by priority and then by age, goes on.
--
--     start ──→ gate of its key ──→ gate of its workflow ──→ gate of its namespace ──→ ready
--                    │ full               │ full                   │ full
--                    └─────────────── queued, at that gate ────────┘
--
-- A run passes from gate to gate and keeps what it has: a slot of its workflow, while it waits for one of its namespace. Who waits behind
-- it at the first could not pass the last either, so that no slot is idle that somebody could use; and as all go the same way, no two wait
-- for each other. So whoever gives a slot back lets one run go on at each gate, and never looks through those that wait.
--
-- A gate is a row with a count, and whoever takes or gives back a slot holds it to the commit: only where there is a limit. What has none
-- is known by `workflows.is_limited`, which every start reads anyway, and by `runs.is_limited`, which is there when it ends. Gates are
-- locked after runs and in the order of their keys (lock_gates), and nothing else is waited for under their locks.
--
-- A run that its parent waits for is part of its parent's slot in the namespace, and does not wait for one of its own: else parents would
-- hold them all, and wait for children that never begin.

-- The gates before a run, in the order in which it passes them, and how many may be beyond each.
CREATE FUNCTION gates_before(r runs) RETURNS TABLE (level smallint, workflow text, key text, most integer) LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT g.level::smallint, c.workflow, g.key, g.most FROM concurrency c
    CROSS JOIN LATERAL (VALUES (1, r.concurrency_key, c.max_per_key), (CASE c.workflow WHEN '' THEN 3 ELSE 2 END, '', c.max_runs))
        AS g (level, key, most)
    WHERE c.namespace = r.namespace AND c.workflow IN ('', r.workflow) AND g.most IS NOT NULL AND g.key IS NOT NULL
      AND (g.level < 3 OR NOT EXISTS (
          SELECT FROM children k WHERE k.shard = shard_of(r.parent_run_id) AND k.run_id = r.parent_run_id AND k.call = r.parent_call))
    ORDER BY g.level;
END $$;

-- How many may be beyond a gate. None: it is open, as its limit was taken away.
CREATE FUNCTION most_beyond(p_gate gates) RETURNS integer LANGUAGE sql STABLE AS $$
    SELECT CASE p_gate.key WHEN '' THEN c.max_runs ELSE c.max_per_key END FROM concurrency c
    WHERE c.namespace = p_gate.namespace AND c.workflow = p_gate.workflow;
$$;

-- Lock all gates that runs of these workflows, with these keys, have passed or may come to, and make those that there should be.
CREATE FUNCTION lock_gates(p_namespaces text[], p_workflows text[], p_keys text[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO gates AS t (namespace, workflow, key)
    SELECT q.* FROM (
        SELECT c.namespace, c.workflow, g.key
        FROM unnest(p_namespaces, p_workflows, p_keys) AS u (namespace, workflow, key)
        JOIN concurrency c ON c.namespace = u.namespace AND c.workflow IN ('', u.workflow)
        CROSS JOIN LATERAL (VALUES (u.key, c.max_per_key), ('', c.max_runs)) AS g (key, most)
        WHERE g.most IS NOT NULL AND g.key IS NOT NULL
        UNION
        SELECT g.namespace, g.workflow, g.key
        FROM unnest(p_namespaces, p_workflows, p_keys) AS u (namespace, workflow, key)
        -- Each by its key: a workflow may have as many gates as it has runs.
        CROSS JOIN LATERAL (VALUES ('', ''), (u.workflow, ''), (u.workflow, u.key)) AS a (workflow, key)
        JOIN gates g ON g.namespace = u.namespace AND g.workflow = a.workflow AND g.key = a.key
    ) q
    ORDER BY q.namespace, q.workflow, q.key
    ON CONFLICT (namespace, workflow, key) DO UPDATE SET taken = t.taken;
END $$;

-- A run goes on behind a gate of this level: through those that it comes to, as far as there are slots. Returns whether it is ready. The
-- caller has locked the gates.
CREATE FUNCTION pass_gates(r runs, p_level smallint) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    gate record;
    passed bigint;
BEGIN
    FOR gate IN SELECT g.* FROM gates_before(r) g WHERE g.level > p_level LOOP
        -- It may have been made since they were locked.
        INSERT INTO gates AS t (namespace, workflow, key, taken) VALUES (r.namespace, gate.workflow, gate.key, 1)
        ON CONFLICT (namespace, workflow, key) DO UPDATE SET taken = t.taken + 1 WHERE t.taken < gate.most
        RETURNING t.gate_id INTO passed;
        IF passed IS NULL THEN
            INSERT INTO queued (shard, run_id, namespace, gate_id, level, priority)
            SELECT r.shard, r.run_id, r.namespace, t.gate_id, gate.level, r.priority FROM gates t
            WHERE t.namespace = r.namespace AND t.workflow = gate.workflow AND t.key = gate.key;
            RETURN false;
        END IF;
        INSERT INTO slots (shard, run_id, gate_id, namespace) VALUES (r.shard, r.run_id, passed, r.namespace);
    END LOOP;
    INSERT INTO ready (shard, namespace, priority, run_id, strikes, edition)
    VALUES (r.shard, r.namespace, r.priority, r.run_id, 0, edition_of(r.namespace, r.component, r.version));
    RETURN true;
END $$;

-- The gates of children that are about to be started, and of runs that are about to end: all at once, so that no two sessions wait for
-- each other.
CREATE FUNCTION lock_gates_of(p_parents uuid[], p_workflows text[], p_ending uuid[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM lock_gates(array_agg(q.namespace), array_agg(q.workflow), array_agg(q.key)) FROM (
        SELECT r.namespace, u.workflow, NULL::text AS key
        FROM unnest(p_parents, p_workflows) AS u (run_id, workflow) JOIN runs r ON r.shard = shard_of(u.run_id) AND r.run_id = u.run_id
        UNION ALL
        SELECT r.namespace, r.workflow, r.concurrency_key
        FROM unnest(p_ending) AS u (run_id) JOIN runs r ON r.shard = shard_of(u.run_id) AND r.run_id = u.run_id AND r.is_limited
    ) q;
END $$;

-- Runs that stand nowhere yet come to their gates.
CREATE FUNCTION enter_gates(p_run_ids uuid[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    run runs;
BEGIN
    IF p_run_ids IS NULL THEN
        RETURN;
    END IF;
    PERFORM lock_gates(array_agg(r.namespace), array_agg(r.workflow), array_agg(r.concurrency_key))
    FROM (SELECT shard_of(u.run_id) AS shard, u.run_id FROM unnest(p_run_ids) AS u (run_id) OFFSET 0) u
    JOIN runs r ON r.shard = u.shard AND r.run_id = u.run_id;
    FOR run IN
        SELECT r.*
        FROM (SELECT shard_of(u.run_id) AS shard, u.* FROM unnest(p_run_ids) WITH ORDINALITY AS u (run_id, number) OFFSET 0) u
        JOIN runs r ON r.shard = u.shard AND r.run_id = u.run_id ORDER BY r.priority, u.number
    LOOP
        PERFORM pass_gates(run, 0::smallint);
    END LOOP;
END $$;

-- Let at most p_limit of those go on that wait at a gate, as far as there are slots. Returns how many left it, and which of them are ready.
-- The caller has locked the gates.
CREATE FUNCTION open_gate(p_gate_id bigint, p_limit integer, OUT gone integer, OUT became_ready uuid[]) LANGUAGE plpgsql AS $$
DECLARE
    gate gates;
    most integer;
    run runs;
    head queued;
BEGIN
    gone := 0;
    SELECT g.* INTO gate FROM gates g WHERE g.gate_id = p_gate_id;
    most := most_beyond(gate);
    WHILE gone < p_limit AND (most IS NULL OR gate.taken < most) LOOP
        SELECT q.* INTO head FROM queued q WHERE q.gate_id = p_gate_id ORDER BY q.priority, q.id LIMIT 1;
        EXIT WHEN NOT FOUND;
        DELETE FROM queued q WHERE q.shard = head.shard AND q.run_id = head.run_id;
        IF most IS NOT NULL THEN
            UPDATE gates g SET taken = g.taken + 1 WHERE g.gate_id = p_gate_id RETURNING g.* INTO gate;
            INSERT INTO slots (shard, run_id, gate_id, namespace) VALUES (head.shard, head.run_id, p_gate_id, head.namespace);
        END IF;
        SELECT r.* INTO run FROM runs r WHERE r.shard = head.shard AND r.run_id = head.run_id;
        IF pass_gates(run, head.level) THEN
            became_ready := became_ready || head.run_id;
        END IF;
        gone := gone + 1;
    END LOOP;
    -- There may be as many keys as there are runs: the gate of one is there for as long as it is needed.
    IF gate.key <> '' AND gate.taken = 0 THEN
        DELETE FROM gates g WHERE g.gate_id = p_gate_id AND NOT EXISTS (SELECT FROM queued q WHERE q.gate_id = p_gate_id);
    END IF;
END $$;

-- Runs have ended: their slots are somebody else's. Returns the runs that are ready. The caller has locked the gates.
CREATE FUNCTION give_back_slots(p_run_ids uuid[]) RETURNS SETOF uuid LANGUAGE plpgsql AS $$
DECLARE
    gate record;
BEGIN
    FOR gate IN
        WITH gone AS (
            DELETE FROM slots s USING (SELECT shard_of(u.run_id) AS shard, u.run_id FROM unnest(p_run_ids) AS u (run_id) OFFSET 0) u
            WHERE s.shard = u.shard AND s.run_id = u.run_id RETURNING s.gate_id
        ), given AS (
            UPDATE gates g SET taken = g.taken - c.slots
            FROM (SELECT n.gate_id, count(*)::integer AS slots FROM gone n GROUP BY n.gate_id) c
            WHERE g.gate_id = c.gate_id RETURNING g.gate_id, g.workflow, g.key, c.slots
        )
        -- Those that wait at the last gate have passed the others before: they are first.
        SELECT g.* FROM given g ORDER BY g.workflow, g.key
    LOOP
        -- If there are many more, as a limit was raised: that is settled by somebody else.
        RETURN QUERY SELECT unnest(o.became_ready) FROM open_gate(gate.gate_id, gate.slots + 100) o;
    END LOOP;
END $$;

-- A run that waits for its first slot and is asked to stop has nothing to stop: it ends here. Returns whether it did. One that a parent
-- waits for, or that has begun before, is told when it goes on. The caller has locked the run.
CREATE FUNCTION end_unbegun(r runs) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    IF NOT r.is_limited OR r.parent_run_id IS NOT NULL
       OR EXISTS (SELECT FROM events e WHERE e.shard = r.shard AND e.run_id = r.run_id) THEN
        RETURN false;
    END IF;
    PERFORM lock_gates(ARRAY [r.namespace], ARRAY [r.workflow], ARRAY [r.concurrency_key]);
    DELETE FROM queued q WHERE q.shard = r.shard AND q.run_id = r.run_id;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    PERFORM close_runs(ARRAY [r.run_id], ARRAY [3::smallint], ARRAY [convert_to(json_build_object(
        'code', 'cancelled', 'message', 'it was asked to stop before it had begun', 'retryable', false)::text, 'UTF8')],
        ARRAY [clock_timestamp()], ARRAY ['cancelled']);
    RETURN true;
END $$;

-- Whether runs of a workflow have to have a slot.
CREATE FUNCTION is_limited(p_namespace text, p_workflow text) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT EXISTS (SELECT FROM concurrency c WHERE c.namespace = p_namespace AND c.workflow IN ('', p_workflow)
                   AND (c.max_runs IS NOT NULL OR c.max_per_key IS NOT NULL));
$$;

-- Limit a workflow; without one, the namespace. None is no limit. count_under_way comes next, until it has seen all and counted none, then settle_gates.
CREATE FUNCTION set_concurrency(p_namespace text, p_workflow text, p_max_runs integer, p_max_per_key integer, p_who text)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM check_workflow(p_namespace, p_workflow);
    -- One change of workflows at a time in a namespace, as in deploy.
    PERFORM FROM namespaces n WHERE n.namespace = p_namespace FOR UPDATE;
    -- It is so: whoever asked for it may have died over the rest.
    IF EXISTS (SELECT FROM concurrency c WHERE c.namespace = p_namespace AND c.workflow = p_workflow
               AND (c.max_runs, c.max_per_key) IS NOT DISTINCT FROM (p_max_runs, p_max_per_key)) THEN
        RETURN;
    END IF;
    INSERT INTO concurrency (namespace, workflow, max_runs, max_per_key)
    VALUES (p_namespace, p_workflow, p_max_runs, p_max_per_key)
    ON CONFLICT (namespace, workflow) DO UPDATE
    SET max_runs = excluded.max_runs, max_per_key = excluded.max_per_key, is_settled = false;
    UPDATE workflows w SET is_limited = is_limited(w.namespace, w.workflow)
    WHERE w.namespace = p_namespace AND p_workflow IN ('', w.workflow) AND w.is_limited <> is_limited(w.namespace, w.workflow);
    PERFORM audit(p_namespace, p_who, 'concurrency.set', coalesce(nullif(p_workflow, ''), p_namespace),
                  jsonb_build_object('max_runs', p_max_runs, 'max_per_key', p_max_per_key)::text);
END $$;

-- Runs that were under way before there was a limit count as well, however many may be taken: of the next p_limit that are not over, after
-- one, those get their slots that have none. Returns how many, and where to go on; null: there are no others. One that is accepted while its
-- limit is set may be missed: it began before.
CREATE FUNCTION count_under_way(
    p_namespace text, p_workflow text, p_after_time timestamptz, p_after_id uuid, p_limit integer,
    OUT counted integer, OUT next_time timestamptz, OUT next_id uuid
) LANGUAGE plpgsql AS $$
DECLARE
    ids uuid[];
BEGIN
    WITH seen AS MATERIALIZED (
        SELECT r AS run, r.started_at, r.run_id FROM runs r
        WHERE r.namespace = p_namespace AND r.state = 0 AND (r.started_at, r.run_id) > (p_after_time, p_after_id)
        ORDER BY r.started_at, r.run_id LIMIT p_limit
    )
    SELECT m.ids, l.started_at, l.run_id INTO ids, next_time, next_id
    FROM (
        SELECT array_agg(s.run_id) AS ids FROM seen s
        WHERE p_workflow IN ('', (s.run).workflow) AND EXISTS (SELECT FROM slots_missing(s.run, p_workflow))
    ) m
    LEFT JOIN (SELECT s.started_at, s.run_id FROM seen s ORDER BY s.started_at, s.run_id OFFSET p_limit - 1) l ON true;
    counted := coalesce(cardinality(ids), 0);
    IF counted = 0 THEN
        RETURN;
    END IF;
    PERFORM lock_runs(ids);
    PERFORM lock_gates(array_agg(r.namespace), array_agg(r.workflow), array_agg(r.concurrency_key))
    FROM (SELECT shard_of(u.run_id) AS shard, u.run_id FROM unnest(ids) AS u (run_id) OFFSET 0) u
    JOIN runs r ON r.shard = u.shard AND r.run_id = u.run_id;
    -- Under the locks, none of them ends and none passes a gate.
    WITH taken AS (
        INSERT INTO slots (shard, run_id, gate_id, namespace)
        SELECT r.shard, r.run_id, m.gate_id, r.namespace
        FROM (SELECT shard_of(u.run_id) AS shard, u.run_id FROM unnest(ids) AS u (run_id) OFFSET 0) u
        JOIN runs r ON r.shard = u.shard AND r.run_id = u.run_id AND r.state = 0
        CROSS JOIN LATERAL slots_missing(r, p_workflow) m
        RETURNING shard, run_id, gate_id
    ), added AS (
        UPDATE gates g SET taken = g.taken + c.slots
        FROM (SELECT t.gate_id, count(*)::integer AS slots FROM taken t GROUP BY t.gate_id) c WHERE g.gate_id = c.gate_id
    )
    UPDATE runs r SET is_limited = true FROM taken t WHERE r.shard = t.shard AND r.run_id = t.run_id AND NOT r.is_limited;
END $$;

-- Gates of a workflow, or of the namespace, that a live run is beyond without a slot. One that is not there has no id yet.
CREATE FUNCTION slots_missing(r runs, p_workflow text) RETURNS TABLE (gate_id bigint) LANGUAGE sql STABLE AS $$
    SELECT g.gate_id FROM gates_before(r) b
    LEFT JOIN gates g ON g.namespace = r.namespace AND g.workflow = b.workflow AND g.key = b.key
    WHERE b.workflow = p_workflow
      AND NOT EXISTS (SELECT FROM slots s WHERE s.shard = r.shard AND s.run_id = r.run_id AND s.gate_id = g.gate_id)
      AND NOT EXISTS (SELECT FROM queued q WHERE q.shard = r.shard AND q.run_id = r.run_id AND q.level <= b.level);
$$;

-- Whether there is something left to do at a gate whose limit was changed: runs wait for no reason, or it is open and not needed.
CREATE FUNCTION is_unsettled(p_gate gates, p_most integer) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT p_most IS NULL OR p_gate.taken < p_most AND EXISTS (SELECT FROM queued q WHERE q.gate_id = p_gate.gate_id);
$$;

-- A limit was raised, or taken away: those go on that wait for no other reason, at the next p_limit gates from one with this key on, and
-- at most p_limit of them. Returns how many did, and where to go on; null: the limit is as it was asked to be.
CREATE FUNCTION settle_gates(p_namespace text, p_workflow text, p_from_key text, p_limit integer, OUT gone integer, OUT next_key text)
LANGUAGE plpgsql AS $$
DECLARE
    setting concurrency;
    keys text[];
    gate gates;
BEGIN
    gone := 0;
    SELECT c.* INTO setting FROM concurrency c WHERE c.namespace = p_namespace AND c.workflow = p_workflow FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    WITH seen AS MATERIALIZED (
        SELECT g AS gate, g.key, CASE g.key WHEN '' THEN setting.max_runs ELSE setting.max_per_key END AS most FROM gates g
        WHERE g.namespace = p_namespace AND g.workflow = p_workflow AND g.key >= p_from_key ORDER BY g.key LIMIT p_limit
    )
    SELECT array_agg(s.key) FILTER (WHERE is_unsettled(s.gate, s.most)),
           (SELECT g.key FROM gates g WHERE g.namespace = p_namespace AND g.workflow = p_workflow AND g.key > max(s.key)
            ORDER BY g.key LIMIT 1)
    INTO keys, next_key FROM seen s;
    IF keys IS NOT NULL THEN
        PERFORM lock_gates(array_fill(p_namespace, ARRAY [cardinality(keys)]), array_fill(p_workflow, ARRAY [cardinality(keys)]),
                           array_agg(nullif(u.key, ''))) FROM unnest(keys) AS u (key);
    END IF;
    FOR gate IN
        SELECT g.* FROM gates g WHERE g.namespace = p_namespace AND g.workflow = p_workflow AND g.key = ANY (keys) ORDER BY g.key
    LOOP
        gone := gone + (SELECT o.gone FROM open_gate(gate.gate_id, p_limit - gone) o);
        IF gone = p_limit THEN
            next_key := gate.key;
            EXIT;
        END IF;
    END LOOP;
    -- Nobody waits at a gate that is open: it is not needed. Slots of it are given back to nobody.
    DELETE FROM gates g
    WHERE g.namespace = p_namespace AND g.workflow = p_workflow AND g.key = ANY (keys) AND most_beyond(g) IS NULL
      AND NOT EXISTS (SELECT FROM queued q WHERE q.gate_id = g.gate_id);
    -- Somebody may have changed it meanwhile, and died over it.
    next_key := coalesce(next_key, (
        SELECT g.key FROM gates g
        WHERE g.namespace = p_namespace AND g.workflow = p_workflow
          AND is_unsettled(g, CASE g.key WHEN '' THEN setting.max_runs ELSE setting.max_per_key END)
        ORDER BY g.key LIMIT 1));
    IF next_key IS NOT NULL THEN
        RETURN;
    ELSIF coalesce(setting.max_runs, setting.max_per_key) IS NULL THEN
        DELETE FROM concurrency c WHERE c.namespace = p_namespace AND c.workflow = p_workflow;
    ELSE
        UPDATE concurrency c SET is_settled = true WHERE c.namespace = p_namespace AND c.workflow = p_workflow AND NOT c.is_settled;
    END IF;
END $$;

-- The limits of a namespace, its own first. under_way, waiting: of the limit on all; with keys, how many wait for one of each.
CREATE FUNCTION list_concurrency(p_namespace text) RETURNS TABLE (
    workflow text, max_runs integer, max_per_key integer, under_way integer, waiting bigint, waiting_for_key bigint
) LANGUAGE sql STABLE AS $$
    SELECT c.workflow, c.max_runs, c.max_per_key,
           (SELECT g.taken FROM gates g WHERE g.namespace = c.namespace AND g.workflow = c.workflow AND g.key = ''),
           (SELECT count(*) FROM gates g JOIN queued q USING (gate_id)
            WHERE g.namespace = c.namespace AND g.workflow = c.workflow AND g.key = ''),
           (SELECT count(*) FROM gates g JOIN queued q USING (gate_id)
            WHERE g.namespace = c.namespace AND g.workflow = c.workflow AND g.key <> '')
    FROM concurrency c WHERE c.namespace = p_namespace ORDER BY c.workflow;
$$;
