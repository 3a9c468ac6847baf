//! `cargo scale [RUNS] [plans]`: how long it takes to find runs, to count them and to look over them, among so many runs and ten times as
//! many events; with `plans`, what the database does for each. A million takes some minutes to fill in (`scale/million.sql`).

#![expect(clippy::print_stdout, reason = "this is what it is for")]

mod harness;
#[path = "scale/plans.rs"]
mod plans;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use harness::database::Database;
use plans::Shown;
use sqlx::{AssertSqlSafe, PgConnection};

/// In an ordinary run of the tests, which only shows that all of it works.
const RUNS_DEFAULT: u32 = 3_000;

/// From here on the times have to be kept.
const RUNS_MANY: u32 = 1_000_000;

/// A page of a list, whatever it is a list of.
const PAGE_MOST: Duration = Duration::from_millis(20);

/// What is asked for, and how long it may take.
struct Query {
    name: &'static str,
    text: String,
    most: Duration,
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == "--list") {
        return ExitCode::SUCCESS;
    }
    let runs = arguments.iter().find_map(|argument| argument.parse().ok()).unwrap_or(RUNS_DEFAULT);
    let with_plans = arguments.iter().any(|argument| argument == "plans");
    let mut shown = with_plans.then(|| {
        plans::collect();
        Shown::default()
    });
    let database = Database::new().await;
    let begun = Instant::now();
    fill(&database, runs).await;
    println!(
        "{runs} runs and {} events, filled in within {:.0} s",
        10 * u64::from(runs),
        begun.elapsed().as_secs_f64()
    );
    let mut session = as_a_tenant(&database, with_plans).await;
    let mut is_good = true;
    let figures = [plain("queue_depths"), plain("system_metrics")];
    for query in queries().into_iter().chain(further_pages(&database).await).chain(figures) {
        let (took, plans) = measure(&mut session, &query, shown.as_mut()).await;
        let is_late = runs >= RUNS_MANY && took > query.most;
        is_good &= !is_late;
        println!("{:7.2} ms  {}{}", took.as_secs_f64() * 1e3, query.name, if is_late { "  TOO LATE" } else { "" });
        print!("{plans}");
    }
    if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

async fn fill(database: &Database, runs: u32) {
    database.store().await.close().await;
    let mut session = database.session().await;
    run(&mut session, &format!("SET scale.runs = {runs}")).await;
    sqlx::raw_sql(include_str!("scale/million.sql")).execute(&mut session).await.expect("filled");
    // As the database does by itself, sooner or later.
    for table in ["runs", "run_tags", "events", "attempts", "ready", "owned", "parked", "paused"] {
        run(&mut session, &format!("VACUUM (ANALYZE) {table}")).await;
    }
}

async fn run(session: &mut PgConnection, statement: &str) {
    let done = sqlx::query(AssertSqlSafe(statement.to_owned())).execute(session).await;
    done.unwrap_or_else(|error| panic!("{statement}: {error}"));
}

/// A session as a host has them for what is asked for at the API.
async fn as_a_tenant(database: &Database, with_plans: bool) -> PgConnection {
    let mut session = database.session().await;
    if with_plans {
        for set in [
            "LOAD 'auto_explain'",
            "SET auto_explain.log_nested_statements = on",
            "SET auto_explain.log_analyze = on",
            "SET auto_explain.log_format = json",
            "SET auto_explain.log_level = notice",
        ] {
            run(&mut session, set).await;
        }
    }
    let role = database.text("SELECT tenant_role()").await.expect("a role");
    for set in ["plan_cache_mode = force_generic_plan", "enable_seqscan = off", "jit = off"] {
        run(&mut session, &format!("SET {set}")).await;
    }
    run(&mut session, &format!("SET ROLE {role}")).await;
    run(&mut session, "SET windlass.namespace = 'default'").await;
    session
}

/// What it takes, the median of nine after a first one, and its plans if they are to be shown.
async fn measure(session: &mut PgConnection, query: &Query, shown: Option<&mut Shown>) -> (Duration, String) {
    run(session, &query.text).await;
    let mut plans = String::new();
    if let Some(shown) = shown {
        explain(session, "0").await;
        run(session, &query.text).await;
        explain(session, "-1").await;
        plans = shown.next(query.name);
    }
    let mut times = Vec::new();
    for _ in 0..9 {
        let begun = Instant::now();
        run(session, &query.text).await;
        times.push(begun.elapsed());
    }
    times.sort();
    (times[times.len() / 2], plans)
}

/// Show the plans of all statements from now on, or of none.
async fn explain(session: &mut PgConnection, from: &str) {
    let role: String = sqlx::query_scalar("SELECT tenant_role()").fetch_one(&mut *session).await.expect("a role");
    run(session, "RESET ROLE").await;
    run(session, &format!("SET auto_explain.log_min_duration = {from}")).await;
    run(session, &format!("SET ROLE {role}")).await;
}

/// A figure of the whole namespace.
fn plain(name: &'static str) -> Query {
    Query { name, text: format!("SELECT * FROM {name}('default')"), most: Duration::from_millis(50) }
}

/// A page of runs, after a place.
fn page_after(name: &'static str, filter: &str, place: &str) -> Query {
    Query {
        name,
        text: format!("SELECT * FROM list_runs('default', ROW({filter})::run_filter, {place}, 51)"),
        most: PAGE_MOST,
    }
}

