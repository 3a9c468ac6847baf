-- A database as it is after 90 days: so many runs as the setting `scale.runs` says, and ten events each; nine in ten of them in the
-- namespace `default`, the others in `other`. Every number follows from the number of the run, so that two databases are alike but for
-- the clock. Ordinary statements; the functions would write the same rows, and take an hour.

INSERT INTO namespaces (namespace) VALUES ('other') ON CONFLICT DO NOTHING;

-- The run with the number n. `dice` is what it draws: 64 hexadecimal digits, of which each column takes others.
CREATE TEMPORARY TABLE drawn AS
SELECT q.*, shard_of(q.run_id) AS shard,
       CASE WHEN q.is_live THEN 0 WHEN q.luck < 900 THEN 1 WHEN q.luck < 980 THEN 2 WHEN q.luck < 997 THEN 3 ELSE 4 END::smallint AS state
FROM (
    SELECT n, started_at, n % 10 = 9 AS is_other,
           -- Version 7, as hosts make them: the time, and what was drawn.
           (lpad(to_hex((extract(epoch FROM started_at) * 1000)::bigint), 12, '0') || '7' || substr(dice, 1, 3) || '8'
            || substr(dice, 4, 15))::uuid AS run_id,
           ('x' || substr(dice, 20, 6))::bit(24)::integer % 1000 AS luck,
           ('x' || substr(dice, 30, 6))::bit(24)::integer % 1000 AS kind,
           ('x' || substr(dice, 40, 6))::bit(24)::integer % 10000 AS customer,
           -- One in thirty is still under way, and of the last thousand half.
           n % 30 = 7 OR (n > runs - 1000 AND n % 2 = 0) AS is_live,
           1 + n * 9 / (runs + 1) AS version, runs
    FROM (SELECT n, runs, now() - interval '90 days' * (1 - n::float8 / runs) AS started_at,
                 encode(sha256(n::text::bytea), 'hex') AS dice
          FROM (SELECT current_setting('scale.runs')::integer AS runs) s, generate_series(1, s.runs) n) d
) q;

INSERT INTO runs (shard, run_id, namespace, workflow, component, version, durability, seed, input, state, result, started_at,
                  parent_run_id, parent_call, closed_at, failure_code, tags, paused_at)
SELECT d.shard, d.run_id, CASE WHEN d.is_other THEN 'other' ELSE 'default' END,
       -- `legacy` ran for a day at the beginning.
       CASE WHEN d.n < d.runs / 90 AND d.n % 100 = 1 THEN 'legacy' WHEN d.kind < 600 THEN 'order' WHEN d.kind < 900 THEN 'invoice'
            ELSE 'report' END,
       CASE WHEN d.kind < 900 THEN 'shop' ELSE 'reports' END, d.version, 0, substr(sha256(d.n::text::bytea), 1, 16),
       convert_to('{"order": ' || d.n || ', "note": "' || repeat('x', 60) || '"}', 'UTF8'), d.state,
       CASE d.state WHEN 0 THEN NULL WHEN 1 THEN convert_to('{"shipped": ' || d.n || '}', 'UTF8')
                    ELSE '{"code": "card-declined", "message": "the bank says no", "retryable": false}' END,
       d.started_at, p.run_id, CASE WHEN p.run_id IS NOT NULL THEN d.n % 10 END,
       CASE WHEN d.state BETWEEN 1 AND 3 THEN d.started_at + interval '1 second' * (d.kind + 1) END,
       CASE WHEN d.state BETWEEN 2 AND 3 THEN
           CASE WHEN d.state = 3 THEN 'cancelled' WHEN d.kind = 5 THEN 'out-of-stock' WHEN d.kind < 300 THEN 'timeout'
                ELSE 'card-declined' END END,
       -- A third have tags: of the environment, which half of them share, and of one of 10,000 customers.
       CASE WHEN d.n % 3 = 0 THEN
           ARRAY ['customer=c' || d.customer, CASE WHEN d.n % 2 = 0 THEN 'env=production' ELSE 'env=staging' END] END,
       CASE WHEN d.state = 0 AND d.kind % 100 IN (3, 4) THEN now() END
