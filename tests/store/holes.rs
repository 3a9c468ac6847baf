//! What the tried schema left open, closed: each hole with the interleaving that would fall into it.

use serde_json::json;
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use super::sql::{Sql, event, execute, park};
use crate::harness::eventually;

fn code(error: &sqlx::Error) -> String {
    error.as_database_error().and_then(|error| error.code()).unwrap_or_default().into_owned()
}

/// (a) The wake-up of a run that is owned is not dropped: whichever of the two comes first, the other sees it.
#[tokio::test]
async fn a_signal_between_the_last_look_and_the_park_keeps_the_run() {
    let mut sql = Sql::new().await;
    // The signal is first: the park is refused.
    let run = sql.start(true).await;
    sql.run(&format!("SELECT send_signal('default', '{run}', 'go', '1', NULL, 10)")).await;
    let commit = sql.commit(1, "", &park(run));
    assert_eq!(sql.value(&commit).await, json!({ "run_id": run, "verdict": 2 }));
    assert_eq!(sql.database.count("SELECT count(*) FROM owned").await, 1);
    // The park is first, and not yet committed: the signal waits for it, and wakes the run.
    let run = sql.start(true).await;
    let commit = sql.commit(1, "", &park(run));
    sql.run("BEGIN").await;
    sql.run(&commit).await;
    let mut sender = sql.database.session().await;
    let signal = format!("SELECT send_signal('default', '{run}', 'go', '1', NULL, 10)");
    let sending = tokio::spawn(async move { execute(&mut sender, &signal).await });
    sql.database.somebody_waits_for(&mut sql.session).await;
    sql.run("COMMIT").await;
    sending.await.expect("no panic").expect("sent");
    let ready = format!("SELECT count(*) FROM ready WHERE run_id = '{run}'");
    assert_eq!(sql.database.count(&ready).await, 1);
    assert_eq!(sql.database.count("SELECT count(*) FROM parked").await, 0);
    // A signal that is under way when the run parks: the park waits, and sees it.
    let run = sql.start(true).await;
    let mut sender = sql.database.session().await;
    execute(&mut sender, "BEGIN").await.expect("begun");
    execute(&mut sender, &format!("SELECT send_signal('default', '{run}', 'go', '1', NULL, 10)")).await.expect("sent");
    let commit = sql.commit(1, "", &park(run));
    let mut parker = sql.database.session().await;
    let parking = tokio::spawn(async move {
        let verdict: i16 = sqlx::query_scalar(AssertSqlSafe(commit.replacen('*', "verdict", 1)))
            .fetch_one(&mut parker)
            .await
            .expect("a verdict");
        verdict
    });
    sql.database.somebody_waits_for(&mut sender).await;
    execute(&mut sender, "COMMIT").await.expect("committed");
    assert_eq!(parking.await.expect("no panic"), 2);
}

/// (b) After the answer to a commit was lost, the same commit again changes nothing; another writer's event refuses all.
#[tokio::test]
async fn a_commit_that_is_sent_again_changes_nothing_and_another_s_event_refuses_the_whole() {
    let mut sql = Sql::new().await;
    let run = sql.start(true).await;
    let commit = sql.commit(1, &event(run, 0, "1"), &park(run));
    sql.run(&commit).await;
    let first = sql.value("SELECT * FROM events").await;
    // Parked by the first; the second finds the run gone, and says so.
    assert_eq!(sql.value(&commit).await, json!({ "run_id": run, "verdict": 1 }));
    assert_eq!(sql.value("SELECT * FROM events").await, first);
    assert_eq!(sql.database.count("SELECT count(*) FROM parked").await, 1);
    let other = sql.start(true).await;
    let both = event(run, 0, "2").replacen(&format!("{run}"), &format!("{other},{run}"), 1);
    let both = both
        .replace("'{0}'", "'{0,0}'")
        .replace("'{s}'", "'{s,s}'")
        .replace("'{1}'", "'{1,1}'")
        .replace("'{f}'", "'{f,f}'");
    let both = both
        .replace("ARRAY['1'::bytea]", "ARRAY['1','1']::bytea[]")
        .replace("ARRAY['2'::bytea]", "ARRAY['2','2']::bytea[]");
    let both = both
        .replace("'{2026-01-01}'", "'{2026-01-01,2026-01-01}'")
        .replace("'{2026-01-02}'", "'{2026-01-02,2026-01-02}'");
    let both = both.replace("'{NULL}'", "'{NULL,NULL}'");
    let commit = sql.commit(1, &both, "");
    let error = execute(&mut sql.session, &commit).await.expect_err("refused");
    assert_eq!(code(&error), "WL002");
    assert!(error.to_string().contains(&run.to_string()), "{error}");
    assert_eq!(sql.database.count(&format!("SELECT count(*) FROM events WHERE run_id = '{other}'")).await, 0);
}

