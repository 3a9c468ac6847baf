-- What namespaces may use: limits of their own, and how much they keep here.

ALTER TABLE namespaces ADD COLUMN limits text NOT NULL DEFAULT '{}';
COMMENT ON COLUMN namespaces.limits IS 'Limits that are its own, as a JSON object of whole numbers by name; for all others those of the host count.';

ALTER TABLE namespaces ADD COLUMN seal_payloads boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN namespaces.seal_payloads IS 'Whether payloads that are kept from now on are sealed: see 0026.';

ALTER TABLE namespaces ADD COLUMN archive_after interval, ADD COLUMN keep_runs bigint, ADD COLUMN delete_after interval,
    ADD COLUMN keep_keys interval NOT NULL DEFAULT '24 hours', ADD COLUMN export_archive boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN namespaces.archive_after IS 'How long after its end a run goes to the archive: see 0029. None: not for its age.';
COMMENT ON COLUMN namespaces.keep_runs IS 'How many runs stay where they are: those that have ended and are older than the newest so many go to the archive.';
COMMENT ON COLUMN namespaces.delete_after IS 'How long after its end an archived run is deleted. None: never.';
COMMENT ON COLUMN namespaces.keep_keys IS 'How long an idempotency key holds at least: for so long after its start a run that has one is not archived.';
COMMENT ON COLUMN namespaces.export_archive IS 'Whether archived runs are written to the archive store before they are deleted.';

