-- The second wall between tenants: row-level security. The first is that every statement asks for the namespace itself.
--
-- What somebody asks for at the API, the host does in the role of tenants, which owns nothing, in a session that says for which
-- namespace: `windlass.namespace`. There, a statement that forgot to ask for the namespace finds and changes nothing of another.
-- In that role, a condition finds its rows by an index only if it could tell nobody of rows that are not theirs, and a function of another
-- table's column is taken to be able to: `shard_of` is computed in a subquery of its own, with an OFFSET that keeps it there.
-- What hosts do by themselves, and for all namespaces at once, they do as the owner of the tables, whom none of this concerns:
-- the hot path does not pay for it.

-- The role of the tenants of this installation; roles belong to all databases of a server, and their names are theirs alone.
CREATE FUNCTION tenant_role() RETURNS text LANGUAGE sql STABLE AS $$
    SELECT format('windlass_tenant_%s_%s', d.oid, n.oid)
    FROM pg_database d, pg_namespace n WHERE d.datname = current_database() AND n.nspname = current_schema();
$$;

-- Make the role if it is not there, keep it to the rows of its namespace, and give it what tenants need and no more: it adds to no
-- history, and changes nothing of the audit log. Others see what the owner grants them, as ever. Hosts call it when they start: a
-- copy of the database on another server has no roles. Returns the role.
--
-- The names of roles and tables cannot be parameters: these are the only statements that are put together.
CREATE FUNCTION admit_tenants() RETURNS text LANGUAGE plpgsql
-- What is not there yet need not be dropped, and nobody need hear of it.
SET client_min_messages = warning AS $$
DECLARE
    role text := tenant_role();
    rows record;
    permission text;
BEGIN
    -- Two hosts may start at once.
    PERFORM pg_advisory_xact_lock(hashtextextended(role, 0));
    IF NOT EXISTS (SELECT FROM pg_roles r WHERE r.rolname = role) THEN
        EXECUTE format('CREATE ROLE %I NOLOGIN', role);
    END IF;
    IF NOT pg_has_role(role, 'MEMBER') THEN
        EXECUTE format('GRANT %I TO %I', role, current_user);
    END IF;
    FOR rows IN
        -- A session that has not said for which namespace it asks is refused.
        SELECT 'namespace = current_setting(''windlass.namespace'')' AS own, t.name
        FROM unnest(ARRAY [
            'namespaces', 'components', 'versions', 'workflows', 'grants', 'runs', 'ready', 'owned', 'parked', 'paused', 'pauses',
            'resumes', 'queued', 'concurrency', 'gates', 'slots', 'rate_limits',
            'pins', 'audit_log', 'audit_heads', 'api_keys', 'data_keys', 'secrets', 'schedules', 'schedule_ticks',
            'archived_runs', 'run_tags'
        ]) AS t (name)
        UNION ALL
        -- Of a run of that namespace: the policy of runs looks. Written out, as a function would be called for each row.
        SELECT format('EXISTS (SELECT FROM runs r WHERE r.shard = %1$I.shard AND r.run_id = %1$I.run_id)', t.name), t.name
        FROM unnest(ARRAY [
            'events', 'rewinds', 'past_events', 'attempts', 'logs', 'published', 'inbox', 'signal_ids', 'children',
            'updates'
        ]) AS t (name)
    LOOP
        -- Whoever changes a table waits for all who use it: only where it has not been done.
        IF NOT EXISTS (SELECT FROM pg_policies p WHERE p.schemaname = current_schema() AND p.tablename = rows.name
                       AND p.policyname = 'own' AND p.roles = ARRAY [role]::name[]) THEN
            EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', rows.name);
            EXECUTE format('DROP POLICY IF EXISTS granted ON %I', rows.name);
            EXECUTE format('CREATE POLICY granted ON %I USING (true)', rows.name);
            EXECUTE format('DROP POLICY IF EXISTS own ON %I', rows.name);
            EXECUTE format('CREATE POLICY own ON %I AS RESTRICTIVE TO %I USING (%s)', rows.name, role, rows.own);
        END IF;
    END LOOP;
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO %I', current_schema(), role);
    FOREACH permission IN ARRAY ARRAY [
        -- Whoever locks a row needs to be allowed to change something in it: here, when it was made.
        'SELECT, UPDATE (created_at) ON namespaces, data_keys',
        'INSERT ON data_keys',
        'SELECT, INSERT, DELETE, UPDATE (deprecated_at, replaced_at) ON versions',
        'SELECT, INSERT, DELETE ON components, pins',
        'SELECT, INSERT ON signal_ids, updates, audit_log',
        'SELECT, INSERT, DELETE ON workflows, grants, ready, inbox',
        'SELECT, UPDATE (cancelled_at, paused_at, version, state, result, failure_code, quarantined_at, quarantines, closed_at, is_limited) ON runs',
        'UPDATE (is_limited) ON workflows',
        'SELECT, INSERT, DELETE, UPDATE (at) ON queued',
        'SELECT, INSERT, DELETE ON slots',
        'SELECT, INSERT, DELETE, UPDATE (taken) ON gates',
        'SELECT, INSERT, DELETE, UPDATE (per_second, burst, next_at) ON rate_limits',
        'SELECT, INSERT, DELETE, UPDATE (max_runs, max_per_key, is_settled) ON concurrency',
        'SELECT, DELETE ON owned',
        'SELECT, DELETE, UPDATE (edition) ON parked',
        'SELECT, INSERT, DELETE, UPDATE (at, edition) ON paused',
        'SELECT, INSERT, DELETE ON pauses',
        'SELECT, INSERT, UPDATE (resumed_at) ON resumes',
        'SELECT, DELETE, UPDATE (released) ON children',
        'SELECT (edition, lease_until) ON hosts',
        'SELECT ON events, rewinds, past_events, attempts, logs, published, archived_runs, run_tags',
        'SELECT, INSERT, UPDATE (seq, hash) ON audit_heads',
        'SELECT, INSERT, UPDATE (revoked_at, expires_at) ON api_keys',
        'SELECT, INSERT, DELETE, UPDATE (targets, header, key_id, sealed, updated_at) ON secrets',
        'SELECT, INSERT, DELETE, UPDATE ON schedules',
        'SELECT, INSERT, DELETE ON schedule_ticks'
    ] LOOP
        EXECUTE format('GRANT %s TO %I', permission, role);
    END LOOP;
    RETURN role;
EXCEPTION
    WHEN insufficient_privilege THEN
        RAISE EXCEPTION 'the role % may not make the role of the tenants, and is not one of it', current_user
            USING ERRCODE = 'insufficient_privilege',
                  HINT = format('let somebody who may run: CREATE ROLE %I NOLOGIN; GRANT %I TO %I;', role, role, current_user);
END $$;