/// (c) Uniqueness of idempotency keys holds within a shard because the run's id follows from the key: see
/// `many_starts_at_once_under_one_key_are_one_run`. Here: a start that meets one that is not yet committed.
#[tokio::test]
async fn a_start_that_meets_the_same_start_waits_for_it_and_asks_again() {
    let mut sql = Sql::new().await;
    let run = Uuid::now_v7();
    let start = format!(
        "SELECT outcome FROM start_runs(NULL, NULL, '{{default}}', '{{{run}}}', '{{w}}', '{{0}}',
         ARRAY['\\x00000000000000000000000000000000'::bytea], '{{k}}', ARRAY['null'::bytea], '{{NULL}}')"
    );
    sql.run("BEGIN").await;
    sql.run(&start).await;
    let mut second = sql.database.session().await;
    let again = start.clone();
    let starting = tokio::spawn(async move {
        let outcome: i16 = sqlx::query_scalar(AssertSqlSafe(again)).fetch_one(&mut second).await.expect("an outcome");
        outcome
    });
    sql.database.somebody_waits_for(&mut sql.session).await;
    sql.run("COMMIT").await;
    assert_eq!(starting.await.expect("no panic"), 4);
    assert_eq!(sql.value(&start).await["outcome"], 1);
    assert_eq!(sql.database.count("SELECT count(*) FROM ready").await, 1);
}

/// (d) Ids are not committed in the order in which they are given out: a claim misses none of them for good.
#[tokio::test]
async fn a_run_that_became_ready_late_with_an_early_number_is_claimed() {
    let mut sql = Sql::new().await;
    let mut slow = sql.database.session().await;
    execute(&mut slow, "BEGIN").await.expect("begun");
    let early = Uuid::now_v7();
    let start = format!(
        "SELECT * FROM start_runs(NULL, NULL, '{{default}}', '{{{early}}}', '{{w}}', '{{0}}',
         ARRAY['\\x00000000000000000000000000000000'::bytea], '{{NULL}}', ARRAY['null'::bytea], '{{NULL}}')"
    );
    execute(&mut slow, &start).await.expect("started");
    let late = sql.start(false).await;
    let claim = format!("SELECT run_id FROM claim('{}', 1, 0::smallint, 10)", sql.host);
    assert_eq!(sql.value(&claim).await, json!({ "run_id": late }));
    execute(&mut slow, "COMMIT").await.expect("committed");
    assert_eq!(sql.value(&claim).await, json!({ "run_id": early }));
}

/// (e) A transaction that hangs does not shield a dead host: the reaper waits for it, not without end, and tries again.
#[tokio::test]
async fn a_transaction_that_hangs_does_not_shield_a_dead_host() {
    let mut sql = Sql::new().await;
    let run = sql.start(true).await;
    sql.run("UPDATE hosts SET lease_until = now() - interval '1s', renewed_at = now() - interval '1s'").await;
    let mut hanging = sql.database.session().await;
    execute(&mut hanging, "BEGIN").await.expect("begun");
    execute(&mut hanging, &sql.commit(1, &event(run, 0, "1"), "")).await.expect("written");
    let reap = format!("SELECT hosts_reaped, runs_freed FROM reap('{}', '1s', '200ms')", Uuid::nil());
    let error = execute(&mut sql.session, &reap).await.expect_err("the row is held");
    assert_eq!(code(&error), "55P03");
    execute(&mut hanging, "COMMIT").await.expect("committed");
    // What it wrote counts; what it writes from now on is refused.
    assert_eq!(sql.value(&reap).await, json!({ "hosts_reaped": 1, "runs_freed": 1 }));
    let late = sql.commit(1, &event(run, 1, "1"), "");
    let error = execute(&mut hanging, &late).await.expect_err("fenced");
    assert_eq!(code(&error), "WL001");
    assert_eq!(sql.database.count("SELECT count(*) FROM events").await, 1);
    assert_eq!(sql.database.count("SELECT count(*) FROM ready").await, 1);
}

