-- Children that their parents wait for. A row is written with the child's run and goes when the child has ended and its
-- parent has been told, or when nobody wants to be told any more.

CREATE TABLE children (
    shard    smallint NOT NULL,
    run_id   uuid     NOT NULL,
    call     integer  NOT NULL,
    child_id uuid     NOT NULL,
    abandon  boolean  NOT NULL,
    released boolean  NOT NULL DEFAULT false,
    -- A call that is made anew after a rewind has another child, while the one from before is still to be asked to stop.
    PRIMARY KEY (shard, run_id, call, child_id)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
CREATE INDEX children_released ON children (shard) WHERE released;
COMMENT ON COLUMN children.run_id IS 'The parent.';
COMMENT ON COLUMN children.abandon IS 'Whether the child goes on when its parent has ended or no longer wants it; else it is asked to stop.';
COMMENT ON COLUMN children.released IS 'The parent has ended or no longer wants it, and the child has not been asked to stop yet.';

-- Nobody waits for these children any more: those of runs, or of one call each. What is not to be abandoned is asked to stop
-- a little later, by cancel_released: here only rows of the parent are touched, so that no two sessions wait for each other.
CREATE FUNCTION release_children(p_run_ids uuid[], p_calls integer[]) RETURNS void LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    WITH asked AS (
        SELECT c.shard, c.run_id, c.call
        FROM (SELECT shard_of(u.run_id) AS shard, u.* FROM unnest(p_run_ids, p_calls) AS u (run_id, call) OFFSET 0) u
        JOIN children c ON c.shard = u.shard AND c.run_id = u.run_id AND (u.call IS NULL OR c.call = u.call)
    ), abandoned AS (
        DELETE FROM children c USING asked a
        WHERE c.shard = a.shard AND c.run_id = a.run_id AND c.call = a.call AND c.abandon
    )
    UPDATE children c SET released = true FROM asked a
    WHERE c.shard = a.shard AND c.run_id = a.run_id AND c.call = a.call AND NOT c.abandon;
END $$;
