-- Who is at what. Every live run has exactly one row in exactly one of five small tables, and whoever deletes that row
-- decides where it goes next:
--
--     start ─→ ready ──claim──→ owned ──park──→ parked
--       │        ↑                │               │
--       │        ├──────reap──────┤               │
--       │        ├──────────signal, timer─────────┘
--       │        │
--       │        ├──resume── paused ←──pause── from any of these three: see 0027
--       │        │
--       └──→ queued, for runs that have to have a slot first: see 0036
--
-- They change all the time: rows are added and deleted, hosts vacuum them.

CREATE TABLE hosts (
    host_id     uuid        PRIMARY KEY,
    epoch       bigint      NOT NULL DEFAULT 1,
    name        text        NOT NULL,
    renewed_at  timestamptz NOT NULL,
    lease_until timestamptz NOT NULL,
    edition     smallint    NOT NULL DEFAULT 1
) WITH (fillfactor = 10, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 200);
COMMENT ON COLUMN hosts.epoch IS 'The fencing number: a host that writes with an older one is refused.';
COMMENT ON COLUMN hosts.name IS 'For people: machine and process.';
COMMENT ON COLUMN hosts.edition IS 'What it has learnt: it takes up runs of this edition and of those before. An older host does not say, and knows the first.';

CREATE TABLE ready (
    shard     smallint    NOT NULL,
    namespace text        NOT NULL,
    priority  priority    NOT NULL DEFAULT 3,
    id        bigint      GENERATED ALWAYS AS IDENTITY,
    run_id    uuid        NOT NULL,
    strikes   smallint    NOT NULL,
    at        timestamptz NOT NULL DEFAULT clock_timestamp(),
    edition   smallint    NOT NULL DEFAULT 1,
    -- A claim steps from priority to priority, in each from namespace to namespace, and past what its host has not learnt, whatever any of
    -- them has waiting.
    PRIMARY KEY (shard, priority, namespace, edition, id)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0);
COMMENT ON TABLE ready IS 'Runs that wait for a host.';
COMMENT ON COLUMN ready.edition IS 'That of the run''s version, here as in owned, parked and paused: it goes with the run as its strikes do.';
-- Whoever pauses a run, ends it or looks at it finds it however many wait.
CREATE UNIQUE INDEX ready_by_run ON ready (shard, run_id);
-- Those that claims leave alone: claim_suspect takes them one by one. There are hardly ever any.
CREATE INDEX ready_suspects ON ready (shard, id) WHERE strikes >= 2;
COMMENT ON COLUMN ready.strikes IS 'Activations in a row that failed without progress, and deaths of hosts in a row that were at it.';

