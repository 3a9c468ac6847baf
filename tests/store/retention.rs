//! What is archived, what never is, and what becomes of it.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use sqlx::AssertSqlSafe;
use uuid::Uuid;
use windlass_host::model::{Level, Namespace, RetentionChange, RunId, RunState, Who};
use windlass_host::store::{Archived, Error, Place, RunFilter, Store};

use crate::harness::database::Database;
use crate::harness::ended::{OF_RUNS, ended_runs, make_ripe, sql};

fn namespace(name: &str) -> Namespace {
    Namespace::new(name).expect("a namespace")
}

fn change(json: Value) -> RetentionChange {
    serde_json::from_value(json).expect("a change")
}

/// A database, and a namespace in it that archives what has ended a week ago.
async fn database() -> (Database, Store) {
    let database = Database::new().await;
    let store = database.store().await;
    store
        .put_retention(&namespace("default"), &change(json!({ "archive_after": "7d" })), &Who::Dev)
        .await
        .expect("put");
    (database, store)
}

/// All batches of a pass. How many runs were archived.
async fn pass(store: &Store, name: &str, limit: u32) -> u32 {
    let mut session = store.archivist().await.expect("a session");
    let name = namespace(name);
    let beyond = session.last_kept_run(&name).await.expect("looked");
    let (mut after, mut total): (Option<Place>, u32) = (None, 0);
    loop {
        match session.archive_runs(&name, after, beyond, limit).await.expect("archived") {
            Archived::Busy => panic!("nobody else is there"),
            Archived::Some(count, next) => {
                total += count;
                after = next;
            }
        }
        if after.is_none() {
            session.close().await;
            return total;
        }
    }
}

async fn ids(database: &Database, query: &str) -> BTreeSet<Uuid> {
    let ids = sqlx::query_scalar(AssertSqlSafe(query.to_owned())).fetch_all(&mut database.session().await).await;
    ids.expect(query).into_iter().collect()
}

#[tokio::test]
async fn all_that_is_known_of_a_run_is_in_the_archive_and_nothing_of_it_is_left_elsewhere() {
    let (database, store) = database().await;
    ended_runs(&database, "default", 20).await;
    let run = ids(&database, "SELECT run_id FROM runs").await.into_iter().next().expect("a run");
    let (name, run_id) = (namespace("default"), RunId(run));
    let look = async || {
        let run = store.get_run(&name, run_id).await.expect("read").expect("a run");
        let recorded = store.recorded_run(&name, run_id).await.expect("read").expect("a run");
        let logs = store.logs(&name, run_id, 0, Level::Debug, 10).await.expect("read");
        let update = store.get_update(&name, run_id, "u").await.expect("read").expect("an update");
        // Equal texts, equal values: bytes of payloads are compared where payloads are.
        let texts = [
            format!("{run:?}"),
            format!("{recorded:?}"),
            format!("{:?}", store.history_page(&name, run_id, 1, 10, 1 << 20).await.expect("read")),
            format!("{:?}", store.rewinds(&name, run_id).await.expect("read")),
            format!("{:?}", store.past_events(&name, (run_id, 1), 2, 10, 1 << 20).await.expect("read")),
            format!("{:?}", store.attempts(&name, run_id).await.expect("read")),
            format!("{logs:?}"),
            format!("{:?}", store.published(&name, run_id).await.expect("read")),
            format!("{update:?}"),
        ];
        (texts, run.input, run.result, recorded.input)
    };
    let before = look().await;
    assert_eq!(store.past_events(&name, (run_id, 1), 0, 1, 1 << 20).await.expect("read").1, Some(2));
    assert_eq!(pass(&store, "default", 7).await, 20);
    assert_eq!(look().await, before);
    for table in OF_RUNS {
        assert_eq!(database.count(&format!("SELECT count(*) FROM {table}")).await, 0, "{table}");
    }
    // Another tenant finds nothing of it, here as there.
    let other = namespace("other");
    assert!(store.get_run(&other, run_id).await.expect("read").is_none());
    assert!(store.recorded_run(&other, run_id).await.expect("read").is_none());
    assert!(store.history_page(&other, run_id, 0, 10, 1 << 20).await.expect("read").0.is_empty());
    assert!(store.logs(&other, run_id, 0, Level::Debug, 10).await.expect("read").is_empty());
    assert!(store.archived_state(&other, run_id).await.expect("read").is_none());
    assert_eq!(store.archived_state(&name, run_id).await.expect("read"), Some(RunState::Completed));
    let all = RunFilter::default();
    assert!(store.list_archived_runs(&other, &all, None, 100).await.expect("read").is_empty());
    assert!(store.list_runs(&name, &all, None, 100).await.expect("read").runs.is_empty());
    let listed = store.list_archived_runs(&name, &all, None, 15).await.expect("read");
    let last = listed.last().expect("a page");
    let rest = store.list_archived_runs(&name, &all, Some((last.started_at, last.run_id)), 15).await.expect("read");
    let all: Vec<_> = listed.iter().chain(&rest).collect();
    assert!(all.len() == 20 && all.windows(2).all(|two| two[0].started_at > two[1].started_at), "{all:?}");
}

