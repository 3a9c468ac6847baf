//! Every function of the store that the API uses takes the namespace and sees to it itself, whoever has looked before.

use std::collections::BTreeSet;
use std::time::Duration;

use uuid::Uuid;
use windlass_host::model::{
    ApiKey, Durability, Failure, GuestLimits, Level, Manifest, Name, Namespace, Origin, Overlap, Payload, Priority,
    Reach, RunId, Schedule, ScheduleSpec, Scope, SecretBinding, Tags, Timestamp, Who, run_of_tick,
};
use windlass_host::store::{
    Deployment, Error, InboxMax, NewKey, NewRun, Point, PutSchedule, RunFilter, RunsOfTicks, Standpoint, Started,
    Store, WrappedKey,
};

use super::sql::{Sql, event};
use crate::harness::guests::repository;

/// Those that are not about a tenant: their reasons.
pub(super) const OF_NO_TENANT: [(&str, &str); 23] = [
    ("clone", "no query"),
    ("with_master_keys", "no query"),
    ("payload_key", "for what the host writes: nobody is told"),
    ("seal_payloads", "takes a key for all namespaces"),
    ("data_keys", "of the operator's command line"),
    ("rewrap_data_key", "of the operator's command line"),
    ("rotate_data_key", "of the operator's command line"),
    ("forget_data_keys", "of the operator's command line"),
    ("reseal_secret", "of the operator's command line"),
    ("get_namespace", "the namespace itself is what is asked for"),
    ("put_namespace", "takes a key for all namespaces"),
    ("put_retention", "takes a key for all namespaces"),
    ("retention_stats", "takes a key for all namespaces"),
    ("recount_storage", "takes a key for all namespaces"),
    ("list_namespaces", "takes a key for all namespaces"),
    ("ping", "reads nothing"),
    ("now", "reads nothing"),
    ("find_key", "who is asked for is the one who asks: the namespace follows from the key"),
    ("look_at", "of runs that this host has claimed; the API has no way to it"),
    ("resumes", "for all namespaces; the API has no way to it"),
    ("end_resume", "of hosts; the API has no way to it"),
    ("unsettled_concurrency", "for all namespaces; the API has no way to it"),
    ("orphans", "of runs that this host owns; the API has no way to it"),
];

/// What the API, and what it calls, asks of the store.
pub(super) fn used() -> BTreeSet<String> {
    let api = std::fs::read_dir(repository().join("host/src/api")).expect("the API");
    let mut files: Vec<_> = api.map(|entry| entry.expect("a file").path()).collect();
    let run = ["namespaces", "program", "rewind", "runner", "secrets", "trial", "upload"]
        .map(|file| format!("run/{file}.rs"));
    let worker = ["authenticate", "concurrency", "control", "host", "namespaces", "rewind", "schedules", "versions"];
    for file in run.into_iter().chain(worker.map(|file| format!("worker/{file}.rs"))) {
        files.push(repository().join("host/src").join(file));
    }
    let call = regex::Regex::new(r"store\s*\.\s*([a-z_]+)\(").expect("a pattern");
    let text: String = files.iter().map(|file| std::fs::read_to_string(file).expect("a file")).collect();
    call.captures_iter(&text).map(|found| found[1].to_owned()).collect()
}

/// A run of `default` with one of everything, as the wrong tenant sees it.
struct Walk {
    store: Store,
    other: Namespace,
    run: RunId,
    walked: BTreeSet<&'static str>,
}

impl Walk {
    /// This one was called, and said nothing.
    fn saw_nothing(&mut self, name: &'static str, is_nothing: bool) {
        assert!(is_nothing, "{name} has answered another tenant");
        self.walked.insert(name);
    }

    fn refused<T>(&mut self, name: &'static str, result: Result<T, Error>) {
        self.saw_nothing(name, matches!(result, Err(Error::NoSuchRun)));
    }