CREATE TABLE storage (
    namespace text   NOT NULL,
    host_id   uuid   NOT NULL,
    bytes     bigint NOT NULL,
    PRIMARY KEY (namespace, host_id)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
COMMENT ON TABLE storage IS 'How many bytes each host has added to a namespace, about; the sum counts. A row for each host, so that none waits for another.';
COMMENT ON COLUMN storage.host_id IS 'The host; or the nil id, for hosts that are gone and for what recount_storage found.';

-- Create a namespace, or change the limits of one that is there: what is null is the host's again, what is not named stays.
CREATE FUNCTION put_namespace(p_namespace text, p_limits text, p_who text, OUT created boolean) LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO namespaces AS n (namespace, limits) VALUES (p_namespace, jsonb_strip_nulls(p_limits::jsonb)::text)
    ON CONFLICT (namespace) DO NOTHING;
    created := FOUND;
    IF NOT created THEN
        UPDATE namespaces n SET limits = jsonb_strip_nulls(n.limits::jsonb || p_limits::jsonb)::text
        WHERE n.namespace = p_namespace;
    END IF;
    PERFORM audit('*', p_who, CASE WHEN created THEN 'namespace.create' ELSE 'namespace.change' END, p_namespace,
                  jsonb_build_object('limits', p_limits::jsonb)::text);
END $$;

-- Up to p_limit namespaces after p_after, by name; or, with a name, that one. With the bytes that each keeps.
CREATE FUNCTION get_namespaces(p_namespace text, p_after text, p_limit integer)
RETURNS TABLE (
    namespace text, limits text, seal_payloads boolean, created_at timestamptz, bytes bigint, archive_after interval,
    keep_runs bigint, delete_after interval, keep_keys interval, export_archive boolean, limited_steps text[]
) LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT n.namespace, n.limits, n.seal_payloads, n.created_at,
           coalesce((SELECT sum(s.bytes) FROM storage s WHERE s.namespace = n.namespace), 0)::bigint, n.archive_after,
           n.keep_runs, n.delete_after, n.keep_keys, n.export_archive,
           (SELECT array_agg(l.step) FROM rate_limits l WHERE l.namespace = n.namespace)
    FROM namespaces n
    WHERE (p_namespace IS NULL OR n.namespace = p_namespace) AND n.namespace > p_after
    ORDER BY n.namespace LIMIT p_limit;
END $$;

-- A host has added so much (or, with a negative number, taken away) since it last said so. Returns what all of these namespaces
-- keep now, and their limits.
CREATE FUNCTION add_storage(p_host uuid, p_namespaces text[], p_bytes bigint[])
RETURNS TABLE (namespace text, limits text, bytes bigint) LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    INSERT INTO storage AS s (namespace, host_id, bytes)
    SELECT u.namespace, p_host, u.bytes FROM unnest(p_namespaces, p_bytes) AS u (namespace, bytes)
    WHERE u.bytes <> 0 ORDER BY u.namespace
    ON CONFLICT (namespace, host_id) DO UPDATE SET bytes = s.bytes + excluded.bytes;
    RETURN QUERY
    SELECT u.namespace, coalesce(n.limits, '{}'),
           coalesce((SELECT sum(s.bytes) FROM storage s WHERE s.namespace = u.namespace), 0)::bigint
    FROM unnest(p_namespaces) AS u (namespace) LEFT JOIN namespaces n ON n.namespace = u.namespace;
END $$;

-- Rows of hosts that are gone become one row for each namespace, so that there are not more and more.
CREATE FUNCTION settle_storage() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    WITH gone AS (
        DELETE FROM storage s
        WHERE s.host_id <> '00000000-0000-0000-0000-000000000000'
          AND NOT EXISTS (SELECT 1 FROM hosts h WHERE h.host_id = s.host_id)
        RETURNING s.namespace, s.bytes
    )
    INSERT INTO storage AS s (namespace, host_id, bytes)
    SELECT g.namespace, '00000000-0000-0000-0000-000000000000', sum(g.bytes) FROM gone g
    GROUP BY g.namespace ORDER BY g.namespace
    ON CONFLICT (namespace, host_id) DO UPDATE SET bytes = s.bytes + excluded.bytes;
END $$;

-- Count anew what a namespace keeps: its documents, and 100 bytes for each row. What hosts said before is forgotten; a crash of
-- one of them, or whatever else made the number wrong, is mended. Takes as long as it takes to read all of it.
CREATE FUNCTION recount_storage(p_namespace text, p_who text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    total bigint;
BEGIN
    DELETE FROM storage s WHERE s.namespace = p_namespace;
    SELECT coalesce(sum(q.bytes), 0)::bigint INTO total FROM (
        SELECT sum(100 + octet_length(c.bytes)) AS bytes FROM components c WHERE c.namespace = p_namespace
        UNION ALL
        SELECT sum(100 + octet_length(r.input) + coalesce(octet_length(r.result), 0)) FROM runs r WHERE r.namespace = p_namespace
        UNION ALL
        SELECT sum(100 + coalesce(octet_length(e.input), 0) + coalesce(octet_length(e.outcome), 0))
        FROM runs r JOIN events e ON e.shard = r.shard AND e.run_id = r.run_id WHERE r.namespace = p_namespace
        UNION ALL
        SELECT sum(100 + coalesce(octet_length(w.result), 0))
        FROM runs r JOIN rewinds w ON w.shard = r.shard AND w.run_id = r.run_id WHERE r.namespace = p_namespace
        UNION ALL
        SELECT sum(100 + coalesce(octet_length(e.input), 0) + coalesce(octet_length(e.outcome), 0))
        FROM runs r JOIN past_events e ON e.shard = r.shard AND e.run_id = r.run_id WHERE r.namespace = p_namespace
        UNION ALL
        SELECT sum(100 + coalesce(octet_length(a.failure), 0) + coalesce(octet_length(a.heartbeat), 0))
        FROM runs r JOIN attempts a ON a.shard = r.shard AND a.run_id = r.run_id WHERE r.namespace = p_namespace
        UNION ALL
        SELECT sum(100 + octet_length(l.message))
        FROM runs r JOIN logs l ON l.shard = r.shard AND l.run_id = r.run_id WHERE r.namespace = p_namespace
        UNION ALL
        SELECT sum(100 + octet_length(p.value))
        FROM runs r JOIN published p ON p.shard = r.shard AND p.run_id = r.run_id WHERE r.namespace = p_namespace
        UNION ALL
        SELECT sum(100 + coalesce(octet_length(i.payload), 0))
        FROM runs r JOIN inbox i ON i.shard = r.shard AND i.run_id = r.run_id WHERE r.namespace = p_namespace
        UNION ALL
        SELECT sum(100 + octet_length(u.payload) + coalesce(octet_length(u.answer), 0))
        FROM runs r JOIN updates u ON u.shard = r.shard AND u.run_id = r.run_id WHERE r.namespace = p_namespace
        UNION ALL
        SELECT sum(100 + octet_length(t.tag)) FROM run_tags t WHERE t.namespace = p_namespace
        UNION ALL
        SELECT sum(100 + octet_length(s.input)) FROM schedules s WHERE s.namespace = p_namespace
        UNION ALL
        -- What is archived is compressed, and counts as it is.
        SELECT sum(100 + pg_column_size(a.lines)) FROM archived_runs a WHERE a.namespace = p_namespace
    ) q;
    INSERT INTO storage AS s (namespace, host_id, bytes)
    VALUES (p_namespace, '00000000-0000-0000-0000-000000000000', total)
    -- A host has just said something about it: that is new.
    ON CONFLICT (namespace, host_id) DO UPDATE SET bytes = s.bytes + excluded.bytes;
    PERFORM audit('*', p_who, 'namespace.recount', p_namespace, jsonb_build_object('bytes', total)::text);
    RETURN total;
END $$;
