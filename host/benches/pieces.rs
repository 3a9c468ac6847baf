//! `cargo bench --bench pieces`: the pieces of the host that every run goes through, one by one.

#[path = "../../tests/harness/mod.rs"]
mod harness;

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use harness::database::Database;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use windlass_host::bench::sample::run_of;
use windlass_host::history::{Delivery, Replay};
use windlass_host::model::{
    Ask, Editions, Event, HostId, Name, Origin, Outcome, Payload, StepOptions, Tags, Timestamp,
};
use windlass_host::store::{Close, CloseState, LeaseTimes, Record, Start, Watchers, Writers};

fn ask(number: u32) -> Ask {
    let name = Name::new("record").expect("a name");
    Ask::Step { name, input: Payload::of(&number), options: StepOptions::default() }
}

fn origin() -> Origin {
    Origin::new(Timestamp::from_micros(1))
}

/// A step that has ended well, with about 100 bytes.
fn completed(call: u32) -> Delivery {
    Delivery::Completed { call, outcome: Outcome::Ok(Payload::of(&"x".repeat(100))), attempt: 1, inbox: None }
}

/// A call, the event that answers it, and its delivery: what the cursor does for each event of a live run.
fn cursor(criterion: &mut Criterion) {
    let mut replay = Replay::new(origin(), 10_000);
    criterion.bench_function("replay cursor", |bencher| {
        bencher.iter(|| {
            let call = replay.ask(ask(0)).expect("a number");
            let event = replay.event(completed(call), Timestamp::from_micros(2)).expect("an event");
            replay.deliver(black_box(&event)).expect("no divergence");
        });
    });
}

/// Checking that bytes of a guest are JSON.
fn codec(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("payload");
    for size in [100, 10_000] {
        let bytes = serde_json::to_vec(&vec!["some text, some more"; size / 23]).expect("JSON");
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        group.bench_function(format!("check {size} B"), |bencher| {
            bencher.iter(|| Payload::new(bytes.clone(), 1 << 20).expect("JSON"));
        });
    }
    group.finish();
}

fn events(count: u32) -> Vec<Event> {
    let mut replay = Replay::new(origin(), 10_000);
    let event = |number| {
        let call = replay.ask(ask(number)).expect("a number");
        let event = replay.event(completed(call), Timestamp::from_micros(2)).expect("an event");
        replay.deliver(&event).expect("no divergence");
        event
    };
    (0..count).map(event).collect()
}

/// Whole runs of five events through the writers of a host, hundreds at a time, into a real database.
fn writer(criterion: &mut Criterion) {
    const RUNS: u64 = 500;
    let runtime = Runtime::new().expect("a runtime");
    let (writers, lease, mut tasks) = runtime.block_on(async {
        let database = Database::new().await;
        let store = database.store().await;
        let workflow = "INSERT INTO workflows VALUES ('default', 'steps', 'bench', 1)";
        sqlx::query(workflow).execute(&mut database.session().await).await.expect("inserted");
        let times = LeaseTimes { ttl: Duration::from_secs(3_600), ..LeaseTimes::default() };
        let (lease, _) =
            store.take_lease(HostId::new(), "bench", times, Editions::default().newest()).await.expect("a lease");
        let (lease, mut tasks) = (Arc::new(lease), JoinSet::new());
        let (hints, _) = mpsc::unbounded_channel();
        (Writers::start(&store, &lease, &Watchers::default(), &hints, 2, &mut tasks), lease, tasks)
    });
    let events = events(5);
    let mut group = criterion.benchmark_group("writer");
    group.throughput(Throughput::Elements(RUNS)).sample_size(20);
    group.bench_function("500 whole runs of 5 events", |bencher| {
        bencher.iter(|| {
            runtime.block_on(async {
                let mut commits = JoinSet::new();
                for _ in 0..RUNS {
                    let start = Start {
                        info: run_of("steps"),
                        input: Payload::null(),
                        idempotency_key: None,
                        tags: Tags::default(),
                    };
                    let (writer, _) = writers.for_new_run(start, Arc::default(), CancellationToken::new());
                    let mut records: Vec<_> = events.iter().cloned().map(Record::Event).collect();
                    let (state, result, at) = (CloseState::Completed, Payload::null(), Timestamp::from_micros(3));
                    records.push(Record::Close(Close { state, result, code: None, at }));
                    commits.spawn(async move { writer.commit(records).await });
                }
                while let Some(commit) = commits.join_next().await {
                    commit.expect("no panic").expect("committed");
                }
            });
        });
    });
    group.finish();
    lease.lost.cancel();
    runtime.block_on(tasks.shutdown());
}

criterion_group!(all, cursor, codec, writer);
criterion_main!(all);
