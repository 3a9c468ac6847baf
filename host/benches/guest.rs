//! `cargo bench`: what it costs to have a guest, and to bring it to where its history ends.

#[path = "../../tests/harness/mod.rs"]
mod harness;

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use harness::database::Database;
use harness::guests::{guest, guest_bytes};
use sqlx::AssertSqlSafe;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;
use windlass_host::bench::sample::run_of;
use windlass_host::imports::Time;
use windlass_host::model::{
    Ask, Call, Event, EventKind, GuestLimits, Name, Outcome, Payload, RunInfo, StepOptions, Timestamp,
};
use windlass_host::run::{Code, Guest, Progress, Sandbox, build_sandbox};
use windlass_host::sandbox::{Compiler, Limits};
use windlass_host::store::Store;

/// A run of a workflow of `probe`, whose history is made up: `steps(count)` calls the step `double`, one after the other.
fn info() -> Arc<RunInfo> {
    run_of("steps")
}

fn event(number: u32) -> Event {
    let name = Name::new("double").expect("a name");
    let ask = Ask::Step { name, input: Payload::of(&number), options: StepOptions::default() };
    let at = Timestamp::from_micros(i64::from(number) + 1);
    let call = Call { id: number, asked_at: at, ask };
    let outcome = Outcome::Ok(Payload::of(&(number * 2)));
    Event { seq: number, at, kind: EventKind::Completed { call, outcome, attempt: 1, inbox: None } }
}

struct Bench {
    limits: Arc<GuestLimits>,
    code: Code,
    time: Time,
}

impl Bench {
    fn new(sandbox: &Sandbox, name: &str) -> Self {
        let code = Code::new(sandbox, &guest_bytes(name)).expect("accepted");
        Self { limits: Arc::new(sandbox.limits.guest.clone()), code, time: Arc::new(|| Timestamp::from_micros(1)) }
    }

    fn guest(&self, info: &Arc<RunInfo>) -> Guest {
        let (limits, time) = (self.limits.clone(), self.time.clone());
        Guest::new(&self.code, limits, CancellationToken::new(), info.clone(), time).expect("a guest")
    }
}

/// Store, WASI, instance, and dropping them.
fn instantiate(criterion: &mut Criterion, sandbox: &Sandbox) {
    let mut group = criterion.benchmark_group("instantiate");
    for name in ["hello", "order"] {
        let (bench, info) = (Bench::new(sandbox, name), info());
        group.bench_function(name, |bencher| bencher.iter(|| black_box(bench.guest(&info))));
    }
    group.finish();
}

/// What a call of the host costs, there and back: so many that making the instance does not count.
fn host_call(criterion: &mut Criterion, sandbox: &Sandbox) {
    const CALLS: u32 = 10_000;
    let (bench, info) = (Bench::new(sandbox, "bench"), run_of("asks"));
    let input = Payload::of(&CALLS);
    let mut group = criterion.benchmark_group("host call");
    group.throughput(Throughput::Elements(CALLS.into()));
    group.bench_function("clock", |bencher| {
        bencher.iter(|| {
            let progress = bench.guest(&info).turn(&info, &input).expect("no divergence");
            assert!(matches!(progress, Progress::Completed(_)));
        });
    });
    group.finish();
}

/// From a new instance to the end of a history that is in memory. Instantiating is part of it.
fn replay(criterion: &mut Criterion, sandbox: &Sandbox) {
    let (bench, info) = (Bench::new(sandbox, "probe"), info());
    let mut group = criterion.benchmark_group("replay");
    for count in [10, 1_000, 100_000] {
        let events: Vec<_> = (0..count).map(event).collect();
        let input = Payload::of(&count);
        group.throughput(Throughput::Elements(count.into()));
        group.bench_with_input(BenchmarkId::from_parameter(count), &events, |bencher, events| {
            bencher.iter_batched(
                || events.clone(),
                |events| {
                    let mut guest = bench.guest(&info);
                    guest.context().add_recorded(events, true);
                    let progress = guest.turn(&info, &input).expect("no divergence");
                    assert!(matches!(progress, Progress::Completed(_)));
                },
                BatchSize::LargeInput,
            );
        });
    }
    group.finish();
}

/// The same from the database: what a host does with a run that another host was at.
fn replay_from_database(criterion: &mut Criterion, sandbox: &Sandbox) {
    const CHUNK: u32 = 2_000;
    let (bench, info) = (Bench::new(sandbox, "probe"), info());
    let runtime = Runtime::new().expect("a runtime");
    let store = runtime.block_on(history_in_database(&info, 100_000));
    let mut group = criterion.benchmark_group("replay from the database");
    group.measurement_time(Duration::from_secs(10)).sample_size(10);
    for count in [10_u32, 1_000, 100_000] {
        let input = Payload::of(&count);
        group.throughput(Throughput::Elements(count.into()));
        group.bench_function(BenchmarkId::from_parameter(count), |bencher| {
            bencher.iter(|| {
                let mut guest = bench.guest(&info);
                loop {
                    let next = guest.run().next_unread();
                    let limit = CHUNK.min(count - next);
                    let events =
                        runtime.block_on(store.history(&info.namespace, info.run_id, next, limit)).expect("a history");
                    guest.context().add_recorded(events, next + limit == count);
                    if let Progress::Completed(_) = guest.turn(&info, &input).expect("no divergence") {
                        break;
                    }
                }
            });
        });
    }
    group.finish();
    runtime.block_on(store.close());
}

async fn history_in_database(info: &RunInfo, count: u32) -> Store {
    let database = Database::new().await;
    let store = database.store().await;
    let insert = format!(
        "INSERT INTO events (shard, run_id, seq, kind, call, name, input, attempt, failed, outcome, asked_at, at)
         SELECT shard_of('{run}'), '{run}', n, 0, n, 'double', n::text::bytea, 1, false, (2 * n)::text::bytea, now(), now()
         FROM generate_series(0, {count} - 1) n",
        run = info.run_id
    );
    let mut session = database.session().await;
    sqlx::query(AssertSqlSafe(insert)).execute(&mut session).await.expect("inserted");
    sqlx::query("VACUUM ANALYZE events").execute(&mut session).await.expect("vacuumed");
    store
}

fn benches(criterion: &mut Criterion) {
    let cache = Path::new(concat!(env!("CARGO_TARGET_TMPDIR"), "/code"));
    let sandbox = build_sandbox(Limits::default(), Compiler::InProcess, Some(cache)).expect("a sandbox");
    for name in ["hello", "order"] {
        let bytes = std::fs::metadata(guest(name)).expect("built").len();
        eprintln!("{name}.wasm: {bytes} bytes");
    }
    instantiate(criterion, &sandbox);
    host_call(criterion, &sandbox);
    replay(criterion, &sandbox);
    replay_from_database(criterion, &sandbox);
}

criterion_group!(all, benches);
criterion_main!(all);