/// Runs in all states at random, and what must be archived of them, said once more in another language.
#[tokio::test]
async fn no_run_that_goes_on_or_that_somebody_may_ask_for_is_ever_archived() {
    let (database, store) = database().await;
    sql(&database, RANDOM_RUNS).await;
    let due = "SELECT r.run_id FROM runs r LEFT JOIN runs p ON p.run_id = r.parent_run_id
               LEFT JOIN children c ON c.run_id = r.run_id
               WHERE r.state IN (1, 2, 3) AND r.closed_at < now() - interval '7 days'
                 AND (r.idempotency_key IS NULL OR r.started_at < now() - interval '8 days')
                 AND (p.run_id IS NULL OR p.state IN (1, 2, 3) OR p.first_call > r.parent_call) AND c.run_id IS NULL";
    let keep = json!({ "keep_keys": "8d" });
    store.put_retention(&namespace("default"), &change(keep), &Who::Dev).await.expect("put");
    let (due, all) = (ids(&database, due).await, ids(&database, "SELECT run_id FROM runs").await);
    assert!(due.len() > 50 && due.len() < 400, "{}", due.len());
    pass(&store, "default", 64).await;
    let archived = ids(&database, "SELECT run_id FROM archived_runs").await;
    assert_eq!(archived, due);
    let left = ids(&database, "SELECT run_id FROM runs").await;
    assert_eq!(left, all.difference(&due).copied().collect());
    let lost = "SELECT count(*) FROM events e WHERE NOT EXISTS (SELECT FROM runs r WHERE r.run_id = e.run_id)";
    assert_eq!(database.count(lost).await, 0);
}

const RANDOM_RUNS: &str = "
    INSERT INTO runs (shard, run_id, namespace, workflow, component, version, durability, seed, idempotency_key, input, state,
                      result, started_at, closed_at, parent_run_id, parent_call, first_call)
    SELECT shard_of(q.u), q.u, 'default', 'w', 'c', 1, 0, uuid_send(q.u), CASE WHEN random() < 0.3 THEN q.u::text END, '1', q.state,
           CASE WHEN q.state > 0 THEN '2'::bytea END, q.at,
           CASE WHEN q.state BETWEEN 1 AND 3 THEN q.at + random() * interval '4 days' END, NULL, NULL, floor(random() * 3)
    FROM (SELECT gen_random_uuid() AS u, floor(random() * 5)::smallint AS state, now() - random() * interval '14 days' AS at
          FROM generate_series(1, 800)) q;
    UPDATE runs r SET parent_run_id = (SELECT p.run_id FROM runs p WHERE p.run_id <> r.run_id ORDER BY md5(p.run_id::text || r.run_id)
                                       LIMIT 1), parent_call = floor(random() * 3)
    WHERE random() < 0.4;
    INSERT INTO children (shard, run_id, call, child_id, abandon, released)
    SELECT r.shard, r.run_id, 0, gen_random_uuid(), false, random() < 0.5 FROM runs r WHERE random() < 0.1;
    INSERT INTO events (shard, run_id, seq, kind, call, name, input, attempt, failed, outcome, asked_at, at)
    SELECT r.shard, r.run_id, n, 0, n, 's', '1', 1, false, '2', r.started_at, r.started_at FROM runs r CROSS JOIN generate_series(0, 4) AS n;
";

#[tokio::test]
async fn the_newest_runs_stay_as_many_as_are_to_stay() {
    let (database, store) = database().await;
    ended_runs(&database, "default", 50).await;
    let put = json!({ "archive_after": null, "keep_runs": 12 });
    store.put_retention(&namespace("default"), &change(put), &Who::Dev).await.expect("put");
    let newest = ids(&database, "SELECT run_id FROM runs ORDER BY started_at DESC LIMIT 12").await;
    assert_eq!(pass(&store, "default", 10).await, 38);
    assert_eq!(ids(&database, "SELECT run_id FROM runs").await, newest);
    // Whatever has just ended may still be written once more, by a host that has not heard that it was.
    sql(&database, "UPDATE runs SET closed_at = now() - interval '10 s'").await;
    let put = json!({ "keep_runs": 0 });
    store.put_retention(&namespace("default"), &change(put), &Who::Dev).await.expect("put");
    assert_eq!(pass(&store, "default", 10).await, 0);
}

