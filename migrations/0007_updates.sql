-- Updates: requests to a run that its workflow answers. The request itself is a letter in the run's inbox; here is who asked, and
-- then the answer, which stays as long as the run.

CREATE TABLE updates (
    shard       smallint    NOT NULL,
    run_id      uuid        NOT NULL,
    update_id   text        NOT NULL CHECK (length(update_id) BETWEEN 1 AND 255),
    name        text        NOT NULL,
    payload     bytea       NOT NULL,
    inbox_id    bigint      NOT NULL,
    call        integer,
    failed      boolean,
    answer      bytea,
    accepted_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    answered_at timestamptz,
    PRIMARY KEY (shard, run_id, update_id),
    CONSTRAINT an_answer_is_whole CHECK ((answer IS NULL) = (failed IS NULL) AND (answer IS NULL) = (answered_at IS NULL))
);
-- The host knows an update by its letter until it is delivered, and by the call that took it until it is answered.
CREATE INDEX updates_by_letter ON updates (shard, run_id, inbox_id);
COMMENT ON COLUMN updates.call IS 'The call that it was delivered to.';
