-- Let go of runs that wait for a signal or a time. A signal that came since the host last looked is never lost: senders
-- put letters in under the lock of the run's row, and this looks into the inbox under the same lock.
--
-- Called by commit_batch. Returns the runs that were not parked: 1 this host does not own it, 2 there is mail.
CREATE FUNCTION park(
    p_host uuid, p_run_ids uuid[], p_wake_ats timestamptz[], p_signals text[], p_strikes smallint[], p_open_calls bytea[]
) RETURNS TABLE (run_id uuid, verdict smallint) LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    PERFORM 1 FROM runs r JOIN unnest(p_run_ids) AS u (run_id) ON r.shard = shard_of(u.run_id) AND r.run_id = u.run_id
    ORDER BY r.shard, r.run_id FOR NO KEY UPDATE OF r;
    -- A statement of its own: it sees what was committed before the locks were ours.
    RETURN QUERY
    WITH asked AS MATERIALIZED (
        SELECT shard_of(u.run_id) AS shard, u.run_id, u.wake_at, string_to_array(u.signals, ',') AS signals, u.strikes, u.calls
        FROM unnest(p_run_ids, p_wake_ats, p_signals, p_strikes, p_open_calls)
            AS u (run_id, wake_at, signals, strikes, calls)
    ), mail AS MATERIALIZED (
        SELECT a.run_id FROM asked a
        WHERE EXISTS (SELECT 1 FROM inbox i WHERE i.shard = a.shard AND i.run_id = a.run_id
                      AND (i.kind = 1 OR i.name = ANY (a.signals)))
    ), released AS (
        DELETE FROM owned o USING asked a
        WHERE o.shard = a.shard AND o.run_id = a.run_id AND o.host_id = p_host
          AND NOT EXISTS (SELECT 1 FROM mail m WHERE m.run_id = a.run_id)
        RETURNING o.run_id
    ), parked AS (
        INSERT INTO parked (shard, run_id, wake_at, signals, strikes, open_calls)
        SELECT a.shard, a.run_id, a.wake_at, a.signals, a.strikes, a.calls FROM asked a JOIN released r USING (run_id)
    )
    SELECT a.run_id, CASE WHEN m.run_id IS NOT NULL THEN 2 ELSE 1 END::smallint
    FROM asked a LEFT JOIN mail m USING (run_id) LEFT JOIN released r USING (run_id)
    WHERE r.run_id IS NULL;
END $$;
