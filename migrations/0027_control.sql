-- Holding runs back and letting them go on: one run, all of a workflow, or all of a namespace.
--
-- What is paused is said in one place (`runs.paused_at`, `pauses` in 0008), and looked at wherever a run would go on: when it is claimed
-- (standing), when it is parked, and when it is accepted. So no run need be found: one that waits stays where it is until it
-- would have gone on, and is put into `paused` then. Those that hosts are at get a letter, so that they end what is under way,
-- have it recorded, and let go.

-- What is asked for is not for something in this state. The detail is the state, in a word.
CREATE FUNCTION refuse_state(p_what text, p_state text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is %', p_what, p_state USING ERRCODE = 'WL010', DETAIL = p_state;
END $$;

-- Refuse what no component of the namespace has.
CREATE FUNCTION check_workflow(p_namespace text, p_workflow text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM namespaces n WHERE n.namespace = p_namespace) THEN
        RAISE EXCEPTION 'there is no namespace %', p_namespace USING ERRCODE = 'WL006';
    ELSIF p_workflow <> '' AND NOT EXISTS (SELECT FROM workflows w WHERE w.namespace = p_namespace AND w.workflow = p_workflow) THEN
        RAISE EXCEPTION 'no component of the namespace % has a workflow %', p_namespace, p_workflow USING ERRCODE = 'WL011';
    END IF;
END $$;

CREATE FUNCTION audit_pause(p_verb text, p_namespace text, p_workflow text, p_who text) RETURNS void LANGUAGE sql AS $$
    SELECT audit(p_namespace, p_who, CASE p_workflow WHEN '' THEN 'namespace.' ELSE 'workflow.' END || p_verb,
                 coalesce(nullif(p_workflow, ''), p_namespace), '{}');
$$;

-- Where a run stands, in a word.
CREATE FUNCTION run_state_name(r runs) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT (ARRAY ['ready', 'running', 'waiting', 'completed', 'failed', 'cancelled', 'quarantined', 'paused'])[1 + run_state(
        r, EXISTS (SELECT FROM owned o WHERE o.shard = r.shard AND o.run_id = r.run_id),
        EXISTS (SELECT FROM parked p WHERE p.shard = r.shard AND p.run_id = r.run_id)
        OR EXISTS (SELECT FROM queued q WHERE q.shard = r.shard AND q.run_id = r.run_id))];
$$;

-- Pause a run. Returns the host that is at it, so that it can be told.
CREATE FUNCTION pause_run(p_namespace text, p_run_id uuid, p_who text, OUT owner uuid) LANGUAGE plpgsql AS $$
DECLARE
    run runs;
BEGIN
    run := lock_run(p_namespace, p_run_id);
    PERFORM check_open(run);
    IF run.paused_at IS NOT NULL THEN
        PERFORM refuse_state(format('run %s', p_run_id), 'paused');
    END IF;
    UPDATE runs r SET paused_at = clock_timestamp() WHERE r.shard = run.shard AND r.run_id = p_run_id;
    SELECT o.host_id INTO owner FROM owned o WHERE o.shard = run.shard AND o.run_id = p_run_id;
    IF owner IS NOT NULL THEN
        PERFORM put_letters(ARRAY [p_run_id], ARRAY [5::smallint], ARRAY [''], ARRAY [NULL::bytea]);
    END IF;
    PERFORM audit(p_namespace, p_who, 'run.pause', p_run_id::text, '{}');
END $$;

-- Let a run go on. What has come for it meanwhile is there.
CREATE FUNCTION resume_run(p_namespace text, p_run_id uuid, p_who text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    run runs;
BEGIN
    run := lock_run(p_namespace, p_run_id);
    PERFORM check_open(run);
    IF run.paused_at IS NULL THEN
        PERFORM refuse_state(format('run %s', p_run_id), CASE WHEN is_paused(p_namespace, run.workflow)
            THEN 'paused with its workflow' ELSE run_state_name(run) END);
    END IF;
    UPDATE runs r SET paused_at = NULL WHERE r.shard = run.shard AND r.run_id = p_run_id;
    DELETE FROM inbox i WHERE i.shard = run.shard AND i.run_id = p_run_id AND i.kind = 5;
    IF NOT is_paused(p_namespace, run.workflow) THEN
        WITH gone AS (
            DELETE FROM paused p WHERE p.shard = run.shard AND p.run_id = p_run_id
            RETURNING p.shard, p.namespace, p.priority, p.run_id, p.strikes, p.edition
        )
        INSERT INTO ready (shard, namespace, priority, run_id, strikes, edition)
        SELECT g.shard, g.namespace, g.priority, g.run_id, g.strikes, g.edition FROM gone g;
    END IF;
    PERFORM audit(p_namespace, p_who, 'run.resume', p_run_id::text, '{}');
END $$;

-- Pause a workflow; without one, the namespace. tell_paused comes next, in a transaction of its own.
CREATE FUNCTION pause_workflow(p_namespace text, p_workflow text, p_who text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM check_workflow(p_namespace, p_workflow);
    INSERT INTO pauses (namespace, workflow) VALUES (p_namespace, p_workflow) ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
        PERFORM refuse_state(coalesce('the workflow ' || nullif(p_workflow, ''), 'the namespace ' || p_namespace), 'paused');
    END IF;
    PERFORM audit_pause('pause', p_namespace, p_workflow, p_who);
END $$;

-- Tell the hosts that are at runs of a workflow, or of a whole namespace, that it is paused. It sees all those that were taken up by
-- somebody who did not see it: whoever takes a run up from now on does. Returns the runs.
CREATE FUNCTION tell_paused(p_namespace text, p_workflow text) RETURNS SETOF uuid LANGUAGE plpgsql AS $$
DECLARE
    told uuid[];
BEGIN
    SELECT array_agg(o.run_id) INTO told FROM owned o JOIN runs r ON r.shard = o.shard AND r.run_id = o.run_id
    WHERE o.namespace = p_namespace AND p_workflow IN ('', r.workflow)
      AND NOT EXISTS (SELECT FROM inbox i WHERE i.shard = o.shard AND i.run_id = o.run_id AND i.kind = 5);
    IF told IS NULL THEN
        RETURN;
    END IF;
    PERFORM lock_runs(told);
    RETURN QUERY
    SELECT l.run_id FROM put_letters(
        told, array_fill(5::smallint, ARRAY [cardinality(told)]), array_fill(''::text, ARRAY [cardinality(told)]),
        array_fill(NULL::bytea, ARRAY [cardinality(told)])) l;
END $$;

-- Let a workflow go on; without one, the namespace. release_paused comes next, until it has seen all; if whoever asks dies over it, hosts
-- find out by `resumes`.
CREATE FUNCTION resume_workflow(p_namespace text, p_workflow text, p_who text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM check_workflow(p_namespace, p_workflow);
    DELETE FROM pauses p WHERE p.namespace = p_namespace AND p.workflow = p_workflow;
    IF NOT FOUND THEN
        PERFORM refuse_state(coalesce('the workflow ' || nullif(p_workflow, ''), 'the namespace ' || p_namespace),
                             CASE WHEN is_paused(p_namespace, p_workflow) THEN 'paused with its namespace' ELSE 'not paused' END);
    END IF;
    INSERT INTO resumes (namespace) VALUES (p_namespace)
    ON CONFLICT (namespace) DO UPDATE SET resumed_at = clock_timestamp();
    PERFORM audit_pause('resume', p_namespace, p_workflow, p_who);
END $$;

-- Paused runs that no longer are become ready: of the next p_limit of a namespace after one. Returns how many, and where to go on; null where
-- to go on: there are none left.
CREATE FUNCTION release_paused(
    p_namespace text, p_after_shard smallint, p_after_id uuid, p_limit integer,
    OUT released integer, OUT next_shard smallint, OUT next_id uuid
) LANGUAGE plpgsql AS $$
BEGIN
    WITH seen AS MATERIALIZED (
        SELECT p.shard, p.run_id FROM paused p
        WHERE p.namespace = p_namespace AND (p.shard, p.run_id) > (p_after_shard, p_after_id)
        ORDER BY p.shard, p.run_id LIMIT p_limit
    ), free AS MATERIALIZED (
        SELECT p.shard, p.run_id FROM seen s
        JOIN paused p ON p.shard = s.shard AND p.run_id = s.run_id JOIN runs r ON r.shard = s.shard AND r.run_id = s.run_id
        WHERE r.paused_at IS NULL AND NOT is_paused(p_namespace, r.workflow)
        FOR UPDATE OF p SKIP LOCKED
    ), gone AS (
        DELETE FROM paused p USING free f WHERE p.shard = f.shard AND p.run_id = f.run_id
        RETURNING p.shard, p.namespace, p.priority, p.run_id, p.strikes, p.edition
    ), here AS (
        INSERT INTO ready (shard, namespace, priority, run_id, strikes, edition)
        SELECT g.shard, g.namespace, g.priority, g.run_id, g.strikes, g.edition FROM gone g
    )
    SELECT g.number, l.shard, l.run_id INTO released, next_shard, next_id
    FROM (SELECT count(*) AS number FROM gone) g
    LEFT JOIN (SELECT s.shard, s.run_id FROM seen s ORDER BY s.shard, s.run_id OFFSET p_limit - 1) l ON true;
END $$;

-- Forget that a namespace was to be looked at, after that was done. Not before a minute is over: whoever was about to put a run
-- into paused when it was resumed has done so by then.
CREATE FUNCTION end_resume(p_namespace text, p_resumed_at timestamptz) RETURNS void LANGUAGE sql AS $$
    DELETE FROM resumes s
    WHERE s.namespace = p_namespace AND s.resumed_at = p_resumed_at AND s.resumed_at < clock_timestamp() - interval '1 minute';
$$;

-- Go on with a run that was quarantined, after what was wrong has been mended: its history is as it was, and nothing is held against it. The
-- slots that it had are somebody else's: it has to have others, if its workflow is limited.
CREATE FUNCTION retry_run(p_namespace text, p_run_id uuid, p_who text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    run runs;
BEGIN
    run := lock_run(p_namespace, p_run_id);
    IF run.state <> 4 THEN
        PERFORM refuse_state(format('run %s', p_run_id), run_state_name(run));
    END IF;
    UPDATE runs r SET state = 0, result = NULL, failure_code = NULL, is_limited = true
    WHERE r.shard = run.shard AND r.run_id = p_run_id;
    PERFORM enter_gates(ARRAY [p_run_id]);
    PERFORM audit(p_namespace, p_who, 'run.retry', p_run_id::text, '{}');
END $$;
