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
    PRIMARY KEY (namespace, component, version)
);
COMMENT ON TABLE versions IS 'Uploads of a component under its name: 1, 2, …. A run is pinned to one.';
COMMENT ON COLUMN versions.manifest IS 'The component''s description of itself, checked, as JSON.';

CREATE TABLE workflows (
    namespace  text    NOT NULL,
    workflow   text    NOT NULL,
    component  text    NOT NULL,
    version    integer NOT NULL,
    is_limited boolean NOT NULL DEFAULT false,
    PRIMARY KEY (namespace, workflow)
);
COMMENT ON TABLE workflows IS 'Which version new runs of a workflow take: the newest of its component.';
COMMENT ON COLUMN workflows.is_limited IS 'Whether they have to have a slot before they begin: see 0036.';

CREATE TABLE grants (
    namespace  text        NOT NULL,
    component  text        NOT NULL,
    http_grant text        NOT NULL,
    granted_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (namespace, component, http_grant)
);
COMMENT ON TABLE grants IS 'Requests that the operator lets the steps of a component send, if they ask for them: a host, or methods, a host and a path.';
