-- Rate limits: how many attempts of a step may begin in a second, at all hosts together.
--
-- A limit is a row that says when the next attempt may begin, and every attempt that asks moves it on. So each is told its time at once and
-- never asks again, whoever makes it: a host asks once for all attempts that begin together. Who comes after a while finds a time that
-- is past, but by no more than `burst` attempts take: so many begin at once. (The generic cell rate algorithm, by the database's clock.)
-- In any time t begin at most burst + per_second × t attempts, and those that hosts are late with.

CREATE TABLE rate_limits (
    namespace  text             NOT NULL,
    step       text             NOT NULL,
    per_second double precision NOT NULL CHECK (per_second > 0 AND per_second < 'infinity'),
    burst      integer          NOT NULL CHECK (burst > 0),
    next_at    timestamptz      NOT NULL DEFAULT '-infinity',
    PRIMARY KEY (namespace, step)
) WITH (fillfactor = 10, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 200);
COMMENT ON COLUMN rate_limits.step IS 'The step, of whichever component of the namespace.';
COMMENT ON COLUMN rate_limits.next_at IS 'When the next attempt may begin, were there no burst.';

-- Give p_count attempts of a step their times: the first at first_at, each of the others by spacing later. No row: it has no limit.
CREATE FUNCTION reserve_attempts(p_namespace text, p_step text, p_count integer, OUT first_at timestamptz, OUT spacing interval)
RETURNS SETOF record LANGUAGE plpgsql AS $$
BEGIN
    RETURN QUERY
    WITH moved AS (
        UPDATE rate_limits l
        SET next_at = greatest(l.next_at, clock_timestamp() - (l.burst - 1) / l.per_second * interval '1 second')
                      + p_count / l.per_second * interval '1 second'
        WHERE l.namespace = p_namespace AND l.step = p_step
        RETURNING l.next_at, interval '1 second' / l.per_second AS spacing
    )
    SELECT m.next_at - p_count * m.spacing, m.spacing FROM moved m;
END $$;

-- Limit a step. Attempts that have their times keep them; the next ones follow as if there had been none. Returns whether it is limited:
-- not if it would be one limit more than the p_limits_max that a namespace may have, as hosts hold all of them.
CREATE FUNCTION set_rate_limit(
    p_namespace text, p_step text, p_per_second double precision, p_burst integer, p_limits_max integer, p_who text
) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    PERFORM check_workflow(p_namespace, '');
    -- One at a time in a namespace: they are counted.
    PERFORM FROM namespaces n WHERE n.namespace = p_namespace FOR NO KEY UPDATE;
    IF EXISTS (SELECT FROM rate_limits l WHERE l.namespace = p_namespace AND l.step = p_step
               AND l.per_second = p_per_second AND l.burst = p_burst) THEN
        RETURN true;
    ELSIF (SELECT count(*) FROM rate_limits l WHERE l.namespace = p_namespace AND l.step <> p_step) >= p_limits_max THEN
        RETURN false;
    END IF;
    INSERT INTO rate_limits AS l (namespace, step, per_second, burst) VALUES (p_namespace, p_step, p_per_second, p_burst)
    ON CONFLICT (namespace, step) DO UPDATE
    SET per_second = excluded.per_second, burst = excluded.burst, next_at = least(l.next_at, clock_timestamp());
    PERFORM audit(p_namespace, p_who, 'rate-limit.set', p_step,
                  jsonb_build_object('per_second', p_per_second, 'burst', p_burst)::text);
    RETURN true;
END $$;

-- Take a limit away. Returns whether there was one.
CREATE FUNCTION unset_rate_limit(p_namespace text, p_step text, p_who text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM rate_limits l WHERE l.namespace = p_namespace AND l.step = p_step;
    IF FOUND THEN
        PERFORM audit(p_namespace, p_who, 'rate-limit.unset', p_step, '{}');
        RETURN true;
    END IF;
    RETURN false;
END $$;
