-- Letters to a run, from outside. Each takes the lock of the run's row first: see park.
--
-- Both return the host that owns the run, if one does, so that it can be told.

-- Lock the run's row; refuse if there is no such run in the namespace.
CREATE FUNCTION lock_run(p_namespace text, p_run_id uuid) RETURNS runs LANGUAGE plpgsql AS $$
DECLARE
    run runs;
BEGIN
    SELECT r.* INTO run FROM runs r
    WHERE r.shard = shard_of(p_run_id) AND r.run_id = p_run_id AND r.namespace = p_namespace FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no run % in the namespace %', p_run_id, p_namespace USING ERRCODE = 'WL003';
    END IF;
    RETURN run;
END $$;

-- Refuse a run that has ended.
CREATE FUNCTION check_open(p_run runs) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF p_run.state <> 0 THEN
        RAISE EXCEPTION 'run % has ended', p_run.run_id USING ERRCODE = 'WL004', DETAIL = p_run.state::text;
    END IF;
END $$;

-- Refuse a letter more than the inbox may hold.
CREATE FUNCTION check_inbox(p_run_id uuid, p_payload bytea, p_inbox_max integer, p_bytes_max bigint) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    waiting bigint;
    waiting_bytes bigint;
BEGIN
    SELECT count(*), coalesce(sum(octet_length(i.payload)), 0) INTO waiting, waiting_bytes
    FROM (SELECT i.payload FROM inbox i WHERE i.shard = shard_of(p_run_id) AND i.run_id = p_run_id LIMIT p_inbox_max) i;
    IF waiting >= p_inbox_max THEN
        RAISE EXCEPTION 'the inbox of run % is full: it holds % letters that the workflow has not asked for', p_run_id, waiting
            USING ERRCODE = 'WL005', DETAIL = format('%s letters wait in it, and no more may', waiting);
    ELSIF waiting_bytes + octet_length(p_payload) > p_bytes_max THEN
        RAISE EXCEPTION 'the inbox of run % is full: it holds % bytes that the workflow has not asked for', p_run_id, waiting_bytes
            USING ERRCODE = 'WL005', DETAIL = format('%s bytes wait in it, and %s are the most', waiting_bytes, p_bytes_max);
    END IF;
END $$;

-- Send a signal. A signal id that was accepted before is accepted again and changes nothing, even when the run has ended
-- since: whoever sends it again did not hear that it was accepted.
CREATE FUNCTION send_signal(
    p_namespace text, p_run_id uuid, p_name text, p_payload bytea, p_signal_id text, p_inbox_max integer,
    p_inbox_bytes_max bigint = 9223372036854775807, OUT accepted boolean, OUT owner uuid
) LANGUAGE plpgsql AS $$
DECLARE
    run runs;
BEGIN
    run := lock_run(p_namespace, p_run_id);
    accepted := NOT EXISTS (SELECT 1 FROM signal_ids s WHERE s.shard = run.shard AND s.run_id = p_run_id
                            AND s.signal_id = p_signal_id);
    IF accepted THEN
        PERFORM check_open(run);
        INSERT INTO signal_ids (shard, run_id, signal_id)
        SELECT run.shard, p_run_id, p_signal_id WHERE p_signal_id IS NOT NULL;
        PERFORM check_inbox(p_run_id, p_payload, p_inbox_max, p_inbox_bytes_max);
        PERFORM put_letters(ARRAY [p_run_id], ARRAY [0::smallint], ARRAY [p_name], ARRAY [p_payload]);
    END IF;
    SELECT o.host_id INTO owner FROM owned o WHERE o.shard = shard_of(p_run_id) AND o.run_id = p_run_id;
END $$;

-- Ask a run to stop. Asked again, it changes nothing.
CREATE FUNCTION request_cancel(p_namespace text, p_run_id uuid, OUT accepted boolean, OUT owner uuid)
LANGUAGE plpgsql AS $$
DECLARE
    run runs;
BEGIN
    run := lock_run(p_namespace, p_run_id);
    PERFORM check_open(run);
    UPDATE runs r SET cancelled_at = clock_timestamp()
    WHERE r.shard = shard_of(p_run_id) AND r.run_id = p_run_id AND r.cancelled_at IS NULL;
    accepted := FOUND;
    IF accepted AND NOT end_unbegun(run) THEN
        PERFORM put_letters(ARRAY [p_run_id], ARRAY [1::smallint], ARRAY ['requested'], ARRAY [NULL::bytea]);
    END IF;
    SELECT o.host_id INTO owner FROM owned o WHERE o.shard = shard_of(p_run_id) AND o.run_id = p_run_id;
