-- Namespaces: the walls between tenants. Every row of a tenant carries its namespace, or belongs to a run that does.
--
-- This schema can stand under any name: nothing in it names a schema, and every session sets its search_path.

CREATE TABLE namespaces (
    namespace  text        PRIMARY KEY CHECK (namespace ~ '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$'),
    created_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE namespaces IS 'Tenants.';

INSERT INTO namespaces (namespace) VALUES ('default');