#[tokio::test]
async fn a_write_that_began_after_the_reaper_is_refused() {
    let mut sql = Sql::new().await;
    let run = sql.start(true).await;
    sql.run("UPDATE hosts SET lease_until = now() - interval '1s'").await;
    sql.run("BEGIN").await;
    sql.run(&format!("SELECT reap('{}', '1s', '1s')", Uuid::nil())).await;
    let mut writer = sql.database.session().await;
    let commit = sql.commit(1, &event(run, 0, "1"), "");
    let writing = tokio::spawn(async move { execute(&mut writer, &commit).await });
    sql.database.somebody_waits_for(&mut sql.session).await;
    sql.run("COMMIT").await;
    let error = writing.await.expect("no panic").expect_err("fenced");
    assert_eq!(code(&error), "WL001");
}

#[tokio::test]
async fn the_same_lease_is_not_reaped_while_its_session_lives() {
    let mut sql = Sql::new().await;
    let (host, database) = (sql.host, sql.database.clone());
    let mut session = database.session().await;
    execute(&mut session, &format!("SELECT pg_advisory_lock(host_lock_key('{host}'))")).await.expect("locked");
    sql.run("UPDATE hosts SET renewed_at = now() - interval '5s'").await;
    let reap = format!("SELECT hosts_reaped FROM reap('{}', '1s', '1s')", Uuid::nil());
    assert_eq!(sql.value(&reap).await["hosts_reaped"], 0);
    // The session ends with the host, and the lease still had an hour.
    drop(session);
    let reaped = async || (sql.value(&reap).await["hosts_reaped"] == 1).then_some(());
    eventually("the host is reaped when its session is gone", reaped).await;
}

/// A run that the host went ahead with, and that is over: one event, written with it.
fn whole(sql: &Sql, run: Uuid, seed: u8, version: u32) -> String {
    let start = format!(
        "r_runs => '{{{run}}}', r_namespaces => '{{default}}', r_workflows => '{{w}}', r_components => '{{c}}',
         r_versions => '{{{version}}}', r_durabilities => '{{0}}', r_seeds => ARRAY['\\x{seeds}'::bytea], r_keys => '{{NULL}}',
         r_inputs => ARRAY['1'::bytea], r_started_ats => '{{2026-01-01}}', r_deadline_ats => '{{NULL}}', r_states => '{{1}}',
         r_results => ARRAY['1'::bytea], r_closed_ats => '{{2026-01-03}}', {event}",
        seeds = format!("{seed:02x}").repeat(16),
        event = event(run, 0, "1"),
    );
    sql.commit(1, &start, "")
}

#[tokio::test]
async fn a_run_that_is_accepted_again_after_a_lost_answer_is_the_same_and_another_s_is_refused_whole() {
    let mut sql = Sql::new().await;
    let run = Uuid::now_v7();
    let (first, other, stale) = (whole(&sql, run, 1, 1), whole(&sql, run, 2, 1), whole(&sql, Uuid::now_v7(), 3, 7));
    sql.run(&first).await;
    let written = sql.value("SELECT r.*, r.xmin::text AS by FROM runs r").await;
    sql.run(&first).await;
    assert_eq!(sql.value("SELECT r.*, r.xmin::text AS by FROM runs r").await, written);
    // Another start of the same run, and a version that is not the newest: nothing of either is written.
    for refused in [other, stale] {
        assert_eq!(sql.value(&refused).await["verdict"], 5);
    }
    assert_eq!(sql.database.count("SELECT count(*) FROM runs").await, 1);
    assert_eq!(sql.database.count("SELECT count(*) FROM events").await, 1);
    assert_eq!(sql.database.count("SELECT count(*) FROM owned").await, 0);
}

/// A host that knows all that it has written about a run does not know that somebody has asked the run to stop.
#[tokio::test]
async fn the_end_of_a_run_that_somebody_has_asked_to_stop_says_so() {
    let mut sql = Sql::new().await;
    for (is_asked, said) in [(false, None), (true, Some(0))] {
        let run = sql.start(true).await;
        if is_asked {
            sql.run(&format!("SELECT request_cancel('default', '{run}')")).await;
        }
        let end = format!(
            "c_runs => '{{{run}}}', c_states => '{{1}}', c_results => ARRAY['7'::bytea], c_ats => '{{2026-01-02}}'"
        );
        let commit = sql.commit(1, "", &end).replacen('*', "verdict", 1);
        let verdict: Option<i16> =
            sqlx::query_scalar(AssertSqlSafe(commit)).fetch_optional(&mut sql.session).await.expect("committed");
        assert_eq!(verdict, said, "{is_asked}");
    }
}
