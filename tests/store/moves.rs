//! A run that is moved to another version in the moment in which a host takes it up: it is taken up on the version that it is on.

use std::time::Duration;

use sqlx::{AssertSqlSafe, PgConnection};
use uuid::Uuid;

use super::sql::{Sql, execute, park};
use crate::harness::eventually;

/// A run of version 1, which is ready, or parked until a time that has come.
async fn run_of_two_versions(is_parked: bool) -> (Sql, Uuid) {
    let mut sql = Sql::new().await;
    let second = "INSERT INTO versions (namespace, component, version, digest, manifest) VALUES ('default', 'c', 2, '\\x01', '{}')";
    sql.run(second).await;
    let run = sql.start(is_parked).await;
    if is_parked {
        let parks = sql.commit(1, "", &park(run));
        sql.run(&parks).await;
        sql.run("UPDATE parked SET wake_at = clock_timestamp()").await;
    }
    (sql, run)
}

fn moves(run: Uuid) -> String {
    format!("SELECT migrate_run('default', '{run}', 1, 2, 0, 0, 'dev')")
}

/// The version on which a host takes the run up, if it does: once with its timers fired.
async fn taken_up(session: &mut PgConnection, host: Uuid) -> Option<i32> {
    execute(session, "SELECT fire_timers(10)").await.expect("fired");
    let claim = format!("SELECT version FROM claim('{host}', 1, 0::smallint, 10)");
    sqlx::query_scalar(AssertSqlSafe(claim)).fetch_optional(session).await.expect("claimed")
}

#[tokio::test]
async fn a_run_that_is_just_moved_is_left_alone_and_then_taken_up_on_its_new_version() {
    for is_parked in [false, true] {
        let (sql, run) = run_of_two_versions(is_parked).await;
        let (mut mover, mut taker) = (sql.database.session().await, sql.database.session().await);
        execute(&mut mover, "BEGIN").await.expect("begun");
        execute(&mut mover, &moves(run)).await.expect("moved");
        assert_eq!(taken_up(&mut taker, sql.host).await, None, "parked: {is_parked}");
        execute(&mut mover, "COMMIT").await.expect("committed");
        assert_eq!(taken_up(&mut taker, sql.host).await, Some(2), "parked: {is_parked}");
    }
}

#[tokio::test]
async fn a_run_that_is_just_taken_up_is_not_moved_and_one_that_was_given_back_is() {
    for (end, is_moved) in [("COMMIT", false), ("ROLLBACK", true)] {
        let (sql, run) = run_of_two_versions(false).await;
        let (mut mover, mut taker) = (sql.database.session().await, sql.database.session().await);
        execute(&mut taker, "BEGIN").await.expect("begun");
        assert_eq!(taken_up(&mut taker, sql.host).await, Some(1));
        let moving = tokio::spawn(async move { execute(&mut mover, &moves(run)).await });
        eventually("it waits for whoever takes the run up", async || {
            let waiting =
                "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%migrate_run%' AND wait_event_type = 'Lock'";
            (sql.database.count(waiting).await > 0).then_some(())
        })
        .await;
        execute(&mut taker, end).await.expect("ended");
        let moved = tokio::time::timeout(Duration::from_secs(5), moving).await.expect("in time").expect("no panic");
        let refused = moved.err().map(|error| error.to_string()).unwrap_or_default();
        assert_eq!(refused.contains("is running"), !is_moved, "{end}: {refused}");
        let version = sql.database.count(&format!("SELECT version::bigint FROM runs WHERE run_id = '{run}'")).await;
        assert_eq!(version, if is_moved { 2 } else { 1 }, "{end}");
    }
}