FROM drawn d
-- One in ten is a child of the run whose number ends in 00, of the same namespace.
LEFT JOIN drawn p ON d.n % 100 BETWEEN 80 AND 88 AND p.n = d.n - d.n % 100 AND NOT d.is_other
ORDER BY d.n;

INSERT INTO run_tags (namespace, tag, started_at, run_id, shard)
SELECT r.namespace, t.tag, r.started_at, r.run_id, r.shard FROM runs r CROSS JOIN LATERAL unnest(r.tags) AS t (tag);

INSERT INTO hosts (host_id, name, renewed_at, lease_until)
VALUES ('00000000-0000-0000-0000-0000000000aa', 'a host of the scale', now(), now() + interval '1 day');

-- Of those that are under way, one in a hundred is at a host, two wait for one, two are paused (one of them has not been put aside), and the
-- others wait for a signal and a retry.
INSERT INTO owned (shard, run_id, namespace, host_id, strikes)
SELECT r.shard, r.run_id, r.namespace, '00000000-0000-0000-0000-0000000000aa', 0
FROM drawn d JOIN runs r USING (shard, run_id) WHERE d.state = 0 AND d.kind % 100 = 0;
INSERT INTO ready (shard, run_id, namespace, strikes)
SELECT r.shard, r.run_id, r.namespace, 0 FROM drawn d JOIN runs r USING (shard, run_id) WHERE d.state = 0 AND d.kind % 100 IN (1, 2);
INSERT INTO parked (shard, run_id, namespace, wake_at, signals, updates, strikes, open_calls)
SELECT r.shard, r.run_id, r.namespace, now() + interval '1 hour' * d.kind, '{paid}', '{}', 0,
       convert_to('[{"call":10,"kind":"signal","name":"paid","asked_at":"2026-01-01T00:00:00Z"},'
                  '{"call":11,"kind":"step","name":"charge","asked_at":"2026-01-01T00:00:00Z","due_at":"2027-01-01T00:00:00Z",'
                  '"next_attempt":2,"attempt_limit":5}]', 'UTF8')
FROM drawn d JOIN runs r USING (shard, run_id) WHERE d.state = 0 AND d.kind % 100 > 3;
INSERT INTO paused (shard, run_id, namespace, strikes, open_calls)
SELECT r.shard, r.run_id, r.namespace, 0, '' FROM drawn d JOIN runs r USING (shard, run_id) WHERE d.state = 0 AND d.kind % 100 = 3;

-- Ten events each: eight steps, a sleep and a signal.
INSERT INTO events (shard, run_id, seq, kind, call, name, input, attempt, failed, outcome, asked_at, at)
SELECT d.shard, d.run_id, e.seq, CASE e.seq WHEN 3 THEN 1 WHEN 6 THEN 2 ELSE 0 END::smallint, e.seq,
       CASE e.seq WHEN 3 THEN '' WHEN 6 THEN 'go' ELSE 'step_' || e.seq END,
       CASE e.seq WHEN 3 THEN '1000000' ELSE '{"order": 17, "sum": 4200}' END::bytea, 1, e.seq = 9 AND d.state = 2,
       CASE WHEN e.seq = 9 AND d.state = 2 THEN '{"code": "card-declined", "message": "the bank says no", "retryable": false}'
            ELSE '{"done": true, "reference": "0123456789abcdef"}' END::bytea,
       d.started_at, d.started_at + interval '1 second' * e.seq
FROM drawn d CROSS JOIN generate_series(0, 9) AS e (seq) ORDER BY d.shard, d.run_id, e.seq;

-- Attempts that failed: two of one step in every tenth run, and one of the step that those that wait try again.
INSERT INTO attempts (shard, run_id, call, attempt, failure, started_at, ended_at, next_at)
SELECT d.shard, d.run_id, a.call, a.attempt, '{"code": "busy", "message": "try again later", "retryable": true}', d.started_at,
       d.started_at + interval '1 second', d.started_at + interval '5 seconds'
FROM drawn d CROSS JOIN LATERAL (VALUES (2, 1), (2, 2), (11, 1)) AS a (call, attempt)
WHERE CASE WHEN a.call = 2 THEN d.n % 10 = 0 ELSE d.state = 0 END;

DROP TABLE drawn;
ANALYZE;
