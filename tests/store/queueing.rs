//! Priority and slots, transition by transition.

use serde_json::json;
use uuid::Uuid;

use super::sql::{Sql, execute, park};

impl Sql {
    /// A run of this priority that is ready.
    async fn start_urgent(&mut self, priority: u8) -> Uuid {
        let run = Uuid::now_v7();
        let start = format!(
            "SELECT outcome FROM start_runs(NULL, NULL, '{{default}}', '{{{run}}}', '{{w}}', '{{0}}',
             ARRAY['\\x00000000000000000000000000000000'::bytea], '{{NULL}}', ARRAY['null'::bytea], '{{NULL}}',
             p_priorities => '{{{priority}}}')"
        );
        assert_eq!(self.value(&start).await["outcome"], 0);
        run
    }

    /// Where a run stands, and its priority there.
    async fn place(&mut self, run: Uuid) -> (String, i64) {
        let place = |table: &str| format!("SELECT '{table}' AS place, priority FROM {table} WHERE run_id = '{run}'");
        let places = ["ready", "owned", "parked", "paused", "queued"].map(place).join(" UNION ALL ");
        let found = self.value(&places).await;
        (found["place"].as_str().expect("a place").to_owned(), found["priority"].as_i64().expect("a number"))
    }

    async fn claim_one(&mut self) -> String {
        let claim = format!("SELECT run_id FROM claim('{}', 1, 0::smallint, 1)", self.host);
        self.value(&claim).await["run_id"].as_str().expect("an id").to_owned()
    }

    async fn close(&mut self, run: Uuid, state: u8) {
        let close = format!(
            "SELECT count(*) FROM commit_batch('{}', 1, c_runs => '{{{run}}}', c_states => '{{{state}}}',
             c_results => ARRAY['null'::bytea], c_ats => '{{now}}')",
            self.host
        );
        self.run(&close).await;
    }
}

#[tokio::test]
async fn a_priority_stays_with_a_run_whatever_becomes_of_it() {
    let mut sql = Sql::new().await;
    let run = sql.start_urgent(2).await;
    let is_at = |place: &str| (place.to_owned(), 2);
    assert_eq!(sql.place(run).await, is_at("ready"));
    sql.claim_one().await;
    assert_eq!(sql.place(run).await, is_at("owned"));
    let parks = sql.commit(1, "", &park(run));
    sql.run(&parks).await;
    assert_eq!(sql.place(run).await, is_at("parked"));
    sql.run(&format!("SELECT send_signal('default', '{run}', 'go', '1', NULL, 10)")).await;
    assert_eq!(sql.place(run).await, is_at("ready"));
    sql.claim_one().await;
    sql.run(&format!("SELECT pause_run('default', '{run}', 'dev')")).await;
    sql.run(&parks).await;
    assert_eq!(sql.place(run).await, is_at("paused"));
    sql.run(&format!("SELECT resume_run('default', '{run}', 'dev')")).await;
    assert_eq!(sql.place(run).await, is_at("ready"));
    sql.claim_one().await;
    sql.run("DELETE FROM inbox").await;
    sql.run(&parks.replace("'{NULL}'", "'{2026-01-01}'")).await;
    sql.run("SELECT fire_timers(10)").await;
    assert_eq!(sql.place(run).await, is_at("ready"));
    sql.claim_one().await;
    sql.run("UPDATE hosts SET lease_until = now() - interval '1s', renewed_at = now() - interval '1s'").await;
    sql.run(&format!("SELECT reap('{}', '1s', '1s')", Uuid::nil())).await;
    assert_eq!(sql.place(run).await, is_at("ready"));
}

#[tokio::test]
async fn a_claim_takes_what_is_most_urgent_of_all_shards_and_reads_no_more_than_it_takes_however_many_wait() {
    let mut sql = Sql::new().await;
    sql.run(
        "WITH new AS (INSERT INTO runs (shard, run_id, namespace, workflow, component, version, durability, seed, input, priority)
                      SELECT shard_of(u.id), u.id, 'default', 'w', 'c', 1, 0, uuid_send(u.id), '1', 3 + n % 3
                      FROM (SELECT gen_random_uuid() AS id, n FROM generate_series(1, 6000) n) u
                      RETURNING shard, run_id, priority)
         INSERT INTO ready (shard, namespace, priority, run_id, strikes) SELECT shard, 'default', priority, run_id, 0 FROM new",
    )
    .await;
    sql.run("ANALYZE ready").await;
    let mut urgent = Vec::new();
    for _ in 0..20 {
        urgent.push(sql.start_urgent(1).await.to_string());
    }
    let mut claimed = Vec::new();
    for _ in 0..20 {
        claimed.push(sql.claim_one().await);
    }
    urgent.sort();
    claimed.sort();
    assert_eq!(claimed, urgent);
    sql.run("BEGIN").await;
    sql.run(&format!("SELECT count(*) FROM claim('{}', 1, 5::smallint, 10)", sql.host)).await;
    let read = "SELECT seq_scan, seq_tup_read, idx_tup_fetch FROM pg_stat_xact_user_tables
                WHERE relid = 'ready'::regclass";
    let read = sql.value(read).await;
    assert_eq!((&read["seq_scan"], &read["seq_tup_read"]), (&json!(0), &json!(0)), "{read}");
    // The first of each shard, each priority of one shard, and what is taken, twice; and what was taken before and is not vacuumed yet.
    assert!(read["idx_tup_fetch"].as_i64().is_some_and(|rows| rows < 2_000), "{read}");
    sql.run("COMMIT").await;
}

