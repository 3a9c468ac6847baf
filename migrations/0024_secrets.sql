-- Secrets: values that the host puts into outgoing requests and that guests never see. The database keeps them sealed, and
-- cannot open them: whoever has a copy of it has no secret. Who may read what follows from keys that are not here.

CREATE TABLE data_keys (
    namespace      text        NOT NULL,
    key_id         uuid        NOT NULL,
    master_key_id  text        NOT NULL CHECK (master_key_id ~ '^[0-9a-f]{16}$'),
    wrapped        bytea       NOT NULL,
    is_current     boolean     NOT NULL,
    opens_payloads boolean     NOT NULL DEFAULT false,
    created_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (namespace, key_id)
);
COMMENT ON TABLE data_keys IS 'Keys that the rows of a namespace are sealed under, each wrapped under a master key. Without its data keys, nothing of a namespace can be read any more.';
COMMENT ON COLUMN data_keys.master_key_id IS 'The beginning of a digest of the master key: which, and nothing about it.';
COMMENT ON COLUMN data_keys.is_current IS 'Whether what is sealed from now on is sealed under it.';
COMMENT ON COLUMN data_keys.opens_payloads IS 'Whether payloads may be sealed under it, see 0026: then it is never forgotten.';
CREATE UNIQUE INDEX data_keys_by_id ON data_keys (key_id);
CREATE UNIQUE INDEX data_keys_current ON data_keys (namespace) WHERE is_current;

CREATE TABLE secrets (
    namespace  text        NOT NULL,
    name       text        NOT NULL,
    targets    text[]      NOT NULL CHECK (cardinality(targets) > 0),
    header     text        NOT NULL,
    key_id     uuid        NOT NULL,
    sealed     bytea       NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (namespace, name)
);
COMMENT ON TABLE secrets IS 'Values for headers of outgoing requests.';
COMMENT ON COLUMN secrets.targets IS 'Scheme, host and port of where it may be sent. Authenticated with the value: to change it here makes the row worthless.';
COMMENT ON COLUMN secrets.header IS 'The header that it may be put into, in lower case. Authenticated as well.';

-- Keep a data key as the namespace's current one, unless it has one: whoever was first has made it. Returns the current one.
CREATE FUNCTION keep_data_key(p_namespace text, p_key_id uuid, p_master_key_id text, p_wrapped bytea)
RETURNS SETOF data_keys LANGUAGE plpgsql AS $$
BEGIN
    PERFORM 1 FROM namespaces n WHERE n.namespace = p_namespace FOR KEY SHARE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no namespace %', p_namespace USING ERRCODE = 'WL006';
    END IF;
    INSERT INTO data_keys (namespace, key_id, master_key_id, wrapped, is_current)
    VALUES (p_namespace, p_key_id, p_master_key_id, p_wrapped, true)
    ON CONFLICT (namespace) WHERE is_current DO NOTHING;
    RETURN QUERY SELECT k.* FROM data_keys k WHERE k.namespace = p_namespace AND k.is_current;
END $$;

-- Keep a data key under another master key. Returns whether it was under p_old still, when this was asked for.
CREATE FUNCTION rewrap_data_key(p_namespace text, p_key_id uuid, p_master_key_id text, p_wrapped bytea, p_old text, p_who text)
RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    UPDATE data_keys k SET master_key_id = p_master_key_id, wrapped = p_wrapped
    WHERE k.namespace = p_namespace AND k.key_id = p_key_id AND k.master_key_id = p_old;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    PERFORM audit(p_namespace, p_who, 'data-key.rewrap', p_key_id::text,
                  jsonb_build_object('from', p_old, 'to', p_master_key_id)::text);
    RETURN true;
END $$;

-- Make a data key the current one of its namespace; what was sealed under others stays readable.
CREATE FUNCTION rotate_data_key(p_namespace text, p_key_id uuid, p_master_key_id text, p_wrapped bytea, p_who text)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    seals boolean;
BEGIN
    -- One rotation at a time.
    SELECT n.seal_payloads INTO seals FROM namespaces n WHERE n.namespace = p_namespace FOR UPDATE;
    UPDATE data_keys k SET is_current = false WHERE k.namespace = p_namespace AND k.is_current;
    INSERT INTO data_keys (namespace, key_id, master_key_id, wrapped, is_current, opens_payloads)
    VALUES (p_namespace, p_key_id, p_master_key_id, p_wrapped, true, seals);
    PERFORM audit(p_namespace, p_who, 'data-key.rotate', p_key_id::text, '{}');
END $$;

-- Forget the data keys that nothing is sealed under any more. Returns how many there were.
CREATE FUNCTION forget_data_keys(p_namespace text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    forgotten bigint;
BEGIN
    -- Whoever is sealing under one of them is waited for, and then seen: the next statement looks anew.
    PERFORM 1 FROM data_keys k WHERE k.namespace = p_namespace AND NOT k.is_current FOR UPDATE;
    DELETE FROM data_keys k
    WHERE k.namespace = p_namespace AND NOT k.is_current AND NOT k.opens_payloads
      AND NOT EXISTS (SELECT FROM secrets s WHERE s.namespace = k.namespace AND s.key_id = k.key_id);
    GET DIAGNOSTICS forgotten = ROW_COUNT;
    RETURN forgotten;
END $$;

-- Returns whether the secret is a new one; null, and nothing is kept, if its data key was forgotten meanwhile.
CREATE FUNCTION set_secret(
    p_namespace text, p_name text, p_targets text[], p_header text, p_key_id uuid, p_sealed bytea, p_who text
) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    is_new boolean;
BEGIN
    PERFORM 1 FROM data_keys k WHERE k.namespace = p_namespace AND k.key_id = p_key_id FOR KEY SHARE;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    INSERT INTO secrets (namespace, name, targets, header, key_id, sealed)
    VALUES (p_namespace, p_name, p_targets, p_header, p_key_id, p_sealed)
    ON CONFLICT DO NOTHING;
    is_new := FOUND;
    IF NOT is_new THEN
        UPDATE secrets s
        SET targets = p_targets, header = p_header, key_id = p_key_id, sealed = p_sealed, updated_at = clock_timestamp()
        WHERE s.namespace = p_namespace AND s.name = p_name;
    END IF;
    PERFORM audit(p_namespace, p_who, 'secret.set', p_name, jsonb_build_object('for', p_targets, 'header', p_header)::text);
    RETURN is_new;
END $$;

-- Keep a secret sealed anew, if it is still as it was read: under p_old_key_id, as p_old_sealed.
CREATE FUNCTION reseal_secret(
    p_namespace text, p_name text, p_key_id uuid, p_sealed bytea, p_old_key_id uuid, p_old_sealed bytea
) RETURNS void LANGUAGE sql AS $$
    UPDATE secrets s SET key_id = p_key_id, sealed = p_sealed
    WHERE s.namespace = p_namespace AND s.name = p_name AND s.key_id = p_old_key_id AND s.sealed = p_old_sealed;
$$;

-- Forget a secret. Returns whether there was one.
CREATE FUNCTION delete_secret(p_namespace text, p_name text, p_who text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM secrets s WHERE s.namespace = p_namespace AND s.name = p_name;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    PERFORM audit(p_namespace, p_who, 'secret.delete', p_name, '{}');
    RETURN true;
END $$;