    async fn reads(&mut self) {
        let (store, other, run) = (self.store.clone(), self.other.clone(), self.run);
        self.saw_nothing("get_run", store.get_run(&other, run).await.expect("read").is_none());
        self.saw_nothing("recorded_run", store.recorded_run(&other, run).await.expect("read").is_none());
        self.saw_nothing("get_update", store.get_update(&other, run, "u").await.expect("read").is_none());
        assert!(store.history(&other, run, 0, 10).await.expect("read").is_empty());
        let page = store.history_page(&other, run, 0, 10, 1 << 20).await.expect("read");
        self.saw_nothing("history_page", page.0.is_empty() && page.1.is_none());
        self.saw_nothing("attempts", store.attempts(&other, run).await.expect("read").is_empty());
        self.saw_nothing("logs", store.logs(&other, run, 0, Level::Debug, 10).await.expect("read").is_empty());
        self.saw_nothing("rewinds", store.rewinds(&other, run).await.expect("read").is_empty());
        let past = store.past_events(&other, (run, 1), 0, 10, 1 << 20).await.expect("read");
        self.saw_nothing("past_events", past.0.is_empty() && past.1.is_none());
        self.saw_nothing("archived_state", store.archived_state(&other, run).await.expect("read").is_none());
        self.saw_nothing("redone_calls", store.redone_calls(&other, run, 0, 10).await.expect("read").is_empty());
        self.saw_nothing("published", store.published(&other, run).await.expect("read").is_empty());
        let all = RunFilter::default();
        let found = store.list_runs(&other, &all, None, 10).await.expect("read");
        self.saw_nothing("list_runs", found.runs.is_empty() && found.stopped_at.is_none());
        let archived = store.list_archived_runs(&other, &all, None, 10).await.expect("read");
        self.saw_nothing("list_archived_runs", archived.is_empty());
        let count = store.count_runs(&other, &all, 10).await.expect("read");
        self.saw_nothing("count_runs", count.runs == 0 && count.is_exact);
        self.saw_nothing("step_readiness", store.step_readiness(&other, &[run]).await.expect("read").is_empty());
        self.saw_nothing("run_context", store.run_context(&other, &[run]).await.expect("read").is_empty());
        let queues = store.queue_depths(&other).await.expect("read");
        self.saw_nothing("queue_depths", queues.len() == 8 && queues.iter().all(|queue| queue.depth == 0));
        let metrics = store.system_metrics(&other).await.expect("read");
        self.saw_nothing("system_metrics", metrics.len() > 5 && metrics.iter().all(|(_, value)| *value == 0.0));
    }

