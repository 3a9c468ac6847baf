-- The archive: reading it, and how it ends.

-- Lines of an archived run, in order: with p_first, the part that has that event, and whether there are parts after it; without, all parts
-- that have anything but events. Of several runs of one id, the newest; none while one of that id is not archived.
CREATE FUNCTION archived_lines(p_namespace text, p_run_id uuid, p_first integer)
RETURNS TABLE (lines text, more boolean) LANGUAGE plpgsql STABLE AS $$
DECLARE
    newest timestamptz;
    at_part integer;
    last_part integer;
BEGIN
    PERFORM 1 FROM runs r WHERE r.shard = shard_of(p_run_id) AND r.run_id = p_run_id;
    IF FOUND THEN
        RETURN;
    END IF;
    SELECT a.closed_at INTO newest FROM archived_runs a
    WHERE a.shard = shard_of(p_run_id) AND a.run_id = p_run_id AND a.namespace = p_namespace
    ORDER BY a.closed_at DESC LIMIT 1;
    IF newest IS NULL THEN
        RETURN;
    END IF;
    IF p_first IS NOT NULL THEN
        SELECT max(a.part) FILTER (WHERE a.first_seq <= p_first), max(a.part) INTO at_part, last_part FROM archived_runs a
        WHERE a.shard = shard_of(p_run_id) AND a.run_id = p_run_id AND a.closed_at = newest;
    END IF;
    RETURN QUERY
    SELECT a.lines, a.part < last_part FROM archived_runs a
    WHERE a.shard = shard_of(p_run_id) AND a.run_id = p_run_id AND a.closed_at = newest
      AND CASE WHEN p_first IS NULL THEN a.has_rest ELSE a.part = at_part END
    ORDER BY a.part;
END $$;

-- As list_runs, of what is archived.
CREATE FUNCTION list_archived_runs(
    p_namespace text, p_workflow text, p_component text, p_version integer, p_state smallint, p_before_at timestamptz,
    p_before_id uuid, p_limit integer
) RETURNS TABLE (
    run_id uuid, workflow text, component text, version integer, state smallint, started_at timestamptz,
    closed_at timestamptz
) LANGUAGE sql STABLE AS $$
    SELECT a.run_id, a.workflow, a.component, a.version, (a.state + 2)::smallint, a.started_at, a.closed_at
    FROM archived_runs a
    WHERE a.namespace = p_namespace AND a.part = 0 AND (p_workflow IS NULL OR a.workflow = p_workflow)
      AND (p_component IS NULL OR a.component = p_component) AND (p_version IS NULL OR a.version = p_version)
      AND (p_state IS NULL OR (a.state + 2)::smallint = p_state)
      AND (p_before_at IS NULL OR (a.started_at, a.run_id) < (p_before_at, p_before_id))
    ORDER BY a.started_at DESC, a.run_id DESC
    LIMIT p_limit;
$$;

-- What a run came to that is archived, as runs has it; null if there is none.
CREATE FUNCTION archived_state(p_namespace text, p_run_id uuid) RETURNS smallint LANGUAGE sql STABLE AS $$
    SELECT a.state::smallint FROM archived_runs a
    WHERE a.shard = shard_of(p_run_id) AND a.run_id = p_run_id AND a.namespace = p_namespace
    ORDER BY a.closed_at DESC LIMIT 1;
$$;

-- Put what a namespace has in the archive under the day on which it is to be deleted by now, if that is another: up to p_limit rows, moved
-- from table to table. What is about to be deleted is left alone. Returns how many; null: another host is at it.
CREATE FUNCTION redate_archive(p_namespace text, p_limit integer) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    wanted namespaces;
    today date := utc_day(clock_timestamp());
    ids uuid[];
    ends timestamptz[];
    parts integer[];
    old_days date[];
    days date[];
