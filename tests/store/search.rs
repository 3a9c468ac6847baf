//! Finding runs among some thousand: every condition against a plain look at each run, the cursor, counts, and the plans.

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use uuid::Uuid;
use windlass_host::model::{Name, Namespace, RunId, RunState, Timestamp};
use windlass_host::store::{RunFilter, Store};

use crate::harness::database::Database;

/// Runs of `default` and of `other`, as they are after 90 days.
const RUNS: u32 = 6_000;

async fn filled() -> (Database, Store, Namespace) {
    let database = Database::new().await;
    let store = database.store().await;
    let mut session = database.session().await;
    let set = format!("SET scale.runs = {RUNS}");
    sqlx::query(AssertSqlSafe(set)).execute(&mut session).await.expect("set");
    sqlx::raw_sql(include_str!("../scale/million.sql")).execute(&mut session).await.expect("filled");
    (database, store, Namespace::new("default").expect("a namespace"))
}

/// All that a filter finds, page by page; and how often a page ended because it took too long.
async fn all(store: &Store, namespace: &Namespace, filter: &RunFilter, limit: u32) -> (Vec<RunId>, u32) {
    let (mut runs, mut after, mut stops) = (Vec::new(), None, 0);
    loop {
        let found = store.list_runs(namespace, filter, after, limit).await.expect("a page");
        let last = found.runs.last().map(|run| (run.started_at, run.run_id));
        let is_full = found.runs.len() == limit as usize;
        runs.extend(found.runs.iter().map(|run| run.run_id));
        stops += u32::from(found.stopped_at.is_some());
        after = match found.stopped_at.or(last.filter(|_| is_full)) {
            None => return (runs, stops),
            after => after,
        };
    }
}

/// The same, by a look at each run.
async fn looked_at(session: &mut PgConnection, condition: &str) -> Vec<RunId> {
    let query = format!(
        "SELECT r.run_id FROM runs r LEFT JOIN owned o USING (shard, run_id) LEFT JOIN parked p USING (shard, run_id) \
         WHERE r.namespace = 'default' AND {condition} ORDER BY r.started_at DESC, r.run_id DESC"
    );
    let ids: Vec<Uuid> = sqlx::query_scalar(AssertSqlSafe(query)).fetch_all(session).await.expect("runs");
    ids.into_iter().map(RunId).collect()
}

fn name(text: &str) -> Option<Name> {
    Some(Name::new(text).expect("a name"))
}

fn days_ago(days: u64) -> Timestamp {
    let now = Timestamp::from(Utc::now());
    Timestamp::default().after(now.since(Timestamp::default()) - Duration::from_secs(days * 86_400))
}

/// Filters, each with what it means.
async fn filters(session: &mut PgConnection) -> Vec<(RunFilter, String)> {
    let parent: Uuid =
        sqlx::query_scalar("SELECT parent_run_id FROM runs WHERE parent_run_id IS NOT NULL ORDER BY run_id LIMIT 1")
            .fetch_one(session)
            .await
            .expect("a parent");
    let of = RunFilter::default;
    let tags = |tags: &[&str]| tags.iter().map(|tag| tag.parse().expect("a tag")).collect::<Vec<_>>();
    let (old, new) = (days_ago(60), days_ago(30));
    let time = |time: Timestamp| format!("'{}'", DateTime::<Utc>::from(time).to_rfc3339());
    let mut filters = vec![
        (of(), "true".to_owned()),
        (RunFilter { workflow: name("order"), ..of() }, "workflow = 'order'".to_owned()),
        (RunFilter { workflow: name("legacy"), ..of() }, "workflow = 'legacy'".to_owned()),
        (RunFilter { workflow: name("none"), ..of() }, "false".to_owned()),
        (RunFilter { component: name("reports"), ..of() }, "component = 'reports'".to_owned()),
        (
            RunFilter { component: name("shop"), version: Some(3), ..of() },
            "component = 'shop' AND version = 3".to_owned(),
        ),
        (RunFilter { parent: Some(RunId(parent)), ..of() }, format!("parent_run_id = '{parent}'")),
        (RunFilter { failure_code: name("timeout"), ..of() }, "failure_code = 'timeout'".to_owned()),
        (RunFilter { tags: tags(&["env=production"]), ..of() }, "tags @> '{env=production}'".to_owned()),
        (RunFilter { tags: tags(&["env=production", "env=staging"]), ..of() }, "false".to_owned()),
        (
            RunFilter { started_from: Some(old), started_to: Some(new), ..of() },
            format!("started_at >= {} AND started_at < {}", time(old), time(new)),
        ),
        (
            RunFilter { closed_from: Some(old), closed_to: Some(new), ..of() },
            format!("closed_at >= {} AND closed_at < {}", time(old), time(new)),
        ),
        (
            RunFilter { workflow: name("order"), state: Some(RunState::Failed), tags: tags(&["env=staging"]), ..of() },
            "workflow = 'order' AND state = 2 AND tags @> '{env=staging}'".to_owned(),
        ),
        (RunFilter { workflow: name("order"), component: name("reports"), ..of() }, "false".to_owned()),
    ];
    for (state, condition) in [
        (RunState::Ready, "state = 0 AND paused_at IS NULL AND o.run_id IS NULL AND p.run_id IS NULL"),
        (RunState::Running, "o.run_id IS NOT NULL"),
        (RunState::Waiting, "paused_at IS NULL AND p.run_id IS NOT NULL"),
        (RunState::Paused, "state = 0 AND paused_at IS NOT NULL"),
        (RunState::Completed, "state = 1"),
        (RunState::Failed, "state = 2"),
        (RunState::Cancelled, "state = 3"),
        (RunState::Quarantined, "state = 4"),
    ] {
        filters.push((RunFilter { state: Some(state), ..of() }, condition.to_owned()));
        let order = RunFilter { state: Some(state), workflow: name("order"), ..of() };
        filters.push((order, format!("{condition} AND workflow = 'order'")));
    }
    filters
}

