-- Letters to a run, from outside. Each takes the lock of the run's row first: see park.
--
-- Both return the host that owns the run, if one does, so that it can be told.

-- Whether the run wakes for a letter: if it is parked and waits for it.
CREATE FUNCTION wake_for(p_run_id uuid, p_kind smallint, p_name text) RETURNS void LANGUAGE sql AS $$
    WITH woken AS (
        DELETE FROM parked p WHERE p.shard = shard_of(p_run_id) AND p.run_id = p_run_id
            AND (p_kind = 1 OR p_name = ANY (p.signals))
        RETURNING p.shard, p.run_id, p.strikes
    )
    INSERT INTO ready (shard, run_id, strikes) SELECT w.shard, w.run_id, w.strikes FROM woken w;
$$;

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

-- Send a signal. A signal id that was accepted before is accepted again and changes nothing, even when the run has ended
-- since: whoever sends it again did not hear that it was accepted.
CREATE FUNCTION send_signal(
    p_namespace text, p_run_id uuid, p_name text, p_payload bytea, p_signal_id text, p_inbox_max integer,
    OUT accepted boolean, OUT owner uuid
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
        IF (SELECT count(*) FROM (SELECT 1 FROM inbox i WHERE i.shard = shard_of(p_run_id) AND i.run_id = p_run_id
                                  LIMIT p_inbox_max) AS letters) >= p_inbox_max THEN
            RAISE EXCEPTION 'the inbox of run % is full: it holds % letters that the workflow has not asked for',
                p_run_id, p_inbox_max USING ERRCODE = 'WL005';
        END IF;
        INSERT INTO inbox (shard, run_id, kind, name, payload) VALUES (shard_of(p_run_id), p_run_id, 0, p_name, p_payload);
        PERFORM wake_for(p_run_id, 0::smallint, p_name);
    END IF;
    SELECT o.host_id INTO owner FROM owned o WHERE o.shard = shard_of(p_run_id) AND o.run_id = p_run_id;
END $$;

-- Ask a run to stop. Asked again, it changes nothing.
CREATE FUNCTION request_cancel(p_namespace text, p_run_id uuid, OUT accepted boolean, OUT owner uuid)
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM check_open(lock_run(p_namespace, p_run_id));
    UPDATE runs r SET cancelled_at = clock_timestamp()
    WHERE r.shard = shard_of(p_run_id) AND r.run_id = p_run_id AND r.cancelled_at IS NULL;
    accepted := FOUND;
    IF accepted THEN
        INSERT INTO inbox (shard, run_id, kind, name) VALUES (shard_of(p_run_id), p_run_id, 1, '');
        PERFORM wake_for(p_run_id, 1::smallint, '');
    END IF;
    SELECT o.host_id INTO owner FROM owned o WHERE o.shard = shard_of(p_run_id) AND o.run_id = p_run_id;
END $$;