BEGIN
    IF NOT pg_try_advisory_xact_lock(archive_lock_key()) THEN
        RETURN NULL;
    END IF;
    SELECT n.* INTO wanted FROM namespaces n WHERE n.namespace = p_namespace;
    SELECT array_agg(q.run_id), array_agg(q.closed_at), array_agg(q.part), array_agg(q.delete_on), array_agg(q.day)
    INTO ids, ends, parts, old_days, days
    FROM (
        SELECT a.run_id, a.closed_at, a.part, a.delete_on, d.day
        FROM archived_runs a CROSS JOIN LATERAL (SELECT delete_day(a.closed_at, wanted.delete_after) AS day) d
        WHERE a.namespace = p_namespace AND a.delete_on > today
          -- What was archived late goes as soon as it can: that day is not put off again and again.
          AND CASE WHEN d.day <= today + 2 THEN a.delete_on > d.day ELSE a.delete_on <> d.day END
        LIMIT p_limit
    ) q;
    IF ids IS NULL THEN
        -- Unless it was changed again while we looked.
        UPDATE namespaces n SET redate_archive = false
        WHERE n.namespace = p_namespace AND n.redate_archive AND n.delete_after IS NOT DISTINCT FROM wanted.delete_after;
        RETURN 0;
    END IF;
    PERFORM make_archive(d.day) FROM (SELECT DISTINCT u.day FROM unnest(days) AS u (day)) d;
    UPDATE archived_runs a SET delete_on = u.day
    FROM unnest(ids, ends, parts, old_days, days) AS u (run_id, closed_at, part, delete_on, day)
    WHERE a.shard = shard_of(u.run_id) AND a.run_id = u.run_id AND a.closed_at = u.closed_at AND a.part = u.part
      AND a.delete_on = u.delete_on;
    RETURN cardinality(ids);
END $$;

-- Days whose archive may be deleted, and the namespaces of whom there is something in it that they want to have exported first.
CREATE FUNCTION ripe_archives() RETURNS TABLE (day date, exported text[]) LANGUAGE sql STABLE AS $$
    SELECT d.day, ARRAY (
        SELECT n.namespace FROM namespaces n
        WHERE n.export_archive
          AND EXISTS (SELECT FROM archived_runs a WHERE a.delete_on = d.day AND a.namespace = n.namespace)
        ORDER BY n.namespace)
    FROM (
        SELECT to_date(right(c.relname::text, 8), 'YYYYMMDD') AS day
        FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'archived_runs'::regclass AND c.relname ~ '^archived_runs_[0-9]{8}$'
    ) d
    WHERE d.day <= utc_day(clock_timestamp()) ORDER BY d.day;
$$;