#[tokio::test]
async fn every_filter_finds_what_it_says_once_and_newest_first_however_it_is_paged() {
    let (database, store, namespace) = filled().await;
    let mut session = database.session().await;
    let (mut found_some, mut stopped) = (0, 0);
    for (filter, condition) in filters(&mut session).await {
        let wanted = looked_at(&mut session, &condition).await;
        let (found, stops) = all(&store, &namespace, &filter, 397).await;
        assert_eq!(found, wanted, "{condition}");
        found_some += u32::from(!found.is_empty());
        stopped += stops;
        let count = store.count_runs(&namespace, &filter, 10_000).await.expect("a count");
        assert_eq!((count.runs as usize, count.is_exact), (wanted.len(), true), "{condition}");
    }
    assert!(found_some > 20, "{found_some}");
    assert!(stopped > 0, "no search had to stop, which shows nothing about those that have to");
}

#[tokio::test]
async fn a_cursor_is_not_moved_by_runs_that_come_later() {
    let (database, store, namespace) = filled().await;
    let filter = RunFilter { workflow: name("order"), ..RunFilter::default() };
    let first = store.list_runs(&namespace, &filter, None, 10).await.expect("a page").runs;
    let last = first.last().map(|run| (run.started_at, run.run_id)).expect("runs");
    let before = store.list_runs(&namespace, &filter, Some(last), 10).await.expect("a page").runs;
    let newer = "INSERT INTO runs (shard, run_id, namespace, workflow, component, version, durability, seed, input) \
                 SELECT shard_of(u.id), u.id, 'default', 'order', 'shop', 9, 0, substr(sha256(n::text::bytea), 1, 16), 'null' \
                 FROM (SELECT n, gen_random_uuid() AS id FROM generate_series(1, 50) n) u";
    sqlx::query(newer).execute(&mut database.session().await).await.expect("added");
    let after = store.list_runs(&namespace, &filter, Some(last), 10).await.expect("a page").runs;
    let ids = |runs: &[windlass_host::store::RunListing]| runs.iter().map(|run| run.run_id).collect::<Vec<_>>();
    assert_eq!(ids(&before), ids(&after));
    let all: BTreeSet<_> = ids(&first).into_iter().chain(ids(&after)).collect();
    assert_eq!(all.len(), 20);
}

#[tokio::test]
async fn counts_end_at_their_bound_and_say_so() {
    let (_database, store, namespace) = filled().await;
    let count = store.count_runs(&namespace, &RunFilter::default(), 1_000).await.expect("a count");
    assert_eq!((count.runs, count.is_exact), (1_000, false));
}

/// Rows of runs that the database reads for a page, and how often it reads all of them.
async fn touched(session: &mut PgConnection, filter: &str) -> (i64, i64) {
    let page = format!("SELECT count(*) FROM list_runs('default', ROW({filter})::run_filter, NULL, NULL, 51)");
    // What a session has counted and not yet passed on, it counts with what comes next.
    let touched = "SELECT idx_tup_fetch, seq_scan FROM pg_stat_xact_user_tables \
                   WHERE relid = 'runs'::regclass AND schemaname = current_schema()";
    let mut transaction = session.begin().await.expect("begun");
    let before: (i64, i64) = sqlx::query_as(touched).fetch_one(&mut *transaction).await.expect("statistics");
    sqlx::query(AssertSqlSafe(page)).execute(&mut *transaction).await.expect("a page");
    let after: (i64, i64) = sqlx::query_as(touched).fetch_one(&mut *transaction).await.expect("statistics");
    transaction.commit().await.expect("committed");
    (after.0 - before.0, after.1 - before.1)
}

#[tokio::test]
async fn a_page_reads_the_runs_that_are_on_it_and_no_others_if_an_index_has_them() {
    let (database, ..) = filled().await;
    let mut session = database.session().await;
    // As the host has its sessions.
    for set in ["SET plan_cache_mode = force_generic_plan", "SET enable_seqscan = off", "SET jit = off"] {
        sqlx::query(set).execute(&mut session).await.expect("set");
    }
    // Each row once to find it and once to show it. Where a live run stands is not in the index: so it is seen how far one gets.
    for (filter, most) in [
        ("NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL", 110),
        ("NULL,'order',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL", 110),
        ("NULL,'none',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL", 0),
        ("4,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL", 110),
        ("0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL", 110),
        ("1,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL", 110),
        ("2,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL", 2_200),
        ("NULL,NULL,NULL,NULL,NULL,'timeout',NULL,NULL,NULL,NULL,NULL", 110),
        ("NULL,NULL,NULL,NULL,NULL,NULL,'{env=production}',NULL,NULL,NULL,NULL", 110),
        // There is no index by version, and nothing has both of the others: no more than 2,000 are looked at.
        // Where the last of them stands, the index alone says when the table was vacuumed.
        ("NULL,NULL,'shop',1,NULL,NULL,NULL,NULL,NULL,NULL,NULL", 4_000),
        ("NULL,'order','reports',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL", 4_000),
    ] {
        let (read, scans) = touched(&mut session, filter).await;
        assert!(read <= most && scans == 0, "{filter}: {read} rows, read from end to end {scans} times");
    }
}
