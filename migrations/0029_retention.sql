-- Retention: runs that have ended go from the tables that hosts work with to an archive, and from there, when their time is
-- over, to nowhere or to files (`worker/archive.rs`). What namespaces want is in `namespaces`, see 0023; nobody wants anything until
-- they say so.
--
--     runs, events, attempts, … ──archive_runs──→ archived_runs, by the day of its deletion ──drop_archive──→ gone
--
-- The archive is divided by the day on which it is deleted, and not by the day on which runs ended: namespaces keep things for as long as
-- each of them wants, and all that is in a part goes at once, as a table that is dropped. Nothing is ever deleted row by row.

CREATE TABLE archived_runs (
    delete_on  date        NOT NULL,
    shard      smallint    NOT NULL,
    run_id     uuid        NOT NULL,
    part       integer     NOT NULL,
    namespace  text        NOT NULL,
    workflow   text        NOT NULL,
    component  text        NOT NULL,
    version    integer     NOT NULL,
    state      run_code    NOT NULL,
    started_at timestamptz NOT NULL,
    closed_at  timestamptz NOT NULL,
    first_seq  integer,
    has_rest   boolean     NOT NULL,
    lines      text        NOT NULL,
    -- An idempotency key that is free again is a run's id again: the archive may hold several runs of one id.
    PRIMARY KEY (shard, run_id, closed_at, part, delete_on)
) PARTITION BY RANGE (delete_on);
COMMENT ON TABLE archived_runs IS 'Runs that have ended, each with all that was known of it, as JSON lines: in one row, or in parts of some megabytes. They never change.';
COMMENT ON COLUMN archived_runs.delete_on IS 'From this day on, in UTC, it may be deleted. Infinity: never.';
COMMENT ON COLUMN archived_runs.first_seq IS 'The number of the first event in this part; none if there is none.';
COMMENT ON COLUMN archived_runs.has_rest IS 'Whether anything but events is in this part.';
-- Compressed where it stands, from 2 kB on: what is smaller the database leaves as it is.
ALTER TABLE archived_runs ALTER lines SET STORAGE MAIN;
CREATE INDEX archived_runs_by_start ON archived_runs (namespace, started_at, run_id, part);

ALTER TABLE namespaces ADD COLUMN redate_archive boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN namespaces.redate_archive IS 'Whether what is archived may stand under another day than delete_after says now.';

-- Whoever changes the archive holds it, to the end of the transaction: one host at a time.
CREATE FUNCTION archive_lock_key() RETURNS bigint LANGUAGE sql STABLE
RETURN hashtextextended(current_schema() || '/archive', 0);

-- Whoever exports holds it, for as long as their session lasts.
CREATE FUNCTION export_lock_key() RETURNS bigint LANGUAGE sql STABLE
RETURN hashtextextended(current_schema() || '/export', 0);

CREATE FUNCTION utc_day(p_at timestamptz) RETURNS date LANGUAGE sql IMMUTABLE
RETURN (p_at AT TIME ZONE 'UTC')::date;

-- The day on which what ended at p_at is deleted: when all of its time is over. Never a day that is so near that the table of it might
-- be dropped before this transaction is over.
CREATE FUNCTION delete_day(p_at timestamptz, p_delete_after interval) RETURNS date LANGUAGE sql STABLE
RETURN CASE WHEN p_delete_after IS NULL THEN 'infinity'::date
            ELSE greatest(utc_day(p_at + p_delete_after) + 1, utc_day(clock_timestamp()) + 2) END;

-- Make the table for what is deleted on a day, if it is not there. It is made apart and then attached: so nobody who reads the archive waits.
CREATE FUNCTION make_archive(p_day date) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    part text := 'archived_runs_' || CASE p_day WHEN 'infinity' THEN 'kept' ELSE to_char(p_day, 'YYYYMMDD') END;
    bounds text := CASE p_day WHEN 'infinity' THEN format('FROM (%L) TO (MAXVALUE)', p_day)
                   ELSE format('FROM (%L) TO (%L)', p_day, p_day + 1) END;
