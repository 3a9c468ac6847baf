-- Versions of components: which one new runs take, and moving runs from one to another. A run stays on the version that it was
-- started with until somebody moves it, and a version stays as long as a run needs it.

ALTER TABLE versions ADD COLUMN deprecated_at timestamptz, ADD COLUMN replaced_at timestamptz;
COMMENT ON COLUMN versions.deprecated_at IS 'Since when no new run is to take it.';
COMMENT ON COLUMN versions.replaced_at IS 'When new runs last took another one instead.';

CREATE TABLE pins (
    namespace text        NOT NULL,
    component text        NOT NULL,
    version   integer     NOT NULL,
    pinned_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (namespace, component)
);
COMMENT ON TABLE pins IS 'Components of which new runs stay on a version, whatever is deployed.';

-- Runs that are not over: those of a version, at most p_limit. There is no index for it: it is asked by people, now and then.
CREATE FUNCTION runs_on_version(p_namespace text, p_component text, p_version integer, p_limit integer) RETURNS bigint
LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN (SELECT count(*) FROM (
        SELECT FROM (
            SELECT q.shard, q.run_id FROM ready q WHERE q.namespace = p_namespace
            UNION ALL SELECT q.shard, q.run_id FROM owned q WHERE q.namespace = p_namespace
            UNION ALL SELECT q.shard, q.run_id FROM parked q WHERE q.namespace = p_namespace
            UNION ALL SELECT q.shard, q.run_id FROM paused q WHERE q.namespace = p_namespace
            UNION ALL SELECT q.shard, q.run_id FROM queued q WHERE q.namespace = p_namespace
            UNION ALL SELECT r.shard, r.run_id FROM runs r WHERE r.namespace = p_namespace AND r.state = 4
        ) live JOIN runs r ON r.shard = live.shard AND r.run_id = live.run_id
        WHERE r.component = p_component AND r.version = p_version LIMIT p_limit
    ) found);
END $$;

-- The versions of a component, the newest first. live: of runs, counted up to p_limit.
CREATE FUNCTION list_versions(p_namespace text, p_component text, p_limit integer) RETURNS TABLE (
    version integer, digest bytea, deployed_at timestamptz, deprecated_at timestamptz, is_current boolean, is_pinned boolean,
    live bigint, contract text
) LANGUAGE sql STABLE AS $$
    SELECT v.version, v.digest, v.deployed_at, v.deprecated_at,
           EXISTS (SELECT FROM workflows w WHERE w.namespace = v.namespace AND w.component = v.component AND w.version = v.version),
           EXISTS (SELECT FROM pins p WHERE p.namespace = v.namespace AND p.component = v.component AND p.version = v.version),
           runs_on_version(v.namespace, v.component, v.version, p_limit), v.contract
    FROM versions v WHERE v.namespace = p_namespace AND v.component = p_component ORDER BY v.version DESC;
$$;

-- One version, and nothing else of it changes until the end of the transaction.
CREATE FUNCTION lock_version(p_namespace text, p_component text, p_version integer) RETURNS versions LANGUAGE plpgsql AS $$
DECLARE
    known versions;
BEGIN
    -- One change of versions at a time in a namespace, as in deploy.
    PERFORM FROM namespaces n WHERE n.namespace = p_namespace FOR UPDATE;
    SELECT v.* INTO known FROM versions v
    WHERE v.namespace = p_namespace AND v.component = p_component AND v.version = p_version FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the component % has no version %', p_component, p_version USING ERRCODE = 'WL012';
    END IF;
    RETURN known;
END $$;

-- New runs take this version from now on; with p_pin, whatever is deployed later. p_workflows are those that it has.
CREATE FUNCTION use_version(
    p_namespace text, p_component text, p_version integer, p_workflows text[], p_pin boolean, p_who text
) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF (lock_version(p_namespace, p_component, p_version)).deprecated_at IS NOT NULL THEN
        PERFORM refuse_state(format('version %s', p_version), 'deprecated');
    ELSIF (SELECT p.version FROM pins p WHERE p.namespace = p_namespace AND p.component = p_component)
              IS NOT DISTINCT FROM (CASE WHEN p_pin THEN p_version END)
          AND NOT EXISTS (SELECT FROM workflows w WHERE w.namespace = p_namespace AND w.component = p_component AND w.version <> p_version)
          AND NOT EXISTS (SELECT u.workflow FROM unnest(p_workflows) AS u (workflow)
                          EXCEPT SELECT w.workflow FROM workflows w WHERE w.namespace = p_namespace AND w.component = p_component) THEN
        -- It is so.
        RETURN;
    END IF;
    PERFORM take_workflows(p_namespace, p_component, p_version, p_workflows);
    DELETE FROM pins p WHERE p.namespace = p_namespace AND p.component = p_component;
    IF p_pin THEN
        INSERT INTO pins (namespace, component, version) VALUES (p_namespace, p_component, p_version);
    END IF;
    PERFORM audit(p_namespace, p_who, 'version.use', p_component,
                  jsonb_build_object('version', p_version, 'pin', p_pin)::text);
END $$;

-- Say that no new run is to take a version; or take it back. It must not be the one that new runs take.
CREATE FUNCTION deprecate_version(p_namespace text, p_component text, p_version integer, p_deprecate boolean, p_who text)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF ((lock_version(p_namespace, p_component, p_version)).deprecated_at IS NOT NULL) = p_deprecate THEN
        PERFORM refuse_state(format('version %s', p_version), CASE WHEN p_deprecate THEN 'deprecated' ELSE 'not deprecated' END);
    END IF;
    PERFORM check_not_current(p_namespace, p_component, p_version);
    UPDATE versions v SET deprecated_at = CASE WHEN p_deprecate THEN clock_timestamp() END
    WHERE v.namespace = p_namespace AND v.component = p_component AND v.version = p_version;
    PERFORM audit(p_namespace, p_who, CASE WHEN p_deprecate THEN 'version.deprecate' ELSE 'version.undeprecate' END, p_component,
                  jsonb_build_object('version', p_version)::text);
