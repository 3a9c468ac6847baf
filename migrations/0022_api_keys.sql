-- API keys: who may do what. A key is `wl_<id>_<secret>` (`model/api_key.rs`); only the SHA-256 of the secret is kept, which is
-- enough for 256 random bits: there is nothing to guess that a slower hash would protect.

CREATE TABLE api_keys (
    key_id       text        PRIMARY KEY CHECK (key_id ~ '^[a-z0-9]{10}$'),
    namespace    text        NOT NULL,
    scopes       text[]      NOT NULL CHECK (scopes <@ ARRAY ['read', 'start', 'signal', 'deploy', 'operate', 'admin']),
    secret_hash  bytea       NOT NULL CHECK (octet_length(secret_hash) = 32),
    name         text        NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    created_by   text        NOT NULL,
    lifetime_us  bigint,
    expires_at   timestamptz,
    last_used_at timestamptz,
    revoked_at   timestamptz
);
CREATE INDEX api_keys_by_namespace ON api_keys (namespace);
COMMENT ON COLUMN api_keys.namespace IS 'The namespace that it reaches, or * for all.';
COMMENT ON COLUMN api_keys.created_by IS 'As audit_log.who.';
COMMENT ON COLUMN api_keys.lifetime_us IS 'How long it was made for, in µs; it may end sooner.';
COMMENT ON COLUMN api_keys.last_used_at IS 'About when: written at most once a minute, and later than the use.';

-- Keep a key. p_lifetime: µs from now to its end; none is for ever. Returns false, and keeps nothing, if there are p_keys_max that
-- still work.
CREATE FUNCTION create_key(
    p_namespace text, p_key_id text, p_secret_hash bytea, p_scopes text[], p_name text, p_lifetime bigint, p_who text,
    p_keys_max integer
) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    IF p_namespace <> '*' AND NOT EXISTS (SELECT 1 FROM namespaces n WHERE n.namespace = p_namespace) THEN
        RAISE EXCEPTION 'there is no namespace %', p_namespace USING ERRCODE = 'WL006';
    END IF;
    IF (SELECT count(*) FROM api_keys k WHERE k.namespace = p_namespace AND k.revoked_at IS NULL
        AND (k.expires_at IS NULL OR k.expires_at > clock_timestamp())) >= p_keys_max THEN
        RETURN false;
    END IF;
    INSERT INTO api_keys (key_id, namespace, scopes, secret_hash, name, created_by, lifetime_us, expires_at)
    VALUES (p_key_id, p_namespace, p_scopes, p_secret_hash, p_name, p_who, p_lifetime,
            clock_timestamp() + p_lifetime * interval '1 microsecond');
    PERFORM audit(p_namespace, p_who, 'key.create', p_key_id,
                  jsonb_build_object('name', p_name, 'scopes', p_scopes, 'lifetime_us', p_lifetime)::text);
    RETURN true;
END $$;

-- Revoke a key for good. Returns whether it worked until now; null: the namespace has no such key.
CREATE FUNCTION revoke_key(p_namespace text, p_key_id text, p_who text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    known api_keys;
BEGIN
    SELECT k.* INTO known FROM api_keys k WHERE k.key_id = p_key_id AND k.namespace = p_namespace FOR UPDATE;
    IF NOT FOUND THEN
        RETURN NULL;
    ELSIF known.revoked_at IS NOT NULL THEN
        RETURN false;
    END IF;
    UPDATE api_keys k SET revoked_at = clock_timestamp() WHERE k.key_id = p_key_id;
    PERFORM audit(p_namespace, p_who, 'key.revoke', p_key_id, jsonb_build_object('name', known.name)::text);
    RETURN true;
END $$;

-- Another key that may do the same, for as long as the old one was made for; the old one ends after p_overlap µs. Returns whether
-- there was a key of that id in the namespace that still works.
CREATE FUNCTION rotate_key(
    p_namespace text, p_key_id text, p_new_id text, p_secret_hash bytea, p_overlap bigint, p_who text
) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    known api_keys;
    ends_at timestamptz := clock_timestamp() + p_overlap * interval '1 microsecond';
BEGIN
    SELECT k.* INTO known FROM api_keys k
    WHERE k.key_id = p_key_id AND k.namespace = p_namespace AND k.revoked_at IS NULL
      AND (k.expires_at IS NULL OR k.expires_at > clock_timestamp()) FOR UPDATE;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    INSERT INTO api_keys (key_id, namespace, scopes, secret_hash, name, created_by, lifetime_us, expires_at)
    VALUES (p_new_id, p_namespace, known.scopes, p_secret_hash, known.name, p_who, known.lifetime_us,
            clock_timestamp() + known.lifetime_us * interval '1 microsecond');
    -- The earlier of both; a key that has no end gets one.
    UPDATE api_keys k SET expires_at = least(k.expires_at, ends_at) WHERE k.key_id = p_key_id;
    PERFORM audit(p_namespace, p_who, 'key.rotate', p_key_id,
                  jsonb_build_object('new_key_id', p_new_id, 'overlap_us', p_overlap)::text);
    RETURN true;
END $$;

-- These keys were used.
CREATE FUNCTION note_key_use(p_key_ids text[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    UPDATE api_keys k SET last_used_at = clock_timestamp()
    WHERE k.key_id = ANY (p_key_ids) AND (k.last_used_at IS NULL OR k.last_used_at < clock_timestamp() - interval '1 minute');
END $$;
