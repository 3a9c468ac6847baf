//! Tags that a host writes, statement by statement.

use serde_json::{Value, json};
use uuid::Uuid;

use super::sql::Sql;

/// A host of its own that has taken up a run, which is tagged already.
async fn tagged_run() -> (Sql, Uuid) {
    let mut sql = Sql::new().await;
    let (run, host) = (Uuid::now_v7(), sql.host);
    sql.run(&start(run, &format!("'{host}', 1"))).await;
    (sql, run)
}

fn start(run: Uuid, host: &str) -> String {
    format!(
        "SELECT * FROM start_runs({host}, '{{default}}', '{{{run}}}', '{{w}}', '{{0}}',
         ARRAY['\\x00000000000000000000000000000000'::bytea], '{{NULL}}', ARRAY['null'::bytea], '{{NULL}}', ARRAY['env=test,stage=new'])"
    )
}

/// The host says what tags the run has.
fn set(sql: &Sql, run: Uuid, tags: &str) -> String {
    sql.commit(1, &format!("t_runs => '{{{run}}}', t_tags => ARRAY['{tags}']"), "")
}

/// What the row says, and what the run is found by.
async fn tags(sql: &mut Sql) -> (Value, Value) {
    let found = "SELECT r.tags, (SELECT array_agg(t.tag ORDER BY t.tag) FROM run_tags t
                                 WHERE (t.namespace, t.started_at, t.run_id, t.shard) = (r.namespace, r.started_at, r.run_id, r.shard))
                        AS found_by, (SELECT count(*) FROM run_tags) AS all_rows FROM runs r";
    let tags = sql.value(found).await;
    assert_eq!(tags["all_rows"], json!(tags["found_by"].as_array().map_or(0, Vec::len)));
    (tags["tags"].clone(), tags["found_by"].clone())
}

fn both(tags: Value) -> (Value, Value) {
    (tags.clone(), tags)
}

#[tokio::test]
async fn a_run_has_the_tags_that_were_set_last_and_is_found_by_no_others() {
    let (mut sql, run) = tagged_run().await;
    assert_eq!(tags(&mut sql).await, both(json!(["env=test", "stage=new"])));
    let first = set(&sql, run, "customer=acme,env=test,stage=paid");
    // The second time, its answer was lost.
    for _ in 0..2 {
        sql.run(&first).await;
        assert_eq!(tags(&mut sql).await, both(json!(["customer=acme", "env=test", "stage=paid"])));
    }
    let last = set(&sql, run, "env=live,stage=paid");
    sql.run(&last).await;
    assert_eq!(tags(&mut sql).await, both(json!(["env=live", "stage=paid"])));
}

#[tokio::test]
async fn a_start_that_is_asked_for_again_changes_no_tags() {
    let (mut sql, run) = tagged_run().await;
    let set = set(&sql, run, "stage=paid");
    sql.run(&set).await;
    sql.run(&start(run, "NULL, NULL")).await;
    assert_eq!(tags(&mut sql).await, both(json!(["stage=paid"])));
}

#[tokio::test]
async fn a_host_sets_no_tags_of_a_run_that_another_is_at() {
    let (mut sql, run) = tagged_run().await;
    sql.run(&format!("UPDATE owned SET host_id = '{}' WHERE run_id = '{run}'", Uuid::now_v7())).await;
    let set = set(&sql, run, "stage=paid");
    sql.run(&set).await;
    assert_eq!(tags(&mut sql).await, both(json!(["env=test", "stage=new"])));
}
