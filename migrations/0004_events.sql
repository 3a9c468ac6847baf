-- History: what was delivered to a run's guest, in the order of delivery. Rows are only ever added.

CREATE DOMAIN event_kind AS smallint CHECK (VALUE BETWEEN 0 AND 6);
CREATE DOMAIN seq AS integer CHECK (VALUE >= 0);

CREATE TABLE events (
    shard    smallint    NOT NULL,
    run_id   uuid        NOT NULL,
    seq      seq         NOT NULL,
    kind     event_kind  NOT NULL,
    call     integer,
    name     text        NOT NULL,
    input    bytea,
    attempt  integer     NOT NULL,
    failed   boolean     NOT NULL,
    outcome  bytea,
    asked_at timestamptz,
    at       timestamptz NOT NULL,
    -- Two writers of one run's history meet here.
    PRIMARY KEY (shard, run_id, seq)
) WITH (fillfactor = 100, autovacuum_vacuum_insert_scale_factor = 0.2);
COMMENT ON COLUMN events.kind IS 'The outcome of a 0 step, 1 sleep, 2 signal, 4 child, 5 signal that was sent, 6 update; 3 the run was asked to stop, name says why: it has no call, no outcome and no asked_at, and all others have.';
COMMENT ON COLUMN events.input IS 'What the call handed over: of a step its input, of a sleep its length in µs.';
COMMENT ON COLUMN events.attempt IS 'Of a step: the attempt that it ended with.';
COMMENT ON COLUMN events.outcome IS 'The result, or the failure if failed, as JSON.';
COMMENT ON COLUMN events.at IS 'The run''s own time from this event on.';

CREATE TABLE attempts (
    shard         smallint    NOT NULL,
    run_id        uuid        NOT NULL,
    call          integer     NOT NULL,
    attempt       integer     NOT NULL CHECK (attempt > 0),
    step          text,
    attempt_limit integer,
    failure       bytea,
    heartbeat     bytea,
    started_at    timestamptz NOT NULL,
    ended_at      timestamptz,
    next_at       timestamptz,
    PRIMARY KEY (shard, run_id, call, attempt),
    CONSTRAINT an_attempt_that_failed_says_when CHECK ((failure IS NULL) = (ended_at IS NULL))
);
COMMENT ON TABLE attempts IS 'Attempts of steps that failed, and those that have been running for long. What succeeds at once leaves an event only.';
COMMENT ON COLUMN attempts.attempt_limit IS 'How many attempts the call may make in all.';
COMMENT ON COLUMN attempts.heartbeat IS 'What the attempt reported last, as JSON: the next one can read it.';
COMMENT ON COLUMN attempts.next_at IS 'When the next attempt is due; none after the last.';

CREATE TABLE logs (
    shard   smallint    NOT NULL,
    run_id  uuid        NOT NULL,
    id      bigint      GENERATED ALWAYS AS IDENTITY,
    source  integer     NOT NULL CHECK (source >= -1),
    attempt integer     NOT NULL,
    number  integer     NOT NULL,
    level   smallint    NOT NULL CHECK (level BETWEEN 0 AND 3),
    message text        NOT NULL,
    at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- The n-th line of a source is the n-th line on every replay: kept once.
    PRIMARY KEY (shard, run_id, source, attempt, number)
);
COMMENT ON COLUMN logs.id IS 'The order of a run''s lines: all of one run are written one commit after the other.';
COMMENT ON COLUMN logs.source IS 'The call of a step, or -1 for the workflow itself.';
COMMENT ON COLUMN logs.level IS '0 debug, 1 info, 2 warn, 3 error.';

CREATE TABLE published (
    shard  smallint    NOT NULL,
    run_id uuid        NOT NULL,
    key    text        NOT NULL,
    value  bytea       NOT NULL,
    at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (shard, run_id, key)
);
COMMENT ON TABLE published IS 'What runs show of themselves while they go on.';
