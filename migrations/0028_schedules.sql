-- Schedules: workflows that are started again and again. When the next tick is due is computed by hosts (`model/schedule.rs`, which knows
-- time zones); what becomes of it is decided here, under the lock of the schedule's row and in the commit that moves its next_tick on.
-- So a tick is dealt with once, however many hosts see that it is due and whichever of them dies over it.
--
-- Whoever moves a schedule on says from which tick, and by which spec the next was computed: if either is another by now, somebody
-- else was first, and nothing happens. The id of a tick's run follows from the tick (`model/id.rs`), so that a backfill of it is the same run.

CREATE TABLE schedules (
    namespace   text        NOT NULL,
    schedule    text        NOT NULL,
    workflow    text        NOT NULL,
    input       bytea       NOT NULL,
    durability  durability  NOT NULL,
    timeout_us  bigint,
    tags        text[],
    priority    smallint    NOT NULL DEFAULT 3 CHECK (priority BETWEEN 1 AND 5),
    concurrency_key text,
    spec        text        NOT NULL,
    overlap     smallint    NOT NULL CHECK (overlap BETWEEN 0 AND 3),
    jitter_us   bigint      NOT NULL CHECK (jitter_us >= 0),
    catch_up_us bigint      NOT NULL CHECK (catch_up_us > 0),
    next_tick   timestamptz,
    due_at      timestamptz,
    queued_tick timestamptz,
    paused_at   timestamptz,
    started     bigint      NOT NULL DEFAULT 0,
    skipped     bigint      NOT NULL DEFAULT 0,
    missed      bigint      NOT NULL DEFAULT 0,
    failed      bigint      NOT NULL DEFAULT 0,
    created_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (namespace, schedule),
    CONSTRAINT a_tick_is_due_at_some_time CHECK ((next_tick IS NULL) = (due_at IS NULL))
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
CREATE INDEX schedules_by_due ON schedules (due_at) WHERE due_at IS NOT NULL AND paused_at IS NULL;
CREATE INDEX schedules_queued ON schedules (namespace, schedule) WHERE queued_tick IS NOT NULL AND paused_at IS NULL;
COMMENT ON COLUMN schedules.tags IS 'Of each of its runs, as are priority and concurrency_key.';
COMMENT ON COLUMN schedules.spec IS 'When it ticks, as JSON: a text, because it is compared character by character.';
COMMENT ON COLUMN schedules.overlap IS 'What becomes of a tick while the run of an earlier one is open: 0 skip, 1 buffer-one, 2 cancel, 3 allow.';
COMMENT ON COLUMN schedules.catch_up_us IS 'How late a tick may be and still start its run.';
COMMENT ON COLUMN schedules.next_tick IS 'The next tick that nothing has become of; none: there is none any more.';
COMMENT ON COLUMN schedules.due_at IS 'When that tick is due: later, by the jitter.';
COMMENT ON COLUMN schedules.queued_tick IS 'A tick that waits for the end of the runs that are open.';
COMMENT ON COLUMN schedules.missed IS 'Ticks that were too late when a host came to deal with them.';
COMMENT ON COLUMN schedules.failed IS 'Ticks that could start nothing: see schedule_ticks.reason.';

CREATE TABLE schedule_ticks (
    namespace text        NOT NULL,
    schedule  text        NOT NULL,
    id        bigint      GENERATED ALWAYS AS IDENTITY,
    tick      timestamptz NOT NULL,
    outcome   smallint    NOT NULL CHECK (outcome BETWEEN 0 AND 5),
    count     integer     NOT NULL DEFAULT 1,
    run_id    uuid,
    reason    text,
    noted_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (namespace, schedule, id)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
COMMENT ON TABLE schedule_ticks IS 'What became of the last ticks of each schedule.';
COMMENT ON COLUMN schedule_ticks.outcome IS '0 started, 1 skipped, 2 missed, 3 failed; not of its own accord: 4 triggered, 5 backfilled.';
COMMENT ON COLUMN schedule_ticks.count IS 'Missed, backfilled: how many, from this one on.';
COMMENT ON COLUMN schedule_ticks.reason IS 'Failed: the code of the reason.';

-- The runs of a schedule that have not ended. Those that were backfilled do not count, and neither do those in quarantine: nothing runs there.
CREATE FUNCTION open_runs_of(p_namespace text, p_schedule text) RETURNS SETOF uuid LANGUAGE sql STABLE AS $$
    SELECT r.run_id FROM schedule_ticks t JOIN runs r ON r.shard = shard_of(t.run_id) AND r.run_id = t.run_id
    WHERE t.namespace = p_namespace AND t.schedule = p_schedule AND r.state = 0;
$$;

-- Write down what became of a tick, and forget what became of those long before it; but not of runs that later ticks have to look at.
CREATE FUNCTION note_tick(
    p_schedule schedules, p_tick timestamptz, p_outcome integer, p_run_id uuid, p_reason text = NULL, p_count integer = 1
) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    oldest bigint;
BEGIN
    INSERT INTO schedule_ticks (namespace, schedule, tick, outcome, count, run_id, reason)
    VALUES (p_schedule.namespace, p_schedule.schedule, p_tick, p_outcome, p_count, p_run_id, p_reason);
    SELECT t.id INTO oldest FROM schedule_ticks t
    WHERE t.namespace = p_schedule.namespace AND t.schedule = p_schedule.schedule ORDER BY t.id DESC OFFSET 29 LIMIT 1;
    DELETE FROM schedule_ticks t
    WHERE t.namespace = p_schedule.namespace AND t.schedule = p_schedule.schedule AND t.id < oldest
      AND (p_schedule.overlap = 3 OR t.run_id IS NULL
           OR t.run_id NOT IN (SELECT open_runs_of(p_schedule.namespace, p_schedule.schedule)));
END $$;

-- Start the run of a tick. p_refusal: the code of a reason why it may not be. Returns that code, or another, or null if the run is there: now,
-- or because somebody has started that very tick before.
CREATE FUNCTION start_tick(p_schedule schedules, p_run_id uuid, p_seed bytea, p_key text, p_refusal text) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    became smallint;
BEGIN
    IF p_refusal IS NOT NULL THEN
        RETURN p_refusal;
    END IF;
    SELECT s.outcome INTO became FROM start_runs(
        NULL, NULL, ARRAY [p_schedule.namespace], ARRAY [p_run_id], ARRAY [p_schedule.workflow],
        ARRAY [p_schedule.durability::smallint], ARRAY [p_seed], ARRAY [p_key], ARRAY [p_schedule.input],
        ARRAY [p_schedule.timeout_us], ARRAY [array_to_string(p_schedule.tags, ',')], ARRAY [p_schedule.priority],
        ARRAY [p_schedule.concurrency_key]) s;
    RETURN CASE became WHEN 3 THEN 'no-such-workflow' END;
END $$;

-- What the namespace keeps more with each run of a schedule, besides its row.
CREATE FUNCTION bytes_of_run(p_schedule schedules) RETURNS integer LANGUAGE sql STABLE
RETURN octet_length(p_schedule.input) + coalesce((SELECT sum(100 + octet_length(t.tag)) FROM unnest(p_schedule.tags) AS t (tag)), 0)::integer;

-- Ask the open runs of a schedule to stop; those that were asked before are not asked again. Returns those that were.
CREATE FUNCTION cancel_runs_of(p_namespace text, p_schedule text) RETURNS uuid[] LANGUAGE plpgsql AS $$
DECLARE
    asked uuid[] := ARRAY(SELECT open_runs_of(p_namespace, p_schedule));
BEGIN
    PERFORM lock_runs(asked);
    WITH told AS (
        UPDATE runs r SET cancelled_at = clock_timestamp()
        FROM unnest(asked) AS u (run_id)
        WHERE r.shard = shard_of(u.run_id) AND r.run_id = u.run_id AND r.state = 0 AND r.cancelled_at IS NULL
        RETURNING r.run_id
    )
    SELECT coalesce(array_agg(t.run_id), '{}') INTO asked FROM told t;
    PERFORM put_letters(asked, array_fill(1::smallint, ARRAY [cardinality(asked)]),
                        array_fill('requested'::text, ARRAY [cardinality(asked)]),
                        array_fill(NULL::bytea, ARRAY [cardinality(asked)]));
    RETURN asked;
END $$;

-- Ticks that are due, the oldest first, and queued ones, of none of the namespaces p_without. Then, to know how long one may sleep, the first that
-- is not due yet. Nobody says when a run has ended, so who waits for that is looked at: the next p_limit of them after one, however many
-- there are; all of them are here, and due_at is when to look again at those whose time has not come.
CREATE FUNCTION due_schedules(p_limit integer, p_without text[], p_after_namespace text, p_after_schedule text) RETURNS TABLE (
    namespace text, schedule text, spec text, jitter_us bigint, catch_up_us bigint, tick timestamptz, due_at timestamptz,
    is_queued boolean, looked_at timestamptz
) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    now_at timestamptz := clock_timestamp();
BEGIN
    RETURN QUERY
    (SELECT s.namespace, s.schedule, s.spec, s.jitter_us, s.catch_up_us, s.queued_tick,
            CASE WHEN s.namespace <> ALL (p_without) AND NOT EXISTS (SELECT FROM open_runs_of(s.namespace, s.schedule))
                THEN now_at ELSE now_at + interval '500 ms' END,
            true, now_at
     FROM schedules s
     WHERE s.queued_tick IS NOT NULL AND s.paused_at IS NULL AND (s.namespace, s.schedule) > (p_after_namespace, p_after_schedule)
     ORDER BY s.namespace, s.schedule LIMIT p_limit)
    UNION ALL
    (SELECT s.namespace, s.schedule, s.spec, s.jitter_us, s.catch_up_us, s.next_tick, s.due_at, false, now_at
     FROM schedules s
     WHERE s.due_at <= now_at AND s.paused_at IS NULL AND s.namespace <> ALL (p_without)
     ORDER BY s.due_at LIMIT p_limit)
    UNION ALL
    (SELECT s.namespace, s.schedule, s.spec, s.jitter_us, s.catch_up_us, s.next_tick, s.due_at, false, now_at
     FROM schedules s WHERE s.due_at > now_at AND s.paused_at IS NULL ORDER BY s.due_at LIMIT 1);
END $$;

-- Deal with the next tick of a schedule, if it is that one and due: start its run, or what its overlap policy says. outcome: as in schedule_ticks;
-- 6 it is queued; null: somebody else was first. cancelled: runs that were asked to stop.
CREATE FUNCTION fire_schedule(
    p_namespace text, p_schedule text, p_spec text, p_tick timestamptz, p_next_tick timestamptz, p_due_at timestamptz, p_run_id uuid,
    p_seed bytea, p_key text, p_refusal text, OUT outcome smallint, OUT bytes integer, OUT cancelled uuid[]
) LANGUAGE plpgsql AS $$
DECLARE
    s schedules;
    failure text;
    -- The tick that waits from now on, and the one that does not wait any more.
    queued timestamptz;
    dropped timestamptz;
BEGIN
    SELECT q.* INTO s FROM schedules q
    WHERE q.namespace = p_namespace AND q.schedule = p_schedule AND q.spec = p_spec AND q.next_tick = p_tick
      AND q.due_at <= clock_timestamp() AND q.paused_at IS NULL
    FOR NO KEY UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    queued := s.queued_tick;
    IF s.due_at < clock_timestamp() - s.catch_up_us * interval '1 microsecond' THEN
        outcome := 2;
    ELSIF s.overlap = 3
       OR queued IS NULL AND NOT EXISTS (SELECT FROM open_runs_of(p_namespace, p_schedule)) THEN
        failure := start_tick(s, p_run_id, p_seed, p_key, p_refusal);
        outcome := CASE WHEN failure IS NULL THEN 0 ELSE 3 END;
        bytes := bytes_of_run(s);
    ELSIF s.overlap = 1 AND queued IS NULL THEN
        queued := p_tick;
        outcome := 6;
    ELSIF s.overlap = 2 THEN
        cancelled := cancel_runs_of(p_namespace, p_schedule);
        dropped := queued;
        queued := p_tick;
        outcome := 6;
    ELSE
        outcome := 1;
    END IF;
    UPDATE schedules q
    SET next_tick = p_next_tick, due_at = p_due_at, queued_tick = queued,
        started = q.started + (outcome = 0)::integer,
        skipped = q.skipped + (outcome = 1)::integer + (dropped IS NOT NULL)::integer,
        missed = q.missed + (outcome = 2)::integer,
        failed = q.failed + (outcome = 3)::integer
    WHERE q.namespace = p_namespace AND q.schedule = p_schedule;
    IF dropped IS NOT NULL THEN
        PERFORM note_tick(s, dropped, 1, NULL);
    END IF;
    IF outcome < 6 THEN
        PERFORM note_tick(s, p_tick, outcome, CASE WHEN outcome = 0 THEN p_run_id END, failure);
    END IF;
END $$;

-- Start the run of the tick that waits, if it is that one and no run is open. outcome: as in fire_schedule.
CREATE FUNCTION fire_queued(
    p_namespace text, p_schedule text, p_tick timestamptz, p_run_id uuid, p_seed bytea, p_key text, p_refusal text,
    OUT outcome smallint, OUT bytes integer
) LANGUAGE plpgsql AS $$
DECLARE
    s schedules;
    failure text;
BEGIN
    SELECT q.* INTO s FROM schedules q
    WHERE q.namespace = p_namespace AND q.schedule = p_schedule AND q.queued_tick = p_tick AND q.paused_at IS NULL
    FOR NO KEY UPDATE SKIP LOCKED;
    IF NOT FOUND OR EXISTS (SELECT FROM open_runs_of(p_namespace, p_schedule)) THEN
        RETURN;
    END IF;
    failure := start_tick(s, p_run_id, p_seed, p_key, p_refusal);
    outcome := CASE WHEN failure IS NULL THEN 0 ELSE 3 END;
    bytes := bytes_of_run(s);
    UPDATE schedules q
    SET queued_tick = NULL, started = q.started + (outcome = 0)::integer, failed = q.failed + (outcome = 3)::integer
    WHERE q.namespace = p_namespace AND q.schedule = p_schedule;
    PERFORM note_tick(s, p_tick, outcome, CASE WHEN outcome = 0 THEN p_run_id END, failure);
END $$;

-- Count p_count ticks from p_tick on as missed, if that is the next one. Returns whether it was.
CREATE FUNCTION miss_ticks(
    p_namespace text, p_schedule text, p_spec text, p_tick timestamptz, p_next_tick timestamptz, p_due_at timestamptz, p_count integer
) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    s schedules;
BEGIN
    UPDATE schedules q SET next_tick = p_next_tick, due_at = p_due_at, missed = q.missed + p_count
    WHERE q.namespace = p_namespace AND q.schedule = p_schedule AND q.spec = p_spec AND q.next_tick = p_tick AND q.paused_at IS NULL
    RETURNING q.* INTO s;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    PERFORM note_tick(s, p_tick, 2, NULL, NULL, p_count);
    RETURN true;
END $$;

-- Keep a schedule, in place of one of this name if there is one: ticks go on from where they are unless the spec is another. outcome: 0 created,
-- 1 changed, 2 there are p_schedules_max, 3 no such workflow, 4 it would never tick. bytes: by how much more is kept.
CREATE FUNCTION put_schedule(
    p_namespace text, p_schedule text, p_workflow text, p_input bytea, p_durability smallint, p_timeout bigint, p_spec text,
    p_overlap smallint, p_jitter bigint, p_catch_up bigint, p_next_tick timestamptz, p_due_at timestamptz, p_schedules_max integer,
    p_who text, p_tags text, p_priority smallint, p_concurrency_key text, OUT outcome smallint, OUT bytes bigint
) LANGUAGE plpgsql AS $$
DECLARE
    before schedules;
BEGIN
    -- One at a time in a namespace: they are counted.
    PERFORM 1 FROM namespaces n WHERE n.namespace = p_namespace FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no namespace %', p_namespace USING ERRCODE = 'WL006';
    END IF;
    SELECT s.* INTO before FROM schedules s WHERE s.namespace = p_namespace AND s.schedule = p_schedule FOR NO KEY UPDATE;
    outcome := CASE WHEN FOUND THEN 1 ELSE 0 END;
    bytes := octet_length(p_input) - coalesce(octet_length(before.input), -100);
    IF NOT EXISTS (SELECT FROM workflows w WHERE w.namespace = p_namespace AND w.workflow = p_workflow) THEN
        outcome := 3;
    ELSIF p_next_tick IS NULL AND before.spec IS DISTINCT FROM p_spec THEN
        outcome := 4;
    ELSIF outcome = 0 AND (SELECT count(*) FROM schedules s WHERE s.namespace = p_namespace) >= p_schedules_max THEN
        outcome := 2;
    ELSE
        INSERT INTO schedules AS s (namespace, schedule, workflow, input, durability, timeout_us, spec, overlap, jitter_us, catch_up_us,
                                    next_tick, due_at, tags, priority, concurrency_key)
        VALUES (p_namespace, p_schedule, p_workflow, p_input, p_durability, p_timeout, p_spec, p_overlap, p_jitter, p_catch_up,
                p_next_tick, p_due_at, string_to_array(p_tags, ','), p_priority, p_concurrency_key)
        ON CONFLICT (namespace, schedule) DO UPDATE
        SET workflow = p_workflow, input = p_input, durability = p_durability, timeout_us = p_timeout, spec = p_spec,
            overlap = p_overlap, jitter_us = p_jitter, catch_up_us = p_catch_up, updated_at = clock_timestamp(),
            tags = string_to_array(p_tags, ','), priority = p_priority, concurrency_key = p_concurrency_key,
            next_tick = CASE WHEN s.spec = p_spec THEN s.next_tick ELSE p_next_tick END,
            due_at = CASE WHEN s.spec = p_spec THEN s.due_at ELSE p_due_at END;
        PERFORM audit(p_namespace, p_who, CASE outcome WHEN 0 THEN 'schedule.create' ELSE 'schedule.change' END, p_schedule,
                      jsonb_build_object('workflow', p_workflow, 'spec', p_spec::jsonb, 'overlap', p_overlap)::text);
    END IF;
END $$;

-- Returns how many bytes are not kept any more; null: there is no such schedule. Its runs go on.
CREATE FUNCTION delete_schedule(p_namespace text, p_schedule text, p_who text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    freed bigint;
BEGIN
    DELETE FROM schedules s WHERE s.namespace = p_namespace AND s.schedule = p_schedule
    RETURNING 100 + octet_length(s.input) INTO freed;
    IF FOUND THEN
        DELETE FROM schedule_ticks t WHERE t.namespace = p_namespace AND t.schedule = p_schedule;
        PERFORM audit(p_namespace, p_who, 'schedule.delete', p_schedule, '{}');
    END IF;
    RETURN freed;
END $$;

-- Pause a schedule: nothing starts before it is resumed, not even what is queued. Returns whether there is such a schedule.
CREATE FUNCTION pause_schedule(p_namespace text, p_schedule text, p_who text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    s schedules;
BEGIN
    SELECT q.* INTO s FROM schedules q WHERE q.namespace = p_namespace AND q.schedule = p_schedule FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN false;
    ELSIF s.paused_at IS NOT NULL THEN
        PERFORM refuse_state(format('the schedule %s', p_schedule), 'paused');
    END IF;
    UPDATE schedules q
    SET paused_at = clock_timestamp(), queued_tick = NULL, skipped = q.skipped + (q.queued_tick IS NOT NULL)::integer
    WHERE q.namespace = p_namespace AND q.schedule = p_schedule;
    IF s.queued_tick IS NOT NULL THEN
        PERFORM note_tick(s, s.queued_tick, 1, NULL);
    END IF;
    PERFORM audit(p_namespace, p_who, 'schedule.pause', p_schedule, '{}');
    RETURN true;
END $$;

-- Go on from p_next_tick, the first one after now by p_spec; ticks of the time between are not made up for. Returns whether there is such a
-- schedule with that spec.
CREATE FUNCTION resume_schedule(
    p_namespace text, p_schedule text, p_spec text, p_next_tick timestamptz, p_due_at timestamptz, p_who text
) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    s schedules;
BEGIN
    SELECT q.* INTO s FROM schedules q
    WHERE q.namespace = p_namespace AND q.schedule = p_schedule AND q.spec = p_spec FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN false;
    ELSIF s.paused_at IS NULL THEN
        PERFORM refuse_state(format('the schedule %s', p_schedule), 'not paused');
    END IF;
    UPDATE schedules q SET paused_at = NULL, next_tick = p_next_tick, due_at = p_due_at
    WHERE q.namespace = p_namespace AND q.schedule = p_schedule;
    PERFORM audit(p_namespace, p_who, 'schedule.resume', p_schedule, '{}');
    RETURN true;
END $$;