CREATE TABLE owned (
    shard      smallint    NOT NULL,
    run_id     uuid        NOT NULL,
    namespace  text        NOT NULL,
    host_id    uuid        NOT NULL,
    priority   priority    NOT NULL DEFAULT 3,
    strikes    smallint    NOT NULL,
    claimed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    on_trial   boolean     NOT NULL DEFAULT false,
    edition    smallint    NOT NULL DEFAULT 1,
    PRIMARY KEY (shard, run_id)
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX owned_by_host ON owned (host_id);
COMMENT ON TABLE owned IS 'Runs that a host is at.';
COMMENT ON COLUMN owned.on_trial IS 'Its host has taken it up alone among suspects, just now: if the host dies, it was this one.';

CREATE TABLE parked (
    shard      smallint    NOT NULL,
    run_id     uuid        NOT NULL,
    namespace  text        NOT NULL,
    wake_at    timestamptz,
    signals    text[]      NOT NULL,
    updates    text[]      NOT NULL,
    priority   priority    NOT NULL DEFAULT 3,
    strikes    smallint    NOT NULL,
    open_calls bytea       NOT NULL,
    parked_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    edition    smallint    NOT NULL DEFAULT 1,
    PRIMARY KEY (shard, run_id)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX parked_by_wake ON parked (shard, wake_at) WHERE wake_at IS NOT NULL;
COMMENT ON TABLE parked IS 'Runs that wait for a signal or a time.';
COMMENT ON COLUMN parked.wake_at IS 'The earliest of its timers, retries and deadline.';
COMMENT ON COLUMN parked.signals IS 'Names of the signals that wake it.';
COMMENT ON COLUMN parked.updates IS 'Names of the updates that wake it.';
COMMENT ON COLUMN parked.open_calls IS 'For people: what it waits for, as JSON; the first 100 calls.';

CREATE TABLE paused (
    shard      smallint    NOT NULL,
    run_id     uuid        NOT NULL,
    namespace  text        NOT NULL,
    priority   priority    NOT NULL DEFAULT 3,
    strikes    smallint    NOT NULL,
    open_calls bytea       NOT NULL,
    at         timestamptz NOT NULL DEFAULT clock_timestamp(),
    edition    smallint    NOT NULL DEFAULT 1,
    PRIMARY KEY (shard, run_id)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX paused_by_namespace ON paused (namespace, shard, run_id);
COMMENT ON TABLE paused IS 'Runs that nobody goes on with until they are resumed, whatever comes for them.';
COMMENT ON COLUMN paused.open_calls IS 'As in parked; empty where it is not known.';

CREATE TABLE queued (
    shard     smallint    NOT NULL,
    run_id    uuid        NOT NULL,
    namespace text        NOT NULL,
    gate_id   bigint      NOT NULL,
    level     smallint    NOT NULL,
    priority  priority    NOT NULL,
    id        bigint      GENERATED ALWAYS AS IDENTITY,
    at        timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (shard, run_id)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX queued_by_gate ON queued (gate_id, priority, id);
COMMENT ON TABLE queued IS 'Runs that have not begun, and wait for a slot: see 0036.';
COMMENT ON COLUMN queued.level IS 'The gate that it waits at: 1 of its key, 2 of its workflow, 3 of its namespace.';

CREATE TABLE concurrency (
    namespace   text    NOT NULL,
    workflow    text    NOT NULL,
    max_runs    integer CHECK (max_runs > 0),
    max_per_key integer CHECK (max_per_key > 0),
    is_settled  boolean NOT NULL DEFAULT false,
    PRIMARY KEY (namespace, workflow),
    CONSTRAINT a_key_belongs_to_a_workflow CHECK (workflow <> '' OR max_per_key IS NULL)
);
COMMENT ON TABLE concurrency IS 'How many runs may be under way at once: see 0036.';
COMMENT ON COLUMN concurrency.workflow IS 'The workflow, or nothing for all of the namespace.';
COMMENT ON COLUMN concurrency.max_per_key IS 'Of those that were started with one concurrency key.';
COMMENT ON COLUMN concurrency.is_settled IS 'Whether all are on their way that wait for no other reason than what the limit was before.';

CREATE TABLE gates (
    namespace text    NOT NULL,
    workflow  text    NOT NULL,
    key       text    NOT NULL,
    gate_id   bigint  GENERATED ALWAYS AS IDENTITY UNIQUE,
    taken     integer NOT NULL DEFAULT 0 CHECK (taken >= 0),
    PRIMARY KEY (namespace, workflow, key)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 200);
COMMENT ON COLUMN gates.key IS 'The concurrency key, or nothing for all runs of the workflow or of the namespace.';
COMMENT ON COLUMN gates.taken IS 'How many rows of slots are its own.';

CREATE TABLE slots (
    shard     smallint NOT NULL,
    run_id    uuid     NOT NULL,
    gate_id   bigint   NOT NULL,
    namespace text     NOT NULL,
    PRIMARY KEY (shard, run_id, gate_id)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
COMMENT ON TABLE slots IS 'What runs hold that are under way, and give back when they end.';

CREATE TABLE pauses (
    namespace text        NOT NULL,
    workflow  text        NOT NULL,
    paused_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (namespace, workflow)
);
COMMENT ON TABLE pauses IS 'Workflows of which no run goes on: see 0027.';
COMMENT ON COLUMN pauses.workflow IS 'The workflow, or nothing for all of the namespace.';

CREATE TABLE resumes (
    namespace  text        PRIMARY KEY,
    resumed_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE resumes IS 'Namespaces of which runs in paused may be no longer, until all of those have been let go: see 0027.';

-- Whether a workflow is paused, by itself or with its namespace; whether a run is, by itself or with others.
CREATE FUNCTION is_paused(p_namespace text, p_workflow text) RETURNS boolean LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN EXISTS (SELECT FROM pauses p WHERE p.namespace = p_namespace AND p.workflow IN ('', p_workflow));
END $$;

CREATE FUNCTION is_paused(r runs) RETURNS boolean LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN r.paused_at IS NOT NULL OR is_paused(r.namespace, r.workflow);
END $$;