#[tokio::test]
async fn a_long_history_is_archived_in_parts_and_read_from_any_event_on() {
    let (database, store) = database().await;
    ended_runs(&database, "default", 1).await;
    sql(&database, "INSERT INTO events (shard, run_id, seq, kind, call, name, input, attempt, failed, outcome, asked_at, at)
                    SELECT shard, run_id, n, 0, n, 's', convert_to('\"' || repeat('x', 1000) || '\"', 'UTF8'), 1, false, '2', started_at, started_at
                    FROM runs CROSS JOIN generate_series(3, 11999) AS n").await;
    let run = RunId(ids(&database, "SELECT run_id FROM runs").await.into_iter().next().expect("a run"));
    assert_eq!(pass(&store, "default", 500).await, 1);
    let parts = database.count("SELECT count(*) FROM archived_runs").await;
    assert!((3..=5).contains(&parts), "{parts} parts");
    let compressed = "SELECT count(*) FROM archived_runs WHERE pg_column_size(lines) * 5 < octet_length(lines)";
    assert_eq!(database.count(compressed).await, parts);
    let name = namespace("default");
    let (mut first, mut seqs) = (Some(0), Vec::new());
    while let Some(number) = first {
        let (events, next) = store.history_page(&name, run, number, 1_000, 8 << 20).await.expect("read");
        seqs.extend(events.iter().map(|event| event.seq));
        first = next;
    }
    assert_eq!(seqs, (0..12_000).collect::<Vec<_>>());
    let (events, next) = store.history_page(&name, run, 11_990, 1_000, 8 << 20).await.expect("read");
    assert_eq!((events.len(), next), (10, None));
    assert_eq!(store.attempts(&name, run).await.expect("read").len(), 1);
}

#[tokio::test]
async fn what_is_archived_and_dropped_is_counted_as_a_recount_counts_it() {
    let (database, store) = database().await;
    let name = namespace("default");
    ended_runs(&database, "default", 100).await;
    let bytes = async || store.get_namespace(&name).await.expect("read").expect("a namespace").stored_bytes;
    store.recount_storage(&name, &Who::Dev).await.expect("counted");
    assert_eq!(pass(&store, "default", 30).await, 100);
    let archived = bytes().await;
    let stored = "SELECT sum(100 + pg_column_size(lines))::bigint FROM archived_runs";
    assert_eq!(archived, database.count(stored).await);
    assert_eq!(store.recount_storage(&name, &Who::Dev).await.expect("counted"), archived);
    let stats = store.retention_stats(&name).await.expect("counted");
    let shown: Vec<_> =
        stats.iter().map(|age| (&*age.ended, age.runs, age.archived_runs, age.archived_bytes)).collect();
    assert_eq!(
        shown,
        [("last 24 h", 0, 0, 0), ("last 7 d", 0, 0, 0), ("last 30 d", 0, 100, archived), ("older", 0, 0, 0)]
    );
    make_ripe(&database, "default").await;
    let day = store.ripe_archives().await.expect("looked").remove(0).day;
    let mut session = store.archivist().await.expect("a session");
    assert_eq!(session.drop_archive(day, &[]).await.expect("dropped"), Some(100));
    assert_eq!((bytes().await, store.recount_storage(&name, &Who::Dev).await.expect("counted")), (0, 0));
    assert_eq!(database.count("SELECT count(*) FROM archived_runs").await, 0);
}

#[tokio::test]
async fn what_is_archived_goes_when_its_namespace_says_by_now_and_not_when_another_does() {
    let (database, store) = database().await;
    for name in ["default", "other"] {
        ended_runs(&database, name, 10).await;
        store.put_retention(&namespace(name), &change(json!({ "archive_after": "7d" })), &Who::Dev).await.expect("put");
        assert_eq!(pass(&store, name, 100).await, 10);
    }
    let days = "SELECT string_agg(DISTINCT delete_on::text, ' ') FROM archived_runs WHERE namespace = ";
    assert_eq!(database.text(&format!("{days} 'default'")).await.as_deref(), Some("infinity"));
    let put = change(json!({ "delete_after": "30d" }));
    store.put_retention(&namespace("default"), &put, &Who::Dev).await.expect("put");
    let mut session = store.archivist().await.expect("a session");
    let default = namespace("default");
    assert_eq!(session.redate_archive(&default, 6).await.expect("moved"), Some(6));
    assert_eq!(session.redate_archive(&default, 6).await.expect("moved"), Some(4));
    assert_eq!(session.redate_archive(&default, 6).await.expect("moved"), Some(0));
    assert_eq!(store.archiving_namespaces().await.expect("read").iter().filter(|(_, redate)| *redate).count(), 0);
    let wanted = "SELECT (utc_day(now() - interval '10 days' + interval '30 days') + 1)::text";
    let (found, wanted) = (database.text(&format!("{days} 'default'")).await, database.text(wanted).await);
    assert_eq!(found, wanted);
    // Its time is over already: it goes as soon as it can, and is not put off from day to day.
    let put = change(json!({ "delete_after": "8d" }));
    store.put_retention(&default, &put, &Who::Dev).await.expect("put");
    assert_eq!(session.redate_archive(&default, 60).await.expect("moved"), Some(10));
    assert_eq!(session.redate_archive(&default, 60).await.expect("moved"), Some(0));
    make_ripe(&database, "default").await;
    assert_eq!(session.redate_archive(&default, 60).await.expect("moved"), Some(0));
    let day = store.ripe_archives().await.expect("looked").remove(0).day;
    assert_eq!(session.drop_archive(day, &[]).await.expect("dropped"), Some(10));
    assert_eq!(database.count("SELECT count(*) FROM archived_runs WHERE namespace = 'other'").await, 10);
}

#[tokio::test]
async fn a_namespace_is_told_what_it_cannot_have() {
    let (database, store) = database().await;
    let name = namespace("default");
    let put = async |json: Value| store.put_retention(&name, &change(json), &Who::Dev).await;
    for (asked, said) in [
        (json!({ "delete_after": "1d" }), "is no shorter"),
        (json!({ "archive_after": null, "delete_after": "1d" }), "only what is archived is ever deleted"),
    ] {
        let refused = put(asked).await;
        assert!(matches!(&refused, Err(Error::Retention(why)) if why.contains(said)), "{refused:?}");
    }
    assert!(matches!(
        store.put_retention(&namespace("nobody"), &change(json!({ "keep_runs": 1 })), &Who::Dev).await,
        Err(Error::NoSuchNamespace)
    ));
    put(json!({ "delete_after": "7d", "keep_runs": 5, "keep_keys": "36h", "export_archive": true }))
        .await
        .expect("put");
    let kept = store.get_namespace(&name).await.expect("read").expect("a namespace").retention;
    assert_eq!(
        serde_json::to_value(&kept).expect("JSON"),
        json!({ "archive_after": "7days", "keep_runs": 5, "delete_after": "7days", "keep_keys": "1day 12h", "export_archive": true })
    );
    // Two that were accepted, and none of the others.
    let audited = "SELECT count(*) FROM audit_log WHERE what = 'namespace.change' AND details LIKE '%retention%'";
    assert_eq!(database.count(audited).await, 2);
}

#[tokio::test]
async fn an_installation_that_is_dropped_leaves_nothing() {
    let (database, store) = database().await;
    ended_runs(&database, "default", 10).await;
    let put = change(json!({ "delete_after": "30d" }));
    store.put_retention(&namespace("default"), &put, &Who::Dev).await.expect("put");
    assert_eq!(pass(&store, "default", 10).await, 10);
    let name = namespace("default");
    assert_eq!(store.list_runs(&name, &RunFilter::default(), None, 10).await.expect("as a tenant").runs.len(), 0);
    let role = database.text("SELECT tenant_role()").await.expect("a role");
    let lease = format!("SELECT take_lease('{}', 'test', '1h')", Uuid::now_v7());
    sql(&database, &lease).await;
    let refused = Store::drop_installation(&database.url, &database.schema).await.expect_err("a host is at work");
    assert!(refused.to_string().contains("stop them first"), "{refused}");
    sql(&database, "DELETE FROM hosts").await;
    store.close().await;
    let left = Store::drop_installation(&database.url, &database.schema).await.expect("dropped");
    assert_eq!(left, None);
    let schema = &database.schema;
    for (catalog, condition) in [
        ("pg_namespace", format!("nspname = '{schema}'")),
        ("pg_roles", format!("rolname = '{role}'")),
        (
            "pg_class",
            format!(
                "relnamespace::regnamespace::text = '{schema}' OR NOT EXISTS (SELECT FROM pg_namespace n WHERE n.oid = relnamespace)"
            ),
        ),
        (
            "pg_proc",
            format!(
                "pronamespace::regnamespace::text = '{schema}' OR NOT EXISTS (SELECT FROM pg_namespace n WHERE n.oid = pronamespace)"
            ),
        ),
        (
            "pg_type",
            format!(
                "typnamespace::regnamespace::text = '{schema}' OR NOT EXISTS (SELECT FROM pg_namespace n WHERE n.oid = typnamespace)"
            ),
        ),
    ] {
        assert_eq!(database.count(&format!("SELECT count(*) FROM {catalog} WHERE {condition}")).await, 0, "{catalog}");
    }
    let again = Store::drop_installation(&database.url, &database.schema).await.expect_err("it is gone");
    assert!(again.to_string().contains("there is no installation"), "{again}");
}
