//! Runs that have ended long ago, put where they would be.

use sqlx::AssertSqlSafe;

use super::database::Database;

/// Do this behind the hosts' backs.
pub async fn sql(database: &Database, statement: &str) {
    sqlx::raw_sql(AssertSqlSafe(statement.to_owned()))
        .execute(&mut database.session().await)
        .await
        .unwrap_or_else(|error| panic!("{statement}: {error}"));
}

/// Runs of a namespace that completed ten days ago, each with something in every table that a run can leave something in.
pub async fn ended_runs(database: &Database, namespace: &str, count: u32) {
    let statement = format!(
        "INSERT INTO namespaces (namespace) VALUES ('{namespace}') ON CONFLICT DO NOTHING;
         CREATE TEMPORARY TABLE new_runs AS
             SELECT shard_of(u) AS shard, u AS run_id, now() - interval '10 days' + n * interval '1 s' AS at
             FROM (SELECT n, gen_random_uuid() AS u FROM generate_series(1, {count}) AS n) q;
         INSERT INTO runs (shard, run_id, namespace, workflow, component, version, durability, seed, input, state, result,
                           started_at, closed_at)
         SELECT shard, run_id, '{namespace}', 'w', 'c', 1, 0, uuid_send(run_id), convert_to('\"' || run_id || '\"', 'UTF8'), 1,
                '\"done\"', at, at + interval '1 minute' FROM new_runs;
         INSERT INTO events (shard, run_id, seq, kind, call, name, input, attempt, failed, outcome, asked_at, at)
         SELECT shard, run_id, n, 0, n, 's', '1', 1, false, '2', at, at FROM new_runs CROSS JOIN generate_series(0, 2) AS n;
         INSERT INTO attempts (shard, run_id, call, attempt, failure, started_at, ended_at)
         SELECT shard, run_id, 0, 1, '{{\"code\":\"x\",\"message\":\"y\",\"retryable\":true}}', at, at FROM new_runs;
         INSERT INTO logs (shard, run_id, source, attempt, number, level, message)
         SELECT shard, run_id, -1, 0, 0, 1, 'a \"line\"' FROM new_runs;
         INSERT INTO published (shard, run_id, key, value) SELECT shard, run_id, 'k', '7' FROM new_runs;
         INSERT INTO updates (shard, run_id, update_id, name, payload, inbox_id, call, failed, answer, answered_at)
         SELECT shard, run_id, 'u', 'add', '1', 1, 5, false, '3', at FROM new_runs;
         INSERT INTO rewinds (shard, run_id, rewind, before_seq, state, result, who, at)
         SELECT shard, run_id, 1, 1, 2, '{{\"code\":\"x\",\"message\":\"y\",\"retryable\":false}}', 'dev', at FROM new_runs;
         INSERT INTO past_events (shard, run_id, rewind, seq, kind, call, name, input, attempt, failed, outcome, asked_at, at)
         SELECT shard, run_id, 1, n, 0, n, 's', '1', 1, false, '4', at, at FROM new_runs CROSS JOIN generate_series(1, 2) AS n;
         INSERT INTO signal_ids (shard, run_id, signal_id) SELECT shard, run_id, 'i' FROM new_runs;"
    );
    sql(database, &statement).await;
}

/// What is archived of a namespace is to be deleted since yesterday.
pub async fn make_ripe(database: &Database, namespace: &str) {
    let statement = format!(
        "SELECT make_archive(utc_day(now()) - 1);
         UPDATE archived_runs SET delete_on = utc_day(now()) - 1 WHERE namespace = '{namespace}';"
    );
    sql(database, &statement).await;
}

/// Rows that are left of runs of a namespace where hosts work.
pub const OF_RUNS: [&str; 10] =
    ["runs", "events", "rewinds", "past_events", "attempts", "logs", "published", "updates", "signal_ids", "inbox"];