END $$;

-- Forget a version, with its bytes if no other has the same. Refused while a run needs it, and while one that is just being
-- accepted might: those that took it for the newest are written within a minute. One that has failed needs it to be tried again, unless
-- p_forget_failed: nobody means to.
CREATE FUNCTION delete_version(p_namespace text, p_component text, p_version integer, p_forget_failed boolean, p_who text) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    known versions;
    live bigint;
    failed bigint;
BEGIN
    known := lock_version(p_namespace, p_component, p_version);
    PERFORM check_not_current(p_namespace, p_component, p_version);
    IF known.replaced_at > clock_timestamp() - interval '1 minute' THEN
        PERFORM refuse_state(format('version %s', p_version), 'what new runs took until less than a minute ago');
    END IF;
    live := runs_on_version(p_namespace, p_component, p_version, 1000);
    IF live > 0 THEN
        PERFORM refuse_state(format('version %s', p_version),
                             format('needed by %s runs that are not over', CASE live WHEN 1000 THEN '1000 or more' ELSE live::text END));
    END IF;
    failed := (SELECT count(*) FROM (
        SELECT FROM runs r WHERE r.namespace = p_namespace AND r.state = 2 AND r.component = p_component AND r.version = p_version LIMIT 1000
    ) q);
    IF failed > 0 AND NOT p_forget_failed THEN
        PERFORM refuse_state(format('version %s', p_version), format(
            'needed by %s runs that have failed and could be tried again (unless you ask to forget that: forget_failed)',
            CASE failed WHEN 1000 THEN '1000 or more' ELSE failed::text END));
    END IF;
    DELETE FROM versions v WHERE v.namespace = p_namespace AND v.component = p_component AND v.version = p_version;
    DELETE FROM components c WHERE c.namespace = p_namespace AND c.digest = known.digest
        AND NOT EXISTS (SELECT FROM versions v WHERE v.namespace = p_namespace AND v.digest = known.digest);
    PERFORM audit(p_namespace, p_who, 'version.delete', p_component,
                  jsonb_build_object('version', p_version, 'digest', encode(known.digest, 'hex'), 'failed', failed)::text);
END $$;

CREATE FUNCTION check_not_current(p_namespace text, p_component text, p_version integer) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM workflows w WHERE w.namespace = p_namespace AND w.component = p_component AND w.version = p_version) THEN
        PERFORM refuse_state(format('version %s', p_version), 'the one that new runs take');
    END IF;
END $$;

-- Move a run to another version of its component. Whoever asks has delivered the first p_next_seq events of its history to that
-- version, and it took them; if there are others by now, or a host is at the run, it has to be done again. The run must not have ended.
CREATE FUNCTION migrate_run(
    p_namespace text, p_run_id uuid, p_from integer, p_to integer, p_generation integer, p_next_seq integer, p_who text
) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    run runs;
    new smallint;
    before ready;
BEGIN
    run := lock_run(p_namespace, p_run_id);
    IF run.state NOT IN (0, 4) THEN
        PERFORM check_open(run);
    ELSIF run.version <> p_from THEN
        PERFORM refuse_state(format('run %s', p_run_id), format('on version %s', run.version));
    ELSIF EXISTS (SELECT FROM owned o WHERE o.shard = run.shard AND o.run_id = p_run_id) THEN
        PERFORM refuse_state(format('run %s', p_run_id), 'running');
    ELSIF run.generation <> p_generation OR p_next_seq <> coalesce(
        (SELECT e.seq + 1 FROM events e WHERE e.shard = run.shard AND e.run_id = p_run_id ORDER BY e.seq DESC LIMIT 1), run.first_seq)
    THEN
        PERFORM refuse_state(format('run %s', p_run_id), 'further by now');
    END IF;
    SELECT v.edition INTO new FROM versions v
    WHERE v.namespace = p_namespace AND v.component = run.component AND v.version = p_to FOR KEY SHARE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the component % has no version %', run.component, p_to USING ERRCODE = 'WL012';
    END IF;
    -- Wherever it waits, it is held there, so that nobody takes it up who has seen it on its old version: a claim that began before this
    -- is committed does not see the new row of ready. What is in none of them is just being taken up.
    UPDATE parked p SET edition = new WHERE p.shard = run.shard AND p.run_id = p_run_id;
    IF NOT FOUND THEN
        UPDATE paused p SET edition = new WHERE p.shard = run.shard AND p.run_id = p_run_id;
    END IF;
    IF NOT FOUND THEN
        DELETE FROM ready q WHERE q.shard = run.shard AND q.run_id = p_run_id RETURNING q.* INTO before;
        IF FOUND THEN
            INSERT INTO ready (shard, namespace, priority, run_id, strikes, edition)
            VALUES (run.shard, p_namespace, before.priority, p_run_id, before.strikes, new);
        END IF;
    END IF;
    IF NOT FOUND THEN
        PERFORM FROM queued q WHERE q.shard = run.shard AND q.run_id = p_run_id FOR UPDATE;
    END IF;
    IF NOT FOUND AND run.state = 0 THEN
        PERFORM refuse_state(format('run %s', p_run_id), 'running');
    END IF;
    UPDATE runs r SET version = p_to WHERE r.shard = run.shard AND r.run_id = p_run_id;
    PERFORM audit(p_namespace, p_who, 'run.migrate', p_run_id::text, jsonb_build_object('from', p_from, 'to', p_to)::text);
END $$;
