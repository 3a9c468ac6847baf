-- The second wall between tenants: row-level security. The first is that every statement asks for the namespace itself.
--
-- What somebody asks for at the API, the host does in the role of tenants, which owns nothing, in a session that says for which
-- namespace: `windlass.namespace`. There, a statement that forgot to ask for the namespace finds and changes nothing of another.
-- What hosts do by themselves, and for all namespaces at once, they do as the owner of the tables, whom none of this concerns:
-- the hot path does not pay for it.

-- The role of the tenants of this installation; roles belong to all databases of a server, and their names are theirs alone.
CREATE FUNCTION tenant_role() RETURNS text LANGUAGE sql STABLE AS $$
    SELECT format('windlass_tenant_%s_%s', d.oid, n.oid)
    FROM pg_database d, pg_namespace n WHERE d.datname = current_database() AND n.nspname = current_schema();
$$;

-- Whether a run is one of the session's namespace: the policy of runs looks.
CREATE FUNCTION sees_run(p_shard smallint, p_run_id uuid) RETURNS boolean LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN EXISTS (SELECT FROM runs r WHERE r.shard = p_shard AND r.run_id = p_run_id);
END $$;

-- What has a namespace. A session that has not said for which it asks is refused.
ALTER TABLE namespaces  ENABLE ROW LEVEL SECURITY;
ALTER TABLE components  ENABLE ROW LEVEL SECURITY;
ALTER TABLE versions    ENABLE ROW LEVEL SECURITY;
ALTER TABLE workflows   ENABLE ROW LEVEL SECURITY;
ALTER TABLE grants      ENABLE ROW LEVEL SECURITY;
ALTER TABLE runs        ENABLE ROW LEVEL SECURITY;
ALTER TABLE ready       ENABLE ROW LEVEL SECURITY;
ALTER TABLE owned       ENABLE ROW LEVEL SECURITY;
ALTER TABLE parked      ENABLE ROW LEVEL SECURITY;
ALTER TABLE audit_log   ENABLE ROW LEVEL SECURITY;
ALTER TABLE audit_heads ENABLE ROW LEVEL SECURITY;
ALTER TABLE api_keys    ENABLE ROW LEVEL SECURITY;
ALTER TABLE data_keys   ENABLE ROW LEVEL SECURITY;
ALTER TABLE secrets     ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON namespaces  USING (namespace = current_setting('windlass.namespace'));
CREATE POLICY own ON components  USING (namespace = current_setting('windlass.namespace'));
CREATE POLICY own ON versions    USING (namespace = current_setting('windlass.namespace'));
CREATE POLICY own ON workflows   USING (namespace = current_setting('windlass.namespace'));
CREATE POLICY own ON grants      USING (namespace = current_setting('windlass.namespace'));
CREATE POLICY own ON runs        USING (namespace = current_setting('windlass.namespace'));
CREATE POLICY own ON ready       USING (namespace = current_setting('windlass.namespace'));
CREATE POLICY own ON owned       USING (namespace = current_setting('windlass.namespace'));
CREATE POLICY own ON parked      USING (namespace = current_setting('windlass.namespace'));
CREATE POLICY own ON audit_log   USING (namespace = current_setting('windlass.namespace'));
CREATE POLICY own ON audit_heads USING (namespace = current_setting('windlass.namespace'));
CREATE POLICY own ON api_keys    USING (namespace = current_setting('windlass.namespace'));
CREATE POLICY own ON data_keys   USING (namespace = current_setting('windlass.namespace'));
CREATE POLICY own ON secrets     USING (namespace = current_setting('windlass.namespace'));

-- What belongs to a run.
ALTER TABLE events     ENABLE ROW LEVEL SECURITY;
ALTER TABLE attempts   ENABLE ROW LEVEL SECURITY;
ALTER TABLE logs       ENABLE ROW LEVEL SECURITY;
ALTER TABLE published  ENABLE ROW LEVEL SECURITY;
ALTER TABLE inbox      ENABLE ROW LEVEL SECURITY;
ALTER TABLE signal_ids ENABLE ROW LEVEL SECURITY;
ALTER TABLE children   ENABLE ROW LEVEL SECURITY;
ALTER TABLE updates    ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON events     USING (sees_run(shard, run_id));
CREATE POLICY own ON attempts   USING (sees_run(shard, run_id));
CREATE POLICY own ON logs       USING (sees_run(shard, run_id));
CREATE POLICY own ON published  USING (sees_run(shard, run_id));
CREATE POLICY own ON inbox      USING (sees_run(shard, run_id));
CREATE POLICY own ON signal_ids USING (sees_run(shard, run_id));
CREATE POLICY own ON children   USING (sees_run(shard, run_id));
CREATE POLICY own ON updates    USING (sees_run(shard, run_id));

-- Make the role if it is not there, and give it what tenants need and no more: it adds to no history, and changes nothing of the
-- audit log. Hosts call it when they start: a copy of the database on another server has no roles. Returns the role.
--
-- Names of roles cannot be parameters: these are the only statements that are put together.
CREATE FUNCTION admit_tenants() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    role text := tenant_role();
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
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO %I', current_schema(), role);
    FOREACH permission IN ARRAY ARRAY [
        -- Whoever locks a row needs to be allowed to change something in it: here, when it was made.
        'SELECT, UPDATE (created_at) ON namespaces, data_keys',
        'INSERT ON data_keys',
        'SELECT, INSERT ON components, versions, signal_ids, updates, audit_log',
        'SELECT, INSERT, DELETE ON workflows, grants, ready, inbox',
        'SELECT, UPDATE (cancelled_at, state, result, closed_at) ON runs',
        'SELECT, DELETE ON owned, parked',
        'SELECT, DELETE, UPDATE (released) ON children',
        'SELECT ON events, attempts, logs, published',
        'SELECT, INSERT, UPDATE (seq, hash) ON audit_heads',
        'SELECT, INSERT, UPDATE (revoked_at, expires_at) ON api_keys',
        'SELECT, INSERT, DELETE, UPDATE (targets, header, key_id, sealed, updated_at) ON secrets'
    ] LOOP
        EXECUTE format('GRANT %s TO %I', permission, role);
    END LOOP;
    RETURN role;
EXCEPTION
    WHEN insufficient_privilege THEN
        RAISE EXCEPTION 'the role % may not make the role of the tenants, and is not one of it', current_user
            USING ERRCODE = 'WL010',
                  HINT = format('let somebody who may run: CREATE ROLE %I NOLOGIN; GRANT %I TO %I;', role, role, current_user);
END $$;
