-- The end of an installation: its schema with all that is in it, and the role of its tenants. Nothing is left, not even this function.
-- Returns the role if that is left: somebody else has made it, and may drop it.
CREATE FUNCTION drop_installation() RETURNS text LANGUAGE plpgsql
-- Nobody need hear what goes with the schema.
SET client_min_messages = warning AS $$
DECLARE
    schema_name text := current_schema();
    role text := tenant_role();
BEGIN
    -- Whoever starts a host meanwhile waits here (admit_tenants), and then finds nothing.
    PERFORM pg_advisory_xact_lock(hashtextextended(role, 0));
    PERFORM 1 FROM hosts h WHERE h.lease_until > clock_timestamp();
    IF FOUND THEN
        RAISE EXCEPTION 'hosts are at work in the schema %', schema_name USING ERRCODE = 'WL032', HINT = 'stop them first';
    END IF;
    -- Names cannot be parameters.
    EXECUTE format('DROP SCHEMA %I CASCADE', schema_name);
    IF EXISTS (SELECT FROM pg_roles r WHERE r.rolname = role) THEN
        BEGIN
            EXECUTE format('DROP OWNED BY %I', role);
            EXECUTE format('DROP ROLE %I', role);
        EXCEPTION
            WHEN insufficient_privilege THEN
                RETURN role;
        END;
    END IF;
    RETURN NULL;
END $$;
