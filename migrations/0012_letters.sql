-- Letters to runs: what they wake, and the lock under which they are put in.

-- Lock the rows of these runs, always in the same order. The shard is computed before: 0025 says why, here and wherever tenants get to. A letter is put in, a run is parked or closed, only under this lock.
CREATE FUNCTION lock_runs(p_run_ids uuid[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM 1 FROM runs r JOIN (SELECT DISTINCT shard_of(u.run_id) AS shard, u.run_id FROM unnest(p_run_ids) AS u (run_id)) u
        ON r.shard = u.shard AND r.run_id = u.run_id
    ORDER BY r.shard, r.run_id FOR NO KEY UPDATE OF r;
END $$;

-- Whether a run that waits for these signals and updates wakes for a letter. Whatever is neither always matters to it.
CREATE FUNCTION is_wanted(p_kind smallint, p_name text, p_signals text[], p_updates text[]) RETURNS boolean
LANGUAGE sql IMMUTABLE
RETURN CASE p_kind WHEN 0 THEN p_name = ANY (p_signals) WHEN 4 THEN p_name = ANY (p_updates) ELSE true END;

-- Put letters in. Whoever is parked and waits for one becomes ready. Returns for each run whether a host is at it: it can be
-- told; if not, some host can claim it.
CREATE FUNCTION put_letters(p_run_ids uuid[], p_kinds smallint[], p_names text[], p_payloads bytea[])
RETURNS TABLE (run_id uuid, is_owned boolean) LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    WITH letters AS MATERIALIZED (
        SELECT shard_of(u.run_id) AS shard, u.* FROM unnest(p_run_ids, p_kinds, p_names, p_payloads)
            AS u (run_id, kind, name, payload)
    ), put AS (
        INSERT INTO inbox (shard, run_id, kind, name, payload) SELECT l.* FROM letters l
    ), woken AS (
        DELETE FROM parked p USING letters l
        WHERE p.shard = l.shard AND p.run_id = l.run_id AND is_wanted(l.kind, l.name, p.signals, p.updates)
        RETURNING p.shard, p.namespace, p.priority, p.run_id, p.strikes, p.edition
    ), to_anyone AS (
        INSERT INTO ready (shard, namespace, priority, run_id, strikes, edition)
        SELECT w.shard, w.namespace, w.priority, w.run_id, w.strikes, w.edition FROM woken w
    )
    SELECT DISTINCT l.run_id, o.run_id IS NOT NULL
    FROM letters l LEFT JOIN owned o ON o.shard = l.shard AND o.run_id = l.run_id;
END $$;