#[tokio::test]
async fn whoever_is_quarantined_gives_its_slot_back_and_waits_for_another_when_it_is_retried() {
    let mut sql = Sql::new().await;
    sql.run("SELECT set_concurrency('default', 'w', 1, NULL, 'dev')").await;
    let (first, second) = (sql.start_urgent(3).await, sql.start_urgent(3).await);
    let urgent = sql.start_urgent(1).await;
    assert_eq!((sql.place(first).await.0, sql.place(second).await.0), ("ready".to_owned(), "queued".to_owned()));
    assert_eq!(sql.claim_one().await, first.to_string());
    sql.close(first, 4).await;
    // The most urgent goes on, and not who is oldest.
    assert_eq!((sql.place(urgent).await.0, sql.place(second).await.0), ("ready".to_owned(), "queued".to_owned()));
    sql.run(&format!("SELECT retry_run('default', '{first}', 'dev')")).await;
    assert_eq!(sql.place(first).await.0, "queued");
    assert_eq!(sql.claim_one().await, urgent.to_string());
    sql.close(urgent, 1).await;
    for run in [second, first] {
        assert_eq!(sql.claim_one().await, run.to_string());
        sql.close(run, 1).await;
    }
    assert_eq!(
        sql.value("SELECT taken, (SELECT count(*) FROM slots) AS slots FROM gates").await,
        json!({ "taken": 0, "slots": 0 })
    );
}

#[tokio::test]
async fn a_host_that_went_ahead_with_a_run_is_refused_when_its_workflow_was_limited_meanwhile() {
    let mut sql = Sql::new().await;
    let run = Uuid::now_v7();
    let accept = format!(
        "SELECT verdict FROM commit_batch('{}', 1, r_runs => '{{{run}}}', r_namespaces => '{{default}}', r_workflows => '{{w}}',
         r_components => '{{c}}', r_versions => '{{1}}', r_durabilities => '{{0}}', r_seeds => ARRAY[uuid_send('{run}')],
         r_inputs => ARRAY['null'::bytea], r_started_ats => '{{now}}', r_states => '{{0}}')",
        sql.host
    );
    sql.run("SELECT set_concurrency('default', 'w', 5, NULL, 'dev')").await;
    assert_eq!(sql.value(&accept).await, json!({ "verdict": 5 }));
    sql.run("SELECT set_concurrency('default', 'w', NULL, NULL, 'dev')").await;
    execute(&mut sql.session, &accept).await.expect("accepted");
    assert_eq!(sql.place(run).await.0, "owned");
    // Sent again, it is the same: it was accepted before there was a limit.
    sql.run("SELECT set_concurrency('default', 'w', 5, NULL, 'dev')").await;
    execute(&mut sql.session, &accept).await.expect("accepted");
    assert_eq!(sql.database.count("SELECT count(*) FROM owned").await, 1);
}

#[tokio::test]
async fn attempts_have_their_turns_by_the_rate_and_as_many_at_once_as_may_be() {
    let mut sql = Sql::new().await;
    let turns = |count: u32| {
        format!(
            "SELECT round(extract(epoch FROM first_at - clock_timestamp()))::integer AS wait,
                    extract(epoch FROM spacing)::integer AS spacing FROM reserve_attempts('default', 's', {count})"
        )
    };
    assert_eq!(sql.database.count(&format!("SELECT count(*) FROM ({}) q", turns(1))).await, 0, "it has no limit");
    sql.run("SELECT set_rate_limit('default', 's', 0.1, 3, 1, 'dev')").await;
    assert_eq!(sql.value("SELECT set_rate_limit('default', 't', 1, 1, 1, 'dev') AS is_set").await["is_set"], false);
    // Two of three that may be at once, then two of which one has to wait; and one after the other.
    assert_eq!(sql.value(&turns(2)).await, json!({ "wait": -20, "spacing": 10 }));
    assert_eq!(sql.value(&turns(2)).await["wait"], json!(0));
    assert_eq!(sql.value(&turns(5)).await["wait"], json!(20));
    assert_eq!(sql.value(&turns(1)).await["wait"], json!(70));
    // What was given stays given; who comes later does not wait for what the limit was before.
    sql.run("SELECT set_rate_limit('default', 's', 1, 1, 1, 'dev')").await;
    assert_eq!(sql.value(&turns(1)).await, json!({ "wait": 0, "spacing": 1 }));
}