    async fn writes(&mut self) {
        let (store, other, run) = (self.store.clone(), self.other.clone(), self.run);
        let (name, payload) = (Name::new("go").expect("a name"), Payload::null());
        let inbox = InboxMax::from(&GuestLimits::default());
        self.refused("send_signal", store.send_signal(&other, run, &name, &payload, None, inbox).await);
        self.refused("send_update", store.send_update(&other, run, &name, &payload, "new", inbox).await);
        self.refused("request_cancel", store.request_cancel(&other, run, &Who::Dev).await);
        let failure = Failure::fatal("terminated", "by another");
        self.refused("terminate_run", store.terminate_run(&other, run, &failure, &Who::Dev).await);
        let from = Standpoint { version: 1, origin: Origin::new(Timestamp::from_micros(0)), next_seq: 0 };
        self.refused("migrate_run", store.migrate_run(&other, run, from, 2, &Who::Dev).await);
        self.refused("pause_run", store.pause_run(&other, run, &Who::Dev).await);
        self.refused("resume_run", store.resume_run(&other, run, &Who::Dev).await);
        self.refused("retry_run", store.retry_run(&other, run, &Who::Dev).await);
        let point = self.point().await;
        let lineage = point.info.rewound(0, Vec::new());
        self.refused("rewind_run", store.rewind_run(&other, &point, &lineage, false, ("run.rewind", &Who::Dev)).await);
        let forked = store.fork_run(&other, &point, (RunId::new(), None), &lineage, false, &Who::Dev).await;
        self.refused("fork_run", forked);
        let workflow = Name::new("w").expect("a name");
        let is_none = |result: Result<(), Error>| matches!(result, Err(Error::NoSuchWorkflow));
        let paused = store.pause_workflow(&other, Some(&workflow), &Who::Dev).await.map(drop);
        self.saw_nothing("pause_workflow", is_none(paused));
        let resumed = store.resume_workflow(&other, Some(&workflow), &Who::Dev).await;
        self.saw_nothing("resume_workflow", is_none(resumed));
        self.saw_nothing("release_paused", store.release_paused(&other, None, 10).await.expect("asked") == (0, None));
        self.saw_nothing("pauses", store.pauses(&other).await.expect("read").is_empty());
        let limited = store.set_concurrency(&other, Some(&workflow), (Some(1), None), &Who::Dev).await;
        self.saw_nothing("set_concurrency", is_none(limited));
        let counted = store.count_under_way(&other, Some(&workflow), None, 1).await.expect("asked");
        self.saw_nothing("count_under_way", counted == (0, None));
        let gone = store.settle_gates(&other, Some(&workflow), "", 10).await.expect("asked");
        self.saw_nothing("settle_gates", gone == (0, None));
        self.saw_nothing("list_concurrency", store.list_concurrency(&other).await.expect("read").is_empty());
        self.saw_nothing("unset_rate_limit", !store.unset_rate_limit(&other, &name, &Who::Dev).await.expect("asked"));
        self.saw_nothing("list_rate_limits", store.list_rate_limits(&other).await.expect("read").is_empty());
        // The same step of another is another: only the one's own is limited.
        assert!(store.set_rate_limit(&other, &name, (1.0, 1), &Who::Dev).await.expect("set"));
        let default = Namespace::new("default").expect("a namespace");
        let turns = store.reserve_attempts(&default, &name, 1).await.expect("asked");
        self.saw_nothing("set_rate_limit", turns.is_none());
        let start = NewRun {
            run_id: RunId::new(),
            namespace: other,
            workflow,
            input: payload,
            durability: Durability::Output,
            idempotency_key: None,
            timeout: None,
            tags: Tags::default(),
            priority: Priority::default(),
            concurrency_key: None,
            signal: None,
        };
        let started = store.start_run(&start, None).await.expect("asked");
        self.saw_nothing("start_run", matches!(started, Started::NoSuchWorkflow));
    }

    /// Where the run is, as its own tenant knows it.
    async fn point(&self) -> Point {
        let own = Namespace::new("default").expect("a namespace");
        let info = self.store.recorded_run(&own, self.run).await.expect("read").expect("a run").info;
        Point { info, before: 0, next_seq: 1, next_call: 0, next_line: 0, children: Vec::new() }
    }

