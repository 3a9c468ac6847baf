-- Let go of runs that wait for a signal or a time. A signal that came since the host last looked is never lost: senders
-- put letters in under the lock of the run's row, and this looks into the inbox under the same lock.
--
-- Runs that are paused are not parked but put with the others that are, whatever is in their inboxes.
--
-- Called by commit_batch, which has locked the runs in a statement before: this one sees what was committed until then. Returns the runs that were not parked: 1 this host does not own it, 2 there is mail.
CREATE FUNCTION park(
    p_host uuid, p_run_ids uuid[], p_wake_ats timestamptz[], p_signals text[], p_updates text[], p_strikes smallint[],
    p_open_calls bytea[]
) RETURNS TABLE (run_id uuid, verdict smallint) LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    WITH asked AS MATERIALIZED (
        SELECT r.shard, u.run_id, u.wake_at, string_to_array(u.signals, ',') AS signals,
               string_to_array(u.updates, ',') AS updates, u.strikes, u.calls, is_paused(r) AS is_paused
        FROM unnest(p_run_ids, p_wake_ats, p_signals, p_updates, p_strikes, p_open_calls)
            AS u (run_id, wake_at, signals, updates, strikes, calls)
        JOIN runs r ON r.shard = shard_of(u.run_id) AND r.run_id = u.run_id
    ), mail AS MATERIALIZED (
        SELECT a.run_id FROM asked a
        WHERE NOT a.is_paused AND EXISTS (SELECT 1 FROM inbox i WHERE i.shard = a.shard AND i.run_id = a.run_id
                              AND is_wanted(i.kind, i.name, a.signals, a.updates))
    ), released AS (
        DELETE FROM owned o USING asked a
        WHERE o.shard = a.shard AND o.run_id = a.run_id AND o.host_id = p_host
          AND NOT EXISTS (SELECT 1 FROM mail m WHERE m.run_id = a.run_id)
        RETURNING o.namespace, o.priority, o.run_id, o.edition
    ), parked AS (
        INSERT INTO parked (shard, namespace, run_id, wake_at, signals, updates, priority, strikes, open_calls, edition)
        SELECT a.shard, r.namespace, a.run_id, a.wake_at, a.signals, a.updates, r.priority, a.strikes, a.calls, r.edition
        FROM asked a JOIN released r USING (run_id) WHERE NOT a.is_paused
    ), paused AS (
        INSERT INTO paused (shard, namespace, run_id, priority, strikes, open_calls, edition)
        SELECT a.shard, r.namespace, a.run_id, r.priority, a.strikes, a.calls, r.edition
        FROM asked a JOIN released r USING (run_id) WHERE a.is_paused
    )
    SELECT a.run_id, CASE WHEN m.run_id IS NOT NULL THEN 2 ELSE 1 END::smallint
    FROM asked a LEFT JOIN mail m USING (run_id) LEFT JOIN released r USING (run_id)
    WHERE r.run_id IS NULL;
END $$;