BEGIN
    IF to_regclass(part) IS NULL THEN
        EXECUTE format('CREATE TABLE %I (LIKE archived_runs INCLUDING STORAGE)', part);
        EXECUTE format('ALTER TABLE archived_runs ATTACH PARTITION %I FOR VALUES %s', part, bounds);
    END IF;
END $$;

-- What a namespace wants. What is not named stays; null is none. Who may not have what they ask for is told why.
CREATE FUNCTION put_retention(p_namespace text, p_retention text, p_who text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    asked jsonb := p_retention::jsonb;
    before namespaces;
    wanted namespaces;
BEGIN
    IF asked = '{}' THEN
        RETURN;
    END IF;
    SELECT n.* INTO before FROM namespaces n WHERE n.namespace = p_namespace FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no namespace %', p_namespace USING ERRCODE = 'WL006';
    END IF;
    wanted := jsonb_populate_record(before, asked);
    IF wanted.delete_after IS NOT NULL AND wanted.archive_after IS NULL AND wanted.keep_runs IS NULL THEN
        RAISE EXCEPTION 'only what is archived is ever deleted: set archive_after or keep_runs as well' USING ERRCODE = 'WL031';
    ELSIF wanted.delete_after < wanted.archive_after THEN
        RAISE EXCEPTION 'delete_after counts from the end of a run, as archive_after does, and is no shorter' USING ERRCODE = 'WL031';
    ELSIF wanted.keep_keys IS NULL OR wanted.export_archive IS NULL THEN
        RAISE EXCEPTION 'keep_keys and export_archive have to be something' USING ERRCODE = 'WL031';
    END IF;
    UPDATE namespaces n SET archive_after = wanted.archive_after, keep_runs = wanted.keep_runs,
                            delete_after = wanted.delete_after, keep_keys = wanted.keep_keys,
                            export_archive = wanted.export_archive,
                            redate_archive = n.redate_archive OR wanted.delete_after IS DISTINCT FROM before.delete_after
    WHERE n.namespace = p_namespace;
    PERFORM audit('*', p_who, 'namespace.change', p_namespace, jsonb_build_object('retention', asked)::text);
END $$;

-- A document as the lines have it: text. What is sealed stays sealed, as sealed texts are.
CREATE FUNCTION archived_text(p_document bytea) RETURNS text LANGUAGE sql STABLE STRICT
RETURN CASE WHEN get_byte(p_document, 0) = 1 THEN E'\x01' || rtrim(translate(encode(p_document, 'base64'), E'\n', ''), '=')
            ELSE convert_from(p_document, 'UTF8') END;

-- All that is known of a run, as JSON lines in their order; seq is the number of an event. `store/lines.rs` reads them.
CREATE FUNCTION archive_lines(p_run runs)
RETURNS TABLE (kind integer, first bigint, second bigint, seq integer, line json) LANGUAGE sql STABLE AS $$
    SELECT 0, 0::bigint, 0::bigint, NULL::integer, json_build_object(
        'line', 'run', 'run_id', p_run.run_id, 'namespace', p_run.namespace, 'workflow', p_run.workflow,
        'component', p_run.component, 'version', p_run.version,
        'durability', CASE p_run.durability WHEN 1 THEN 'strict' ELSE 'output' END, 'seed', encode(p_run.seed, 'hex'),
        'idempotency_key', p_run.idempotency_key, 'input', archived_text(p_run.input),
        'state', (ARRAY ['completed', 'failed', 'cancelled']) [p_run.state], 'result', archived_text(p_run.result),
        'started_at', p_run.started_at, 'cancelled_at', p_run.cancelled_at, 'deadline_at', p_run.deadline_at,
        'parent_run_id', p_run.parent_run_id, 'parent_call', p_run.parent_call, 'generation', p_run.generation,
        'first_seq', p_run.first_seq, 'first_call', p_run.first_call, 'continued_at', p_run.continued_at,
        'told', p_run.told, 'lineage', p_run.lineage, 'closed_at', p_run.closed_at, 'failure_code', p_run.failure_code,
        'tags', p_run.tags, 'priority', p_run.priority, 'concurrency_key', p_run.concurrency_key,
        'events', coalesce((SELECT e.seq + 1 FROM events e WHERE e.shard = p_run.shard AND e.run_id = p_run.run_id
                            ORDER BY e.seq DESC LIMIT 1), 0))
    UNION ALL
    SELECT 1, a.call, a.attempt, NULL, json_build_object(
        'line', 'attempt', 'call', a.call, 'attempt', a.attempt, 'step', a.step, 'attempt_limit', a.attempt_limit, 'failure', archived_text(a.failure),
        'heartbeat', archived_text(a.heartbeat), 'started_at', a.started_at, 'ended_at', a.ended_at, 'next_at', a.next_at)
    FROM attempts a WHERE a.shard = p_run.shard AND a.run_id = p_run.run_id
    UNION ALL
    SELECT 2, row_number() OVER (ORDER BY p.key), 0, NULL, json_build_object(
        'line', 'published', 'key', p.key, 'value', archived_text(p.value), 'at', p.at)
    FROM published p WHERE p.shard = p_run.shard AND p.run_id = p_run.run_id
    UNION ALL
    SELECT 3, u.inbox_id, 0, NULL, json_build_object(
        'line', 'update', 'update_id', u.update_id, 'name', u.name, 'payload', archived_text(u.payload), 'call', u.call,
        'failed', u.failed, 'answer', archived_text(u.answer), 'accepted_at', u.accepted_at, 'answered_at', u.answered_at)
    FROM updates u WHERE u.shard = p_run.shard AND u.run_id = p_run.run_id
    UNION ALL
    SELECT 4, l.id, 0, NULL, json_build_object(
        'line', 'log', 'id', l.id, 'source', l.source, 'attempt', l.attempt, 'number', l.number, 'level', l.level,
        'message', l.message, 'at', l.at)
    FROM logs l WHERE l.shard = p_run.shard AND l.run_id = p_run.run_id
    UNION ALL
    SELECT 5, w.rewind, 0, NULL, json_build_object(
        'line', 'rewind', 'rewind', w.rewind, 'before_seq', w.before_seq,
        'state', (ARRAY ['paused', 'completed', 'failed', 'cancelled', 'quarantined']) [w.state + 1],
        'result', archived_text(w.result), 'who', w.who, 'at', w.at)
    FROM rewinds w WHERE w.shard = p_run.shard AND w.run_id = p_run.run_id
    UNION ALL
    SELECT 6, e.rewind, e.seq, NULL, json_build_object(
        'line', 'past', 'rewind', e.rewind, 'seq', e.seq, 'kind', e.kind, 'call', e.call, 'name', e.name,
        'input', archived_text(e.input), 'attempt', e.attempt, 'failed', e.failed, 'outcome', archived_text(e.outcome),
        'asked_at', e.asked_at, 'at', e.at)
    FROM past_events e WHERE e.shard = p_run.shard AND e.run_id = p_run.run_id
    UNION ALL
    SELECT 7, e.seq, 0, e.seq, json_build_object(
        'line', 'event', 'seq', e.seq, 'kind', e.kind, 'call', e.call, 'name', e.name, 'input', archived_text(e.input),
        'attempt', e.attempt, 'failed', e.failed, 'outcome', archived_text(e.outcome), 'asked_at', e.asked_at, 'at', e.at)
    FROM events e WHERE e.shard = p_run.shard AND e.run_id = p_run.run_id;
$$;

-- Namespaces that want something of the archive.
CREATE FUNCTION archiving_namespaces() RETURNS TABLE (namespace text, redate boolean) LANGUAGE sql STABLE AS $$
    SELECT n.namespace, n.redate_archive FROM namespaces n
    WHERE n.archive_after IS NOT NULL OR n.keep_runs IS NOT NULL OR n.redate_archive;
$$;

-- The newest run that is older than the newest keep_runs, if there is a number and that many.
CREATE FUNCTION last_kept_run(p_namespace text, OUT started_at timestamptz, OUT run_id uuid) LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
DECLARE
    keep bigint;
BEGIN
    SELECT n.keep_runs INTO keep FROM namespaces n WHERE n.namespace = p_namespace;
    IF keep IS NOT NULL THEN
        SELECT r.started_at, r.run_id INTO started_at, run_id FROM runs r
        WHERE r.namespace = p_namespace ORDER BY r.started_at DESC, r.run_id DESC OFFSET keep LIMIT 1;
    END IF;
END $$;

-- So much more is kept for a namespace, or less.
CREATE FUNCTION add_archived_storage(p_namespace text, p_bytes bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO storage AS s (namespace, host_id, bytes) VALUES (p_namespace, '00000000-0000-0000-0000-000000000000', p_bytes)
    ON CONFLICT (namespace, host_id) DO UPDATE SET bytes = s.bytes + excluded.bytes;
END $$;

-- Take runs that were archived just now out of where they were; what that frees comes off what the namespace keeps.
CREATE FUNCTION take_out(p_namespace text, p_run_ids uuid[], p_days date[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    kept bigint;
    freed bigint;
BEGIN
    SELECT sum(100 + pg_column_size(a.lines)) INTO kept
    FROM unnest(p_run_ids) AS u (run_id) JOIN runs r ON r.shard = shard_of(u.run_id) AND r.run_id = u.run_id
    JOIN archived_runs a ON a.shard = r.shard AND a.run_id = r.run_id AND a.closed_at = r.closed_at AND a.delete_on = ANY (p_days);
    WITH gone AS MATERIALIZED (
        SELECT shard_of(u.run_id) AS shard, u.run_id FROM unnest(p_run_ids) AS u (run_id)
    ), gone_runs AS (
        DELETE FROM runs r USING gone g WHERE r.shard = g.shard AND r.run_id = g.run_id
        RETURNING r.run_id, r.started_at, r.tags, octet_length(r.input) + coalesce(octet_length(r.result), 0) AS bytes
    ), gone_events AS (
        DELETE FROM events e USING gone g WHERE e.shard = g.shard AND e.run_id = g.run_id
        RETURNING coalesce(octet_length(e.input), 0) + coalesce(octet_length(e.outcome), 0) AS bytes
    ), gone_rewinds AS (
        DELETE FROM rewinds w USING gone g WHERE w.shard = g.shard AND w.run_id = g.run_id
        RETURNING coalesce(octet_length(w.result), 0) AS bytes
    ), gone_past AS (
        DELETE FROM past_events e USING gone g WHERE e.shard = g.shard AND e.run_id = g.run_id
        RETURNING coalesce(octet_length(e.input), 0) + coalesce(octet_length(e.outcome), 0) AS bytes
    ), gone_attempts AS (
        DELETE FROM attempts a USING gone g WHERE a.shard = g.shard AND a.run_id = g.run_id
        RETURNING coalesce(octet_length(a.failure), 0) + coalesce(octet_length(a.heartbeat), 0) AS bytes
    ), gone_logs AS (
        DELETE FROM logs l USING gone g WHERE l.shard = g.shard AND l.run_id = g.run_id
        RETURNING octet_length(l.message) AS bytes
    ), gone_published AS (
        DELETE FROM published p USING gone g WHERE p.shard = g.shard AND p.run_id = g.run_id
        RETURNING octet_length(p.value) AS bytes
    ), gone_inbox AS (
        DELETE FROM inbox i USING gone g WHERE i.shard = g.shard AND i.run_id = g.run_id
        RETURNING coalesce(octet_length(i.payload), 0) AS bytes
    ), gone_updates AS (
        DELETE FROM updates u USING gone g WHERE u.shard = g.shard AND u.run_id = g.run_id
        RETURNING octet_length(u.payload) + coalesce(octet_length(u.answer), 0) AS bytes
    ), gone_signal_ids AS (
        DELETE FROM signal_ids s USING gone g WHERE s.shard = g.shard AND s.run_id = g.run_id
    ), gone_tags AS (
        DELETE FROM run_tags t USING gone_runs g CROSS JOIN LATERAL unnest(g.tags) AS u (tag)
        WHERE t.namespace = p_namespace AND t.tag = u.tag AND t.started_at = g.started_at AND t.run_id = g.run_id
        RETURNING octet_length(t.tag) AS bytes
    )
    SELECT sum(100 + q.bytes) INTO freed FROM (
        SELECT bytes FROM gone_runs UNION ALL SELECT bytes FROM gone_events UNION ALL SELECT bytes FROM gone_attempts
        UNION ALL SELECT bytes FROM gone_logs UNION ALL SELECT bytes FROM gone_published UNION ALL SELECT bytes FROM gone_inbox
        UNION ALL SELECT bytes FROM gone_updates UNION ALL SELECT bytes FROM gone_rewinds UNION ALL SELECT bytes FROM gone_past
        UNION ALL SELECT bytes FROM gone_tags
    ) q;
    PERFORM add_archived_storage(p_namespace, kept - freed);
END $$;

-- Of the next p_limit runs of a namespace after p_after, oldest first, archive those whose time has come: completed, failed or cancelled,
-- nobody's parent to be told and nobody's child to be started again, with a key that need not hold any longer, and ended for longer than
-- archive_after or not newer than p_beyond (`last_kept_run`). Fewer if they are large.
--
-- Returns how many, and where to go on; null where to go on: there are none left. Null how many: another host is at it.
CREATE FUNCTION archive_runs(
    p_namespace text, p_after_at timestamptz, p_after_id uuid, p_beyond_at timestamptz, p_beyond_id uuid, p_limit integer,
    OUT archived integer, OUT next_at timestamptz, OUT next_id uuid
) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    wanted namespaces;
    old_at timestamptz;
    quiet_at timestamptz;
    ripe uuid[];
    days date[];
    taken_at timestamptz;
    took_all boolean;
BEGIN
    IF NOT pg_try_advisory_xact_lock(archive_lock_key()) THEN
        RETURN;
    END IF;
    archived := 0;
    SELECT n.* INTO wanted FROM namespaces n WHERE n.namespace = p_namespace;
    old_at := clock_timestamp() - wanted.archive_after;
    -- A host whose commit was not answered may send it again for as long as it has its lease.
    SELECT clock_timestamp() - greatest(interval '1 minute', 2 * max(h.lease_until - h.renewed_at)) INTO quiet_at
    FROM hosts h WHERE h.lease_until > '-infinity';

    WITH seen AS MATERIALIZED (
        SELECT r.shard, r.run_id, r.started_at, r.closed_at, r.state, r.idempotency_key, r.parent_run_id, r.parent_call
        FROM runs r
        WHERE r.namespace = p_namespace AND (r.started_at, r.run_id) > (p_after_at, p_after_id)
          AND r.started_at <= greatest(old_at, p_beyond_at)
        ORDER BY r.started_at, r.run_id LIMIT p_limit
    ), last AS (SELECT s.started_at, s.run_id FROM seen s ORDER BY s.started_at DESC, s.run_id DESC LIMIT 1)
    SELECT (SELECT l.started_at FROM last l), (SELECT l.run_id FROM last l), array_agg(s.run_id) FILTER (
        WHERE s.state BETWEEN 1 AND 3 AND s.closed_at < quiet_at
          AND (s.closed_at < old_at OR (s.started_at, s.run_id) <= (p_beyond_at, p_beyond_id))
          AND (s.idempotency_key IS NULL OR s.started_at < clock_timestamp() - wanted.keep_keys)
          -- A parent that is replayed asks for its children again, for those of its generation.
          AND NOT EXISTS (SELECT FROM runs p WHERE p.shard = shard_of(s.parent_run_id) AND p.run_id = s.parent_run_id
                          AND p.state IN (0, 4) AND p.first_call <= s.parent_call)
          AND NOT EXISTS (SELECT FROM children c WHERE c.shard = s.shard AND c.run_id = s.run_id))
    INTO next_at, next_id, ripe FROM seen s;
    IF ripe IS NULL THEN
        RETURN;
    END IF;

    -- Under their locks, they are as they were seen, and stay so; and no more of them than a transaction should take.
    WITH locked AS MATERIALIZED (
        SELECT r.shard, r.run_id, r.started_at, r.closed_at FROM unnest(ripe) AS u (run_id)
        JOIN runs r ON r.shard = shard_of(u.run_id) AND r.run_id = u.run_id AND r.state BETWEEN 1 AND 3
        FOR UPDATE OF r SKIP LOCKED
    ), weighed AS (
        SELECT l.*, sum(w.weight) OVER (ORDER BY l.started_at, l.run_id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before
        FROM locked l CROSS JOIN LATERAL (
            SELECT 1 + count(*) + coalesce(sum(octet_length(e.input) + octet_length(e.outcome)), 0) / 1024 AS weight
            FROM events e WHERE e.shard = l.shard AND e.run_id = l.run_id) w
    ), taken AS (
        SELECT w.*, coalesce(w.before, 0) < 20000 AS fits FROM weighed w
    )
    SELECT array_agg(t.run_id ORDER BY t.started_at, t.run_id) FILTER (WHERE t.fits), max(t.started_at) FILTER (WHERE t.fits),
           array_agg(DISTINCT delete_day(t.closed_at, wanted.delete_after)) FILTER (WHERE t.fits), bool_and(t.fits)
    INTO ripe, taken_at, days, took_all FROM taken t;
    IF ripe IS NULL THEN
        RETURN;
    END IF;
    IF NOT took_all THEN
        next_at := taken_at;
        next_id := ripe[cardinality(ripe)];
    END IF;
    PERFORM make_archive(d.day) FROM unnest(days) AS d (day);

    INSERT INTO archived_runs (delete_on, shard, run_id, part, namespace, workflow, component, version, state, started_at,
                               closed_at, first_seq, has_rest, lines)
    SELECT delete_day(q.closed_at, wanted.delete_after), q.shard, q.run_id, q.part, q.namespace, q.workflow, q.component,
           q.version, q.state, q.started_at, q.closed_at, min(q.seq), bool_or(q.seq IS NULL),
           string_agg(q.line, '' ORDER BY q.kind, q.first, q.second)
    FROM (
        SELECT r.*, l.kind, l.first, l.second, l.seq, l.line,
               -- Parts of 4 MiB, and what their last line is longer.
               (coalesce(sum(octet_length(l.line)) OVER (PARTITION BY r.shard, r.run_id ORDER BY l.kind, l.first, l.second
                                                         ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) / 4194304)::integer AS part
        FROM unnest(ripe) AS u (run_id) JOIN runs r ON r.shard = shard_of(u.run_id) AND r.run_id = u.run_id
        CROSS JOIN LATERAL (SELECT a.kind, a.first, a.second, a.seq, json_strip_nulls(a.line)::text || E'\n' AS line
                            FROM archive_lines(r) a) l
    ) q
    GROUP BY q.shard, q.run_id, q.part, q.namespace, q.workflow, q.component, q.version, q.state, q.started_at, q.closed_at;
    PERFORM take_out(p_namespace, ripe, days);
    archived := cardinality(ripe);
END $$;