-- What a namespace has in the archive of a day, by the start of the runs: the parts after p_after, some megabytes of them.
CREATE FUNCTION read_archive(p_day date, p_namespace text, p_after_at timestamptz, p_after_id uuid, p_after_part integer)
RETURNS TABLE (started_at timestamptz, run_id uuid, part integer, lines text) LANGUAGE sql STABLE AS $$
    SELECT q.started_at, q.run_id, q.part, q.lines FROM (
        SELECT a.*, sum(octet_length(a.lines)) OVER (
            ORDER BY a.started_at, a.run_id, a.part ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before
        FROM (
            SELECT a.started_at, a.run_id, a.part, a.lines FROM archived_runs a
            WHERE a.delete_on = p_day AND a.namespace = p_namespace
              AND (a.started_at, a.run_id, a.part) > (p_after_at, p_after_id, p_after_part)
            ORDER BY a.started_at, a.run_id, a.part LIMIT 1000
        ) a
    ) q
    WHERE coalesce(q.before, 0) < 8388608 ORDER BY q.started_at, q.run_id, q.part;
$$;

-- Drop the archive of a day, of which what these namespaces have was exported. Returns the runs that were in it; null if another host is
-- at the archive, or somebody else wants to have something exported. Whoever reads the archive for long keeps it: it is tried again.
CREATE FUNCTION drop_archive(p_day date, p_exported text[]) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    part text := 'archived_runs_' || to_char(p_day, 'YYYYMMDD');
    dropped bigint;
BEGIN
    IF NOT pg_try_advisory_xact_lock(archive_lock_key())
       OR NOT EXISTS (SELECT FROM ripe_archives() r WHERE r.day = p_day AND r.exported <@ p_exported) THEN
        RETURN NULL;
    END IF;
    PERFORM add_archived_storage(q.namespace, -q.bytes)
    FROM (SELECT a.namespace, sum(100 + pg_column_size(a.lines))::bigint AS bytes FROM archived_runs a
          WHERE a.delete_on = p_day GROUP BY a.namespace ORDER BY a.namespace) q;
    SELECT count(*) INTO dropped FROM archived_runs a WHERE a.delete_on = p_day AND a.part = 0;
    -- Others who want to read wait behind whoever waits for this lock: not for long.
    SET LOCAL lock_timeout = '1s';
    EXECUTE format('DROP TABLE %I', part);
    RETURN dropped;
END $$;

-- How many runs of a namespace have ended, and how many bytes they keep, by how long ago: where hosts work, and in the archive. Reads all
-- of it.
CREATE FUNCTION retention_stats(p_namespace text)
RETURNS TABLE (ended text, runs bigint, bytes bigint, archived_runs bigint, archived_bytes bigint)
LANGUAGE sql STABLE AS $$
    WITH ages AS (
        SELECT * FROM (VALUES (1, 'last 24 h', interval '0', interval '24 hours'), (2, 'last 7 d', '24 hours', '7 days'),
                              (3, 'last 30 d', '7 days', '30 days'), (4, 'older', '30 days', '1000000 days'))
            AS a (number, ended, from_age, to_age)
    ), found AS (
        SELECT clock_timestamp() - r.closed_at AS age, false AS is_archived, true AS is_run,
               100 + octet_length(r.input) + coalesce(octet_length(r.result), 0)
               + (SELECT coalesce(sum(100 + coalesce(octet_length(e.input), 0) + coalesce(octet_length(e.outcome), 0)), 0)
                  FROM events e WHERE e.shard = r.shard AND e.run_id = r.run_id)
               + (SELECT coalesce(sum(100 + coalesce(octet_length(t.failure), 0) + coalesce(octet_length(t.heartbeat), 0)), 0)
                  FROM attempts t WHERE t.shard = r.shard AND t.run_id = r.run_id)
               + (SELECT coalesce(sum(100 + octet_length(l.message)), 0) FROM logs l WHERE l.shard = r.shard AND l.run_id = r.run_id)
               + (SELECT coalesce(sum(100 + octet_length(p.value)), 0)
                  FROM published p WHERE p.shard = r.shard AND p.run_id = r.run_id)
               + (SELECT coalesce(sum(100 + octet_length(u.payload) + coalesce(octet_length(u.answer), 0)), 0)
                  FROM updates u WHERE u.shard = r.shard AND u.run_id = r.run_id) AS bytes
        FROM runs r WHERE r.namespace = p_namespace AND r.closed_at IS NOT NULL
        UNION ALL
        SELECT clock_timestamp() - a.closed_at, true, a.part = 0, 100 + pg_column_size(a.lines)
        FROM archived_runs a WHERE a.namespace = p_namespace
    )
    SELECT a.ended, count(*) FILTER (WHERE NOT f.is_archived), coalesce(sum(f.bytes) FILTER (WHERE NOT f.is_archived), 0)::bigint,
           count(*) FILTER (WHERE f.is_archived AND f.is_run), coalesce(sum(f.bytes) FILTER (WHERE f.is_archived), 0)::bigint
    FROM ages a LEFT JOIN found f ON f.age >= a.from_age AND f.age < a.to_age
    GROUP BY a.number, a.ended ORDER BY a.number;
$$;
