-- Payloads that the database keeps sealed, for namespaces that want it: inputs, results, failures, what signals and updates carry,
-- what runs show, and lines of their logs. Whoever has a copy of the database reads names, states and times, and none of these.
--
-- What is sealed says so itself: its first byte is 1, with which no JSON begins, and the id of its key follows. So what was kept
-- before stays readable, and whoever moves it in here (the result of a child to its parent) need not know.

-- Seal the payloads of a namespace from now on, or no longer. It needs a data key first: keep_data_key.
CREATE FUNCTION seal_payloads(p_namespace text, p_seal boolean, p_who text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    UPDATE namespaces n SET seal_payloads = p_seal WHERE n.namespace = p_namespace AND n.seal_payloads <> p_seal;
    IF FOUND THEN
        UPDATE data_keys k SET opens_payloads = true WHERE k.namespace = p_namespace AND k.is_current;
        PERFORM audit('*', p_who, 'namespace.change', p_namespace, jsonb_build_object('seal_payloads', p_seal)::text);
    END IF;
END $$;
