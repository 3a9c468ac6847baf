-- The inbox of a run: what came from outside and was not delivered yet. A letter is put in under the lock of the run's row
-- (so that those of one run are numbered in the order in which they are committed) and goes with the event that delivers it.

CREATE TABLE inbox (
    shard   smallint    NOT NULL,
    run_id  uuid        NOT NULL,
    id      bigint      GENERATED ALWAYS AS IDENTITY,
    kind    smallint    NOT NULL CHECK (kind BETWEEN 0 AND 5),
    name    text        NOT NULL,
    payload bytea,
    at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (shard, run_id, id),
    CONSTRAINT all_but_requests_to_stop_and_pause_carry_something CHECK ((kind IN (1, 5)) = (payload IS NULL))
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
COMMENT ON COLUMN inbox.kind IS '0 signal, 1 request to stop (name says why), 2 a child has its result, 3 a child has failed (name is the call), 4 update, 5 request to pause (for whoever is at the run, never for its guest).';

CREATE TABLE signal_ids (
    shard     smallint NOT NULL,
    run_id    uuid     NOT NULL,
    signal_id text     NOT NULL CHECK (length(signal_id) BETWEEN 1 AND 255),
    PRIMARY KEY (shard, run_id, signal_id)
);
COMMENT ON TABLE signal_ids IS 'Ids that senders gave to signals: the same id is accepted once.';