END $$;

-- Ask a run for something that its workflow answers. The same update id again is the same update.
CREATE FUNCTION send_update(
    p_namespace text, p_run_id uuid, p_name text, p_payload bytea, p_update_id text, p_inbox_max integer,
    p_inbox_bytes_max bigint = 9223372036854775807, OUT accepted boolean, OUT owner uuid
) LANGUAGE plpgsql AS $$
DECLARE
    run runs;
    before updates;
BEGIN
    run := lock_run(p_namespace, p_run_id);
    SELECT u.* INTO before FROM updates u
    WHERE u.shard = run.shard AND u.run_id = p_run_id AND u.update_id = p_update_id;
    accepted := NOT FOUND;
    IF accepted THEN
        PERFORM check_open(run);
        PERFORM check_inbox(p_run_id, p_payload, p_inbox_max, p_inbox_bytes_max);
        PERFORM put_letters(ARRAY [p_run_id], ARRAY [4::smallint], ARRAY [p_name], ARRAY [p_payload]);
        -- The newest of the run's letters, of which nobody else can add one now.
        INSERT INTO updates (shard, run_id, update_id, name, payload, inbox_id)
        SELECT run.shard, p_run_id, p_update_id, p_name, p_payload, max(i.id)
        FROM inbox i WHERE i.shard = run.shard AND i.run_id = p_run_id;
    ELSIF (before.name, before.payload) IS DISTINCT FROM (p_name, p_payload) THEN
        RAISE EXCEPTION 'run % was given another update with the id %', p_run_id, p_update_id USING ERRCODE = 'WL008';
    END IF;
    SELECT o.host_id INTO owner FROM owned o WHERE o.shard = run.shard AND o.run_id = p_run_id;
END $$;

-- Where an update stands: answered, or not, or never (the run has ended). No row: no such update.
CREATE FUNCTION get_update(p_namespace text, p_run_id uuid, p_update_id text)
RETURNS TABLE (name text, failed boolean, answer bytea, accepted_at timestamptz, answered_at timestamptz, has_ended boolean)
LANGUAGE sql STABLE AS $$
    SELECT u.name, u.failed, u.answer, u.accepted_at, u.answered_at, r.state BETWEEN 1 AND 3
    FROM updates u JOIN runs r ON r.shard = u.shard AND r.run_id = u.run_id
    WHERE u.shard = shard_of(p_run_id) AND u.run_id = p_run_id AND u.update_id = p_update_id AND r.namespace = p_namespace;
$$;

-- Start a run and send it a signal, both or neither; a run that is there already only gets the signal. See start_runs, of
-- which the outcome is: 1 also for a run that was started with another input, which then does not count.
CREATE FUNCTION signal_with_start(
    p_host uuid, p_epoch bigint, p_namespace text, p_run_id uuid, p_workflow text, p_durability smallint, p_seed bytea,
    p_key text, p_input bytea, p_timeout bigint, p_signal text, p_payload bytea, p_signal_id text, p_inbox_max integer,
    p_inbox_bytes_max bigint = 9223372036854775807, p_tags text = NULL, p_priority smallint = NULL, p_concurrency_key text = NULL,
    OUT outcome smallint, OUT component text, OUT version integer, OUT started_at timestamptz, OUT deadline_at timestamptz,
    OUT is_limited boolean
) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    started record;
BEGIN
    SELECT s.* INTO started FROM start_runs(
        p_host, p_epoch, ARRAY [p_namespace], ARRAY [p_run_id], ARRAY [p_workflow], ARRAY [p_durability], ARRAY [p_seed],
        ARRAY [p_key], ARRAY [p_input], ARRAY [p_timeout], ARRAY [p_tags], ARRAY [p_priority], ARRAY [p_concurrency_key]) s;
    outcome := started.outcome;
    component := started.component;
    version := started.version;
    started_at := started.started_at;
    deadline_at := started.deadline_at;
    is_limited := started.is_limited;
    IF outcome = 2 AND EXISTS (SELECT 1 FROM runs r WHERE r.shard = shard_of(p_run_id) AND r.run_id = p_run_id
                               AND r.namespace = p_namespace AND r.workflow = p_workflow) THEN
        outcome := 1;
    END IF;
    IF outcome IN (0, 1, 5) THEN
        PERFORM send_signal(p_namespace, p_run_id, p_signal, p_payload, p_signal_id, p_inbox_max, p_inbox_bytes_max);
    END IF;
END $$;
