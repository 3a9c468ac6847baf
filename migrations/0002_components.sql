-- Components: what teams upload. Bytes are kept once for each digest; a version is an upload under a name.

CREATE TABLE components (
    namespace   text        NOT NULL,
    digest      bytea       NOT NULL CHECK (octet_length(digest) = 32),
    bytes       bytea       NOT NULL,
    uploaded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (namespace, digest)
);
COMMENT ON TABLE components IS 'Uploaded WebAssembly by SHA-256 digest.';
-- Machine-code-like bytes hardly compress, and they are read whole.
ALTER TABLE components ALTER bytes SET STORAGE EXTERNAL;

CREATE TABLE versions (
    namespace   text        NOT NULL,
    component   text        NOT NULL,
    version     integer     NOT NULL CHECK (version > 0),
    digest      bytea       NOT NULL,
    manifest    bytea       NOT NULL,
    deployed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    contract    text        NOT NULL DEFAULT '0.1.0',
    edition     smallint    NOT NULL DEFAULT 1,
    PRIMARY KEY (namespace, component, version)
);
COMMENT ON TABLE versions IS 'Uploads of a component under its name: 1, 2, …. A run is pinned to one.';
COMMENT ON COLUMN versions.contract IS 'The version of the WIT package windlass:workflow that it was built for.';
COMMENT ON COLUMN versions.edition IS 'What a host must have learnt to be at a run of it: see model/edition.rs. It never changes.';
COMMENT ON COLUMN versions.manifest IS 'The component''s description of itself, checked, as JSON.';

CREATE TABLE workflows (
    namespace  text     NOT NULL,
    workflow   text     NOT NULL,
    component  text     NOT NULL,
    version    integer  NOT NULL,
    edition    smallint NOT NULL DEFAULT 1,
    is_limited boolean  NOT NULL DEFAULT false,
    PRIMARY KEY (namespace, workflow)
);
COMMENT ON TABLE workflows IS 'Which version new runs of a workflow take: the newest of its component.';
COMMENT ON COLUMN workflows.edition IS 'That of the version.';
COMMENT ON COLUMN workflows.is_limited IS 'Whether they have to have a slot before they begin: see 0036.';

CREATE TABLE grants (
    namespace  text        NOT NULL,
    component  text        NOT NULL,
    http_grant text        NOT NULL,
    granted_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (namespace, component, http_grant)
);
COMMENT ON TABLE grants IS 'Requests that the operator lets the steps of a component send, if they ask for them: a host, or methods, a host and a path.';

CREATE FUNCTION edition_of(p_namespace text, p_component text, p_version integer) RETURNS smallint LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN (SELECT v.edition FROM versions v
            WHERE v.namespace = p_namespace AND v.component = p_component AND v.version = p_version);
END $$;