    async fn components(&mut self) {
        let (store, other) = (self.store.clone(), self.other.clone());
        let (component, workflow) = (Name::new("c").expect("a name"), Name::new("w").expect("a name"));
        self.saw_nothing("newest", store.newest(&other, &workflow).await.expect("read").is_none());
        self.saw_nothing("version", store.version(&other, &component, 1).await.expect("read").is_none());
        self.saw_nothing("grants", store.grants(&other, &component).await.expect("read").is_empty());
        self.saw_nothing("list_versions", store.list_versions(&other, &component).await.expect("read").is_empty());
        let is_none = |result: Result<(), Error>| matches!(result, Err(Error::NoSuchVersion(_)));
        let used = store.use_version(&other, (&component, 1), &[], false, &Who::Dev).await;
        self.saw_nothing("use_version", is_none(used));
        let deprecated = store.deprecate_version(&other, (&component, 1), true, &Who::Dev).await;
        self.saw_nothing("deprecate_version", is_none(deprecated));
        self.saw_nothing(
            "delete_version",
            is_none(store.delete_version(&other, (&component, 1), true, &Who::Dev).await),
        );
        self.saw_nothing("newest_manifest", store.newest_manifest(&other, &component).await.expect("read").is_none());
        self.saw_nothing("list_secrets", store.list_secrets(&other).await.expect("read").is_empty());
        let granted = ["127.0.0.1:*".parse().expect("a grant")];
        let removed = store.remove_grants(&other, &component, &granted, &Who::Dev).await;
        self.saw_nothing("remove_grants", removed.expect("asked") == 0);
        // The same name is another component: what it is granted is nobody else's.
        store.add_grants(&other, &component, &granted, &Who::Dev).await.expect("granted");
        self.saw_nothing(
            "add_grants",
            store.remove_grants(&other, &component, &granted, &Who::Dev).await.expect("asked") == 1,
        );
        // The same name is another component: its versions begin at 1, and nobody else's change.
        let manifest = Manifest { name: component.clone(), sdk: "test".into(), workflows: vec![], steps: vec![] };
        let deployment = Deployment {
            namespace: &other,
            component: &component,
            bytes: b"other",
            manifest: &manifest,
            grants: &[],
            contract: "0.1.0".parse().expect("a contract"),
            edition: 1,
            who: &Who::Dev,
        };
        let (version, is_new) = store.deploy(deployment).await.expect("deployed");
        self.saw_nothing("deploy", (version, is_new) == (1, true));
    }

    /// One of its own does not help: there is a data key of `default` and a secret `s`.
    async fn secrets(&mut self) {
        let (store, other) = (self.store.clone(), self.other.clone());
        let (name, who) = (Name::new("s").expect("a name"), Who::Dev);
        self.saw_nothing("data_key", store.data_key(&other).await.expect("read").is_none());
        self.saw_nothing("secret", store.secret(&other, &name).await.expect("read").is_none());
        self.saw_nothing("sealed_secrets", store.sealed_secrets(&other, None).await.expect("read").is_empty());
        self.saw_nothing("delete_secret", !store.delete_secret(&other, &name, &who).await.expect("asked"));
        let binding = SecretBinding { targets: vec![], header: "authorization".to_owned() };
        let key_of_default = Uuid::from_u128(1);
        let set = store.set_secret(&other, &name, &binding, key_of_default, b"x", &who).await;
        self.saw_nothing("set_secret", set.expect("asked").is_none());
        let (key_id, master_key_id) = (Uuid::from_u128(2), "0000000000000000".to_owned());
        let own = WrappedKey { namespace: other.clone(), key_id, master_key_id, wrapped: b"own".to_vec() };
        self.saw_nothing("keep_data_key", store.keep_data_key(&own).await.expect("kept").wrapped == b"own");
    }

