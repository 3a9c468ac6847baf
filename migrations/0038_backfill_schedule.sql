-- Runs of a schedule that somebody asks for: one now, or those of ticks that have none.

-- Start a run of a schedule now, whatever its overlap policy says and whether it is paused or not. failure: a code, as of start_tick.
-- No row: there is no such schedule.
CREATE FUNCTION trigger_schedule(
    p_namespace text, p_schedule text, p_tick timestamptz, p_run_id uuid, p_seed bytea, p_key text, p_who text
) RETURNS TABLE (failure text, bytes integer) LANGUAGE plpgsql AS $$
DECLARE
    s schedules;
BEGIN
    SELECT q.* INTO s FROM schedules q WHERE q.namespace = p_namespace AND q.schedule = p_schedule FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    failure := start_tick(s, p_run_id, p_seed, p_key, NULL);
    bytes := bytes_of_run(s);
    IF failure IS NULL THEN
        PERFORM note_tick(s, p_tick, 4, p_run_id);
        PERFORM audit(p_namespace, p_who, 'schedule.trigger', p_schedule, jsonb_build_object('run_id', p_run_id)::text);
    END IF;
    RETURN NEXT;
END $$;

-- Start the runs of these ticks, which are of p_spec; those that are there already stay as they are. No row: there is no such schedule with that spec.
-- failure: as of start_tick, and then nothing was started.
CREATE FUNCTION backfill_schedule(
    p_namespace text, p_schedule text, p_spec text, p_ticks timestamptz[], p_run_ids uuid[], p_seeds bytea[], p_keys text[], p_who text
) RETURNS TABLE (failure text, started integer, bytes bigint) LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
    s schedules;
BEGIN
    SELECT q.* INTO s FROM schedules q
    WHERE q.namespace = p_namespace AND q.schedule = p_schedule AND q.spec = p_spec FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    -- All or none: it stays there until all are started.
    PERFORM 1 FROM workflows w WHERE w.namespace = p_namespace AND w.workflow = s.workflow FOR KEY SHARE;
    IF NOT FOUND THEN
        failure := 'no-such-workflow';
        RETURN NEXT;
        RETURN;
    END IF;
    started := 0;
    -- One by one: the input may be long, and there would be as many of it at once. A run that is archived has been started too.
    FOR number IN 1 .. cardinality(p_ticks) LOOP
        IF EXISTS (SELECT FROM runs r WHERE r.shard = shard_of(p_run_ids[number]) AND r.run_id = p_run_ids[number])
           OR archived_state(p_namespace, p_run_ids[number]) IS NOT NULL THEN
            CONTINUE;
        END IF;
        PERFORM start_tick(s, p_run_ids[number], p_seeds[number], p_keys[number], NULL);
        started := started + 1;
    END LOOP;
    bytes := started * (100 + bytes_of_run(s))::bigint;
    IF started > 0 THEN
        PERFORM note_tick(s, p_ticks[1], 5, NULL, NULL, started);
    END IF;
    PERFORM audit(p_namespace, p_who, 'schedule.backfill', p_schedule,
                  jsonb_build_object('from', p_ticks[1], 'to', p_ticks[cardinality(p_ticks)], 'started', started)::text);
    RETURN NEXT;
END $$;
