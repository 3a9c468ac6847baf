-- The audit log: what operators have changed, and who did it. Rows are only ever added, each in the transaction of the change
-- that it is about: there is no change without its row, and no row without its change.
--
-- The rows of a namespace are a chain: the hash of each is over the hash before it and the row itself (`model/audit.rs` computes
-- the same), so that a row that was changed, taken out or put elsewhere shows, and the end of the chain is kept beside it, so
-- that a chain that was cut shows too. A chain for each namespace, and one, `*`, for what belongs to none: tenants do not wait for
-- each other.

CREATE TABLE audit_log (
    namespace     text        NOT NULL,
    seq           bigint      NOT NULL CHECK (seq > 0),
    at            timestamptz NOT NULL,
    who           text        NOT NULL,
    what          text        NOT NULL,
    subject       text        NOT NULL,
    details       text        NOT NULL,
    previous_hash bytea       NOT NULL CHECK (octet_length(previous_hash) = 32),
    hash          bytea       NOT NULL CHECK (octet_length(hash) = 32),
    PRIMARY KEY (namespace, seq)
);
COMMENT ON COLUMN audit_log.namespace IS 'A namespace, or * for what belongs to none.';
COMMENT ON COLUMN audit_log.who IS 'The id of an API key; cli:NAME for an account of the machine that the command line wrote from; dev for a host without authentication.';
COMMENT ON COLUMN audit_log.what IS 'A stable word: component.deploy, concurrency.set, data-key.rewrap, data-key.rotate, grant.add, grant.remove, key.create, key.revoke, key.rotate, namespace.change, namespace.create, namespace.pause, namespace.recount, namespace.resume, rate-limit.set, rate-limit.unset, run.cancel, run.fork, run.migrate, run.pause, run.resume, run.retry, run.rewind, run.terminate, schedule.backfill, schedule.change, schedule.create, schedule.delete, schedule.pause, schedule.resume, schedule.trigger, secret.delete, secret.set, version.delete, version.deprecate, version.undeprecate, version.use, workflow.pause, workflow.resume.';
COMMENT ON COLUMN audit_log.details IS 'JSON, without payloads and without secrets. A text, because the hash is over these very characters.';

CREATE TABLE audit_heads (
    namespace text   PRIMARY KEY,
    seq       bigint NOT NULL,
    hash      bytea  NOT NULL CHECK (octet_length(hash) = 32)
) WITH (fillfactor = 50);
COMMENT ON TABLE audit_heads IS 'The last row of each chain. Whoever adds one holds the lock of this row.';

-- The owner of the schema is the host, which only ever adds. Nobody else gets more than they are given, and nobody needs more
-- than SELECT.
REVOKE ALL ON audit_log, audit_heads FROM PUBLIC;

-- A field of a row as it is hashed: its length, so that no two rows are hashed alike, and its bytes.
CREATE FUNCTION audit_field(p_value text) RETURNS bytea LANGUAGE sql STABLE STRICT
RETURN int4send(octet_length(convert_to(p_value, 'UTF8'))) || convert_to(p_value, 'UTF8');

-- Add a row to a chain; whatever is changed calls it in its own transaction, last, because the chain is locked from here on to
-- the commit. Returns the number of the row.
CREATE FUNCTION audit(p_namespace text, p_who text, p_what text, p_subject text, p_details text) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    head audit_heads;
    now_at timestamptz;
    own bytea;
BEGIN
    INSERT INTO audit_heads (namespace, seq, hash) VALUES (p_namespace, 0, decode(repeat('00', 32), 'hex')) ON CONFLICT DO NOTHING;
    SELECT h.* INTO head FROM audit_heads h WHERE h.namespace = p_namespace FOR UPDATE;
    -- Under the lock: times ascend with the numbers.
    now_at := clock_timestamp();
    head.seq := head.seq + 1;
    own := sha256(head.hash || audit_field(p_namespace) || audit_field(head.seq::text)
                  || audit_field((extract(epoch FROM now_at) * 1000000)::bigint::text) || audit_field(p_who)
                  || audit_field(p_what) || audit_field(p_subject) || audit_field(p_details));
    INSERT INTO audit_log (namespace, seq, at, who, what, subject, details, previous_hash, hash)
    VALUES (p_namespace, head.seq, now_at, p_who, p_what, p_subject, p_details, head.hash, own);
    UPDATE audit_heads h SET seq = head.seq, hash = own WHERE h.namespace = p_namespace;
    RETURN head.seq;
END $$;
