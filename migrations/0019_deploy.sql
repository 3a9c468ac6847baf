-- Keep an upload as the next version of its component; new runs of its workflows take it, unless they are pinned to another. Deploying the bytes that are
-- the newest version already changes nothing but the grants, which are added to those that were given before.
CREATE FUNCTION deploy(
    p_namespace text, p_component text, p_digest bytea, p_bytes bytea, p_manifest bytea, p_workflows text[],
    p_grants text[], p_contract text = '0.1.0', p_edition smallint = 1, OUT version integer, OUT created boolean
) LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
    newest versions;
BEGIN
    -- One deployment at a time in a namespace.
    PERFORM 1 FROM namespaces n WHERE n.namespace = p_namespace FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no namespace %', p_namespace USING ERRCODE = 'WL006';
    END IF;
    INSERT INTO grants (namespace, component, http_grant) SELECT p_namespace, p_component, unnest(p_grants)
    ON CONFLICT DO NOTHING;
    SELECT v.* INTO newest FROM versions v
    WHERE v.namespace = p_namespace AND v.component = p_component ORDER BY v.version DESC LIMIT 1;
    created := newest.digest IS DISTINCT FROM p_digest;
    version := coalesce(newest.version, 0) + created::integer;
    IF created THEN
        INSERT INTO components (namespace, digest, bytes) VALUES (p_namespace, p_digest, p_bytes) ON CONFLICT DO NOTHING;
        INSERT INTO versions (namespace, component, version, digest, manifest, contract, edition)
        VALUES (p_namespace, p_component, version, p_digest, p_manifest, p_contract, p_edition);
        IF NOT EXISTS (SELECT FROM pins p WHERE p.namespace = p_namespace AND p.component = p_component) THEN
            PERFORM take_workflows(p_namespace, p_component, version, p_workflows);
        END IF;
    END IF;
END $$;

-- New runs of the workflows of a component take this version, and these are its workflows. The caller has locked the namespace.
CREATE FUNCTION take_workflows(p_namespace text, p_component text, p_version integer, p_workflows text[]) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    taken record;
BEGIN
    SELECT w.workflow, w.component INTO taken FROM workflows w
    WHERE w.namespace = p_namespace AND w.workflow = ANY (p_workflows) AND w.component <> p_component LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'the workflow % belongs to the component %', taken.workflow, taken.component
            USING ERRCODE = 'WL007';
    END IF;
    UPDATE versions v SET replaced_at = clock_timestamp()
    FROM (SELECT DISTINCT w.version FROM workflows w WHERE w.namespace = p_namespace AND w.component = p_component) w
    WHERE v.namespace = p_namespace AND v.component = p_component AND v.version = w.version AND v.version <> p_version;
    DELETE FROM workflows w WHERE w.namespace = p_namespace AND w.component = p_component;
    INSERT INTO workflows (namespace, workflow, component, version, edition, is_limited)
    SELECT p_namespace, u.workflow, p_component, p_version, edition_of(p_namespace, p_component, p_version),
           is_limited(p_namespace, u.workflow)
    FROM unnest(p_workflows) AS u (workflow);
END $$;

-- Let the steps of a component send these as well, if they ask for them. Those that were granted before stay.
CREATE FUNCTION add_grants(p_namespace text, p_component text, p_http text[], p_who text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    added text[];
BEGIN
    WITH new AS (
        INSERT INTO grants (namespace, component, http_grant) SELECT p_namespace, p_component, unnest(p_http)
        ON CONFLICT DO NOTHING RETURNING http_grant
    )
    SELECT array_agg(n.http_grant) INTO added FROM new n;
    IF added IS NOT NULL THEN
        PERFORM audit(p_namespace, p_who, 'grant.add', p_component, jsonb_build_object('http', added)::text);
    END IF;
END $$;

-- Take these back, exactly as they were granted. Returns how many of them there were.
CREATE FUNCTION remove_grants(p_namespace text, p_component text, p_http text[], p_who text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    removed text[];
BEGIN
    WITH gone AS (
        DELETE FROM grants g WHERE g.namespace = p_namespace AND g.component = p_component AND g.http_grant = ANY (p_http)
        RETURNING g.http_grant
    )
    SELECT array_agg(g.http_grant) INTO removed FROM gone g;
    IF removed IS NULL THEN
        RETURN 0;
    END IF;
    PERFORM audit(p_namespace, p_who, 'grant.remove', p_component, jsonb_build_object('http', removed)::text);
    RETURN cardinality(removed);
END $$;