    /// There is a schedule `s` of `default`, and a workflow `w`.
    async fn schedules(&mut self) {
        let (store, other) = (self.store.clone(), self.other.clone());
        let (name, who, tick) = (Name::new("s").expect("a name"), Who::Dev, Timestamp::from_micros(1));
        let spec = ScheduleSpec::Every { every: Duration::from_secs(3_600), from: Timestamp::default() };
        self.saw_nothing("get_schedule", store.get_schedule(&other, &name).await.expect("read").is_none());
        self.saw_nothing("list_schedules", store.list_schedules(&other, "", 10).await.expect("read").is_empty());
        self.saw_nothing("ticks", store.ticks(&other, &name, 10).await.expect("read").is_empty());
        self.saw_nothing("delete_schedule", store.delete_schedule(&other, &name, &who).await.expect("asked").is_none());
        self.saw_nothing("pause_schedule", !store.pause_schedule(&other, &name, &who).await.expect("asked"));
        let resumed = store.resume_schedule((&other, &name), r#"{"every":"1h"}"#, Some((tick, tick)), &who).await;
        self.saw_nothing("resume_schedule", !resumed.expect("asked"));
        let run = run_of_tick(&other, &name, tick);
        let triggered = store.trigger_schedule((&other, &name), tick, &run, &who).await.expect("asked");
        self.saw_nothing("trigger_schedule", triggered == RunsOfTicks::NoSuchSchedule);
        let filled =
            store.backfill_schedule((&other, &name), r#"{"every":"1h"}"#, &[(tick, run)], &who).await.expect("asked");
        self.saw_nothing("backfill_schedule", filled == RunsOfTicks::NoSuchSchedule);
        let schedule = Schedule {
            workflow: Name::new("w").expect("a name"),
            input: Payload::null(),
            durability: Durability::Output,
            timeout: None,
            tags: Tags::default(),
            priority: Priority::default(),
            concurrency_key: None,
            spec,
            overlap: Overlap::Skip,
            jitter: Duration::ZERO,
            catch_up: Duration::from_secs(60),
        };
        let put = store.put_schedule((&other, &name), &schedule, Some((tick, tick)), 10, &who).await.expect("asked");
        self.saw_nothing("put_schedule", put == PutSchedule::NoSuchWorkflow);
    }

    async fn keys(&mut self) {
        let (store, reach) = (self.store.clone(), Reach::One(self.other.clone()));
        let (key, new) = (ApiKey::new(), ApiKey::new());
        let owner = Reach::One(Namespace::new("default").expect("a namespace"));
        let own = NewKey { key: &key, reach: &owner, scopes: &Scope::ALL, name: "x", lifetime: None, who: &Who::Dev };
        assert!(store.create_key(own).await.expect("made"));
        self.saw_nothing("get_key", store.get_key(&reach, key.id()).await.expect("read").is_none());
        self.saw_nothing("list_keys", store.list_keys(&reach).await.expect("read").is_empty());
        self.saw_nothing("revoke_key", store.revoke_key(&reach, key.id(), &Who::Dev).await.expect("asked").is_none());
        let rotated = store.rotate_key(&reach, key.id(), &new, Duration::ZERO, &Who::Dev).await;
        self.saw_nothing("rotate_key", !rotated.expect("asked"));
        let known = store.find_key(key.id()).await.expect("read").expect("a key");
        assert_eq!(known.reach, owner);
        let nowhere = Reach::One(Namespace::new("nowhere").expect("a namespace"));
        let new = NewKey { key: &new, reach: &nowhere, scopes: &[], name: "x", lifetime: None, who: &Who::Dev };
        let refused = store.create_key(new).await;
        self.saw_nothing("create_key", matches!(refused, Err(Error::NoSuchNamespace)));
        // The deployment and the limit above, and what was granted and taken back, is all that is to be seen.
        let (entries, head) = store.audit_log(&reach, 0, 10).await.expect("read");
        self.saw_nothing("audit_log", entries.len() == 4 && head.seq == 4);
    }
}

/// One of everything that a run can leave.
pub(super) async fn run_with_everything(sql: &mut Sql) -> Uuid {
    let run = sql.start(true).await;
    let commit = sql.commit(1, &event(run, 0, "1"), "");
    sql.run(&commit).await;
    sql.run(&format!("INSERT INTO attempts (shard, run_id, call, attempt, started_at) VALUES (shard_of('{run}'), '{run}', 0, 1, now())")).await;
    sql.run(&format!("INSERT INTO logs (shard, run_id, source, attempt, number, level, message) VALUES (shard_of('{run}'), '{run}', -1, 0, 0, 3, 'x')")).await;
    sql.run(&format!(
        "INSERT INTO published (shard, run_id, key, value) VALUES (shard_of('{run}'), '{run}', 'k', '1')"
    ))
    .await;
    sql.run(&format!("INSERT INTO rewinds (shard, run_id, rewind, before_seq, state, who) VALUES (shard_of('{run}'), '{run}', 1, 0, 1, 'dev')")).await;
    sql.run(&format!("INSERT INTO past_events SELECT shard, run_id, 1, seq, kind, call, name, input, attempt, failed, outcome, asked_at, at FROM events WHERE run_id = '{run}'")).await;
    sql.run(&format!("SELECT send_update('default', '{run}', 'add', '1', 'u', 10)")).await;
    sql.run("SELECT keep_data_key('default', '00000000-0000-0000-0000-000000000001', '0000000000000000', 'x')").await;
    sql.run("SELECT set_secret('default', 's', '{https://example.com}', 'authorization', '00000000-0000-0000-0000-000000000001', 'x', 'dev')").await;
    sql.run("INSERT INTO schedules (namespace, schedule, workflow, input, durability, spec, overlap, jitter_us, catch_up_us) VALUES ('default', 's', 'w', '1', 0, '{\"every\":\"1h\"}', 0, 0, 1)").await;
    sql.run("INSERT INTO schedule_ticks (namespace, schedule, tick, outcome) VALUES ('default', 's', '2026-01-01', 1)")
        .await;
    sql.run("INSERT INTO grants (namespace, component, http_grant) VALUES ('default', 'c', '127.0.0.1:*')").await;
    run
}

#[tokio::test]
async fn no_function_of_the_store_answers_another_tenant() {
    let mut sql = Sql::new().await;
    let store = sql.database.store().await;
    let (own, other) = (Namespace::new("default").expect("one"), Namespace::new("other").expect("another"));
    assert!(store.put_namespace(&other, &[], &Who::Dev).await.expect("made"));
    let run = RunId(run_with_everything(&mut sql).await);
    let before = rows_of_owner(&sql).await;
    let mut walk = Walk { store: store.clone(), other, run, walked: BTreeSet::new() };
    walk.reads().await;
    walk.writes().await;
    walk.components().await;
    walk.secrets().await;
    walk.schedules().await;
    walk.keys().await;
    assert_eq!(rows_of_owner(&sql).await, before);
    // Its own tenant sees all of it.
    assert_eq!(store.history(&own, run, 0, 10).await.expect("read").len(), 1);
    assert_eq!(store.attempts(&own, run).await.expect("read").len(), 1);
    assert_eq!(store.logs(&own, run, 0, Level::Debug, 10).await.expect("read").len(), 1);
    assert_eq!(store.published(&own, run).await.expect("read").len(), 1);
    assert_eq!(store.rewinds(&own, run).await.expect("read").len(), 1);
    assert_eq!(store.past_events(&own, (run, 1), 0, 10, 1 << 20).await.expect("read").0.len(), 1);
    assert_eq!(store.redone_calls(&own, run, 0, 10).await.expect("read"), [0]);
    assert!(store.get_update(&own, run, "u").await.expect("read").is_some());
    // None was forgotten.
    let walked = walk.walked.iter().map(|name| (*name).to_owned());
    let known: BTreeSet<_> = walked.chain(OF_NO_TENANT.iter().map(|(name, _)| (*name).to_owned())).collect();
    assert_eq!(used(), known);
}

/// All that the tenant `default` has.
async fn rows_of_owner(sql: &Sql) -> Vec<Option<String>> {
    let mut all = Vec::new();
    let of_run =
        ["runs", "owned", "inbox", "updates", "events", "rewinds", "past_events"].map(|table| format!("{table} t"));
    let of_tenant = ["versions", "workflows", "grants", "data_keys", "secrets", "schedules", "schedule_ticks"]
        .map(|table| format!("{table} t WHERE t.namespace = 'default'"));
    for rows in of_run.into_iter().chain(of_tenant) {
        all.push(sql.database.text(&format!("SELECT string_agg(t::text, ',' ORDER BY t::text) FROM {rows}")).await);
    }
    all
}
