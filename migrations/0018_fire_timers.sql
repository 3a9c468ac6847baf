-- Parked runs whose time has come become ready: up to p_limit of them, the earliest of each shard first. Returns how many,
-- and when the next is due.
CREATE FUNCTION fire_timers(p_limit integer, OUT fired integer, OUT next_in interval) LANGUAGE plpgsql AS $$
BEGIN
    WITH due AS MATERIALIZED (
        SELECT q.row
        FROM generate_series(0, 15) AS n (number)
        CROSS JOIN LATERAL (
            SELECT p.ctid AS row FROM parked p
            WHERE p.shard = n.number::smallint AND p.wake_at <= clock_timestamp()
            ORDER BY p.wake_at LIMIT p_limit FOR UPDATE SKIP LOCKED
        ) q
        LIMIT p_limit
    ), woken AS (
        -- By where they are, as in claim: planned with as many as may be due, a join reads them all for each thousand.
        DELETE FROM parked p WHERE p.ctid = ANY (ARRAY (SELECT d.row FROM due d))
        RETURNING p.shard, p.namespace, p.priority, p.run_id, p.strikes, p.edition
    )
    INSERT INTO ready (shard, namespace, priority, run_id, strikes, edition)
    SELECT w.shard, w.namespace, w.priority, w.run_id, w.strikes, w.edition FROM woken w;
    GET DIAGNOSTICS fired = ROW_COUNT;

    -- None is none: greatest() would take it for the smaller one.
    SELECT CASE WHEN min(q.wake_at) IS NOT NULL THEN greatest(min(q.wake_at) - clock_timestamp(), interval '0') END INTO next_in
    FROM generate_series(0, 15) AS n (number)
    CROSS JOIN LATERAL (
        SELECT p.wake_at FROM parked p WHERE p.shard = n.number::smallint AND p.wake_at IS NOT NULL
        ORDER BY p.wake_at LIMIT 1
    ) q;
END $$;