/// Pages that are asked for by what stands in the database: it is looked up before, and a constant in what is measured.
async fn further_pages(database: &Database) -> Vec<Query> {
    let middle = "SELECT format('%L::timestamptz, %L::uuid', r.started_at, r.run_id) FROM runs r
                  WHERE r.namespace = 'default' ORDER BY r.started_at DESC, r.run_id DESC
                  OFFSET (SELECT count(*) / 2 FROM runs q WHERE q.namespace = 'default') LIMIT 1";
    let middle = database.text(middle).await.expect("a run in the middle");
    // Of the oldest child, which is the furthest from where a search begins.
    let parent = "SELECT format('%L::uuid', r.parent_run_id) FROM runs r
                  WHERE r.namespace = 'default' AND r.parent_run_id IS NOT NULL ORDER BY r.started_at, r.run_id LIMIT 1";
    let parent = database.text(parent).await.expect("a parent");
    let mut pages = vec![
        page_after("page: all, from the middle on", "NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL", &middle),
        page_after(
            "page: a workflow of most, from the middle on",
            "NULL,'order',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL",
            &middle,
        ),
        page_after("page: failed, from the middle on", "4,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL", &middle),
        page_after(
            "page: the children of a run, long ago",
            &format!("NULL,NULL,NULL,NULL,{parent},NULL,NULL,NULL,NULL,NULL,NULL"),
            "NULL, NULL",
        ),
    ];
    if database.count("SELECT count(*) FROM archived_runs WHERE namespace = 'default'").await == 0 {
        println!("    not asked  page: archived: there is nothing in the archive");
    } else {
        let text = "SELECT * FROM list_archived_runs('default', NULL, NULL, NULL, NULL, NULL, NULL, 51)".to_owned();
        pages.push(Query { name: "page: archived", text, most: PAGE_MOST });
    }
    pages
}

fn queries() -> Vec<Query> {
    let page = |name, filter: &str| page_after(name, filter, "NULL, NULL");
    let overview = |name, call: &str| Query {
        name,
        text: format!(
            "SELECT * FROM {call}('default', ARRAY (SELECT run_id FROM runs WHERE namespace = 'default' \
             ORDER BY started_at DESC, run_id DESC LIMIT 100))"
        ),
        most: Duration::from_millis(10),
    };
    let count = |name, filter: &str| Query {
        name,
        text: format!("SELECT * FROM count_runs('default', ROW({filter})::run_filter, 10000)"),
        most: Duration::from_millis(200),
    };
    vec![
        page("page: all", "NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL"),
        page("page: a workflow of most", "NULL,'order',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL"),
        page("page: a workflow of few, long ago", "NULL,'legacy',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL"),
        page("page: a workflow of none", "NULL,'none',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL"),
        page("page: the first version", "NULL,NULL,'shop',1,NULL,NULL,NULL,NULL,NULL,NULL,NULL"),
        page("page: ready", "0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL"),
        page("page: running", "1,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL"),
        page("page: waiting", "2,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL"),
        page("page: paused", "7,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL"),
        page("page: completed", "3,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL"),
        page("page: failed", "4,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL"),
        page("page: cancelled", "5,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL"),
        page("page: quarantined", "6,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL"),
        page("page: failed with a code of few", "NULL,NULL,NULL,NULL,NULL,'out-of-stock',NULL,NULL,NULL,NULL,NULL"),
        page("page: a tag of many", "NULL,NULL,NULL,NULL,NULL,NULL,'{env=production}',NULL,NULL,NULL,NULL"),
        page("page: a tag of few", "NULL,NULL,NULL,NULL,NULL,NULL,'{customer=c77}',NULL,NULL,NULL,NULL"),
        page(
            "page: a tag of many and one of few",
            "NULL,NULL,NULL,NULL,NULL,NULL,'{env=production,customer=c77}',NULL,NULL,NULL,NULL",
        ),
        page(
            "page: two tags of many, both of none",
            "NULL,NULL,NULL,NULL,NULL,NULL,'{env=production,env=staging}',NULL,NULL,NULL,NULL",
        ),
        page(
            "page: a failed order in production",
            "4,'order',NULL,NULL,NULL,NULL,'{env=production}',NULL,NULL,NULL,NULL",
        ),
        page("page: failed, of the workflow of few", "4,'legacy',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL"),
        page(
            "page: two conditions of many, both of none",
            "NULL,'order','reports',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL",
        ),
        page(
            "page: started within an hour, 60 days ago",
            "NULL,NULL,NULL,NULL,NULL,NULL,NULL,now()-interval '60 days',now()-interval '60 days'+interval '1 hour',NULL,NULL",
        ),
        page(
            "page: ended within an hour, 60 days ago",
            "NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,now()-interval '60 days',now()-interval '60 days'+interval '1 hour'",
        ),
        count("count: all", "NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL"),
        count("count: quarantined", "6,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL"),
        count("count: a tag of many", "NULL,NULL,NULL,NULL,NULL,NULL,'{env=production}',NULL,NULL,NULL,NULL"),
        overview("step_readiness of 100 runs", "step_readiness"),
        overview("run_context of 100 runs", "run_context"),
    ]
}
