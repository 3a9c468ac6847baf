-- Runs: one durable execution each. A row is written when the run is accepted and once more when it ends; where a live run
-- stands is kept in the small tables of 0008_hosts.sql.

-- The shard leads every key of the run tables, so that they can be spread over partitions or databases later.
-- Hosts compute it too: model/id.rs.
CREATE FUNCTION shard_of(run_id uuid) RETURNS smallint
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN (get_byte(uuid_send(run_id), 15) % 16)::smallint;

-- Codes are checked by their types. A CHECK on the table would be parsed anew by every statement that writes to it: with those
-- of `runs` and `events`, a commit of one run took 350 µs of processor time; without, 250.
CREATE DOMAIN durability AS smallint CHECK (VALUE BETWEEN 0 AND 1);
CREATE DOMAIN run_code AS smallint CHECK (VALUE BETWEEN 0 AND 4);
CREATE DOMAIN priority AS smallint CHECK (VALUE BETWEEN 1 AND 5);
CREATE DOMAIN seed AS bytea CHECK (octet_length(VALUE) = 16);

CREATE TABLE runs (
    shard           smallint    NOT NULL,
    run_id          uuid        NOT NULL,
    namespace       text        NOT NULL,
    workflow        text        NOT NULL,
    component       text        NOT NULL,
    version         integer     NOT NULL,
    durability      durability  NOT NULL,
    seed            seed        NOT NULL,
    idempotency_key text,
    input           bytea       NOT NULL,
    state           run_code    NOT NULL DEFAULT 0,
    result          bytea,
    started_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    cancelled_at    timestamptz,
    deadline_at     timestamptz,
    parent_run_id   uuid,
    parent_call     integer,
    generation      integer     NOT NULL DEFAULT 0,
    first_seq       integer     NOT NULL DEFAULT 0,
    first_call      integer     NOT NULL DEFAULT 0,
    continued_at    timestamptz,
    told            text,
    paused_at       timestamptz,
    lineage         text,
    priority        priority    NOT NULL DEFAULT 3,
    concurrency_key text,
    is_limited      boolean     NOT NULL DEFAULT false,
    closed_at       timestamptz,
    failure_code    text,
    tags            text[],
    quarantined_at  timestamptz,
    quarantines     smallint,
    PRIMARY KEY (shard, run_id)
) WITH (fillfactor = 85);
COMMENT ON COLUMN runs.durability IS '0 output: what follows from an event leaves the host after the event is committed; 1 strict: the guest sees an event after it is committed.';
COMMENT ON COLUMN runs.seed IS 'What the run''s randomness comes from.';
COMMENT ON COLUMN runs.state IS '0 open (see ready, owned, parked; it has no result yet), 1 completed, 2 failed, 3 cancelled, 4 quarantined.';
COMMENT ON COLUMN runs.result IS 'Completed: the result. Failed, cancelled: the failure. Quarantined: the report. All JSON.';
COMMENT ON COLUMN runs.closed_at IS 'When it was completed, failed or cancelled.';
COMMENT ON COLUMN runs.cancelled_at IS 'When somebody first asked it to stop.';
COMMENT ON COLUMN runs.deadline_at IS 'When it is asked to stop by itself.';
COMMENT ON COLUMN runs.parent_call IS 'The call of the parent''s that started it.';
COMMENT ON COLUMN runs.generation IS 'How often it has continued as new. Its history then begins at first_seq, its calls at first_call, its clock at continued_at, and input is the new one.';
COMMENT ON COLUMN runs.paused_at IS 'When it was paused by itself: see 0027.';
COMMENT ON COLUMN runs.lineage IS 'Where it was rewound and what it was forked from, as JSON (`model/lineage.rs`); none for nearly all runs.';
COMMENT ON COLUMN runs.priority IS 'Which runs of the namespace are taken up first when not all can be: 1 first, 5 last. In ready, owned, parked and paused as well, so that nobody looks here for it.';
COMMENT ON COLUMN runs.concurrency_key IS 'Of the runs of its workflow that have the same, so many may be under way at once: see 0036.';
COMMENT ON COLUMN runs.is_limited IS 'Whether it may hold slots, or wait for one: see 0036.';
COMMENT ON COLUMN runs.told IS 'Why it had been told to stop when it last continued as new.';
COMMENT ON COLUMN runs.failure_code IS 'Of a run that has failed, was cancelled or is quarantined: the code in its result, which may be sealed.';
COMMENT ON COLUMN runs.quarantined_at IS 'When it was last.';
COMMENT ON COLUMN runs.quarantines IS 'How often it was; null if never.';
COMMENT ON COLUMN runs.tags IS 'key=value, as it was started with or its workflow has set them; null if there are none. Never sealed.';

-- Read backwards, newest first.
CREATE INDEX runs_by_time ON runs (namespace, started_at, run_id);
