//! Well-behaved workflows, one behaviour each.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use windlass::{Failure, Result, http, join_all, publish, select, signal, sleep, step};

mod endless;
mod family;
mod gossip;
mod questions;
mod stubborn;
mod tagged;

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// Gives back what it gets.
#[windlass::workflow]
async fn echo(value: BTreeMap<String, Vec<String>>) -> Result<BTreeMap<String, Vec<String>>> {
    Ok(value)
}

#[windlass::workflow]
async fn fails() -> Result<()> {
    Err(Failure::new("not-today", "it would not").with_details(&["detail"]))
}

/// `count` local steps, one after the other.
#[windlass::workflow]
async fn steps(count: u64) -> Result<u64> {
    let mut sum = 0;
    for number in 0..count {
        sum += double(number).await?;
    }
    Ok(sum)
}

/// `count` local steps at once.
#[windlass::workflow]
async fn fan(count: u64) -> Result<u64> {
    let doubled = windlass::try_join_all((0..count).map(double)).await?;
    Ok(doubled.into_iter().sum())
}

#[windlass::step]
async fn double(number: u64) -> Result<u64> {
    Ok(number * 2)
}

/// Something of each kind, then a signal.
#[windlass::workflow]
async fn one_of_each() -> Result<u64> {
    let doubled = double(21).await?;
    sleep(ms(1)).await;
    let (more, go) = windlass::join!(double(1), signal::<u64>("go"));
    Ok(doubled + more? + go?)
}

/// A step that fails `failures` times.
#[windlass::workflow]
async fn flaky(failures: u32) -> Result<u32> {
    succeeds_after(failures).await
}

#[windlass::step(retry(max_attempts = 4, initial = "20ms", factor = 1.5))]
async fn succeeds_after(failures: u32) -> Result<u32> {
    let attempt = step::attempt().number;
    windlass::log!("attempt {attempt}");
    if attempt <= failures { Err(Failure::new("too-early", format!("attempt {attempt}"))) } else { Ok(attempt) }
}

/// What a workflow sees of a step that cannot be helped.
#[windlass::workflow]
async fn hopeless() -> Result<String> {
    let failure = gives_up().await.expect_err("it gives up");
    Ok(format!("{} {}", failure.code, failure.retryable))
}

/// Does something about a failure, and fails all the same.
#[windlass::workflow]
async fn regrets() -> Result<u64> {
    let failure = gives_up().await.expect_err("it gives up");
    double(1).await?;
    Err(failure)
}

#[windlass::step]
async fn gives_up() -> Result<()> {
    Err(Failure::new("no-hope", "none at all").fatal())
}

/// A step that takes `milliseconds`, with its own idea of how long it may.
#[windlass::workflow]
async fn slow(milliseconds: u64, timeout_ms: u64, attempts: u32) -> Result<u64> {
    let retry = step::RetryPolicy { max_attempts: attempts, initial: ms(10), ..Default::default() };
    takes(milliseconds).timeout(ms(timeout_ms)).retry(retry).await
}

/// A step that takes `milliseconds`, and then another.
#[windlass::workflow]
async fn slow_then_quick(milliseconds: u64) -> Result<u64> {
    Ok(takes(milliseconds).await? + double(1).await?)
}

#[windlass::step]
async fn takes(milliseconds: u64) -> Result<u64> {
    std::thread::sleep(ms(milliseconds));
    Ok(milliseconds)
}

/// A step that panics.
#[windlass::workflow]
async fn crashing_step() -> Result<String> {
    let failure =
        panics().retry(step::RetryPolicy { max_attempts: 1, ..Default::default() }).await.expect_err("it panics");
    Ok(format!("{}: {}", failure.code, failure.message))
}

#[windlass::step]
async fn panics() -> Result<()> {
    panic!("a step may panic")
}

#[windlass::workflow]
async fn nap(milliseconds: u64) -> Result<u64> {
    let before = windlass::now();
    sleep(ms(milliseconds)).await;
    Ok(windlass::now().duration_since(before)?.as_micros() as u64)
}

/// Sleeps one after the other.
#[windlass::workflow]
async fn naps(milliseconds: Vec<u64>) -> Result<usize> {
    for milliseconds in &milliseconds {
        sleep(ms(*milliseconds)).await;
    }
    Ok(milliseconds.len())
}

/// The next `count` signals called `item`.
#[windlass::workflow]
async fn collect(count: usize) -> Result<Vec<u64>> {
    let mut items = Vec::new();
    while items.len() < count {
        items.push(signal::<u64>("item").await?);
    }
    Ok(items)
}

/// The next `count` signals called `item`, each with a short patience in between, so that calls are cancelled all the time.
#[windlass::workflow]
async fn collect_impatiently(count: usize, patience_ms: u64) -> Result<Vec<u64>> {
    let mut items = Vec::new();
    while items.len() < count {
        items.extend(signal::<u64>("item").timeout(ms(patience_ms)).await?);
    }
    Ok(items)
}

/// Whichever comes first.
#[windlass::workflow]
async fn first(timeout_ms: u64) -> Result<String> {
    Ok(select! {
        text = signal::<String>("text") => text?,
        number = signal::<u32>("number") => format!("number {}", number?),
        () = sleep(ms(timeout_ms)) => "nothing".to_owned(),
    })
}

/// A step that loses a race.
#[windlass::workflow]
async fn outrun() -> Result<String> {
    let winner = select! {
        _ = takes(30_000) => "the step",
        () = sleep(ms(20)) => "the timer",
    };
    Ok(winner.to_owned())
}

/// Computes for long between two steps.
#[windlass::workflow]
async fn grinds(rounds: u64) -> Result<u32> {
    double(1).await?;
    double(compute(rounds)).await?;
    Ok(2)
}

/// Computes before it asks for anything.
#[windlass::workflow]
async fn ponders(rounds: u64) -> Result<u64> {
    Ok(compute(rounds))
}

fn compute(rounds: u64) -> u64 {
    let sum = (0..rounds).fold(0, |sum: u64, round| std::hint::black_box(sum.wrapping_mul(31).wrapping_add(round)));
    u64::from(sum == 1)
}

/// Waits for good.
#[windlass::workflow]
async fn forever() -> Result<()> {
    publish("status", &"waiting");
    signal("never").await
}

#[derive(Serialize, Deserialize, JsonSchema, PartialEq, Debug)]
struct World {
    now_us: u64,
    system_us: u64,
    monotonic_us: u64,
    random: u64,
    hash_order: Vec<u32>,
    variables: usize,
    files: bool,
    run_id: String,
    version: u32,
}

fn world(since: std::time::Instant) -> World {
    let micros = |time: SystemTime| time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as u64);
    let map: HashMap<u32, ()> = (0..8).map(|number| (number, ())).collect();
    let info = windlass::run::current();
    World {
        now_us: micros(windlass::now()),
        system_us: micros(SystemTime::now()),
        monotonic_us: since.elapsed().as_micros() as u64,
        random: windlass::random(),
        hash_order: map.into_keys().collect(),
        variables: std::env::vars().count(),
        files: std::fs::read_dir("/").is_ok(),
        run_id: info.run_id,
        version: info.version,
    }
}

/// What it sees of the world, before and after a wait.
#[windlass::workflow]
async fn worlds(wait_ms: u64) -> Result<(World, World)> {
    let since = std::time::Instant::now();
    let before = world(since);
    sleep(ms(wait_ms)).await;
    Ok((before, world(since)))
}

/// What a step sees of the world.
#[windlass::workflow]
async fn step_world() -> Result<(bool, bool, usize)> {
    looks_around().await
}

#[windlass::step]
async fn looks_around() -> Result<(bool, bool, usize)> {
    let before = std::time::Instant::now();
    std::thread::sleep(ms(5));
    let moves = before.elapsed() >= ms(5);
    let recent = SystemTime::now() > UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    Ok((moves, recent, std::env::vars().count()))
}

/// Lines of every kind, around a wait.
#[windlass::workflow]
async fn chatty(wait_ms: u64) -> Result<()> {
    windlass::log!("before");
    println!("printed");
    sleep(ms(wait_ms)).await;
    windlass::log!(warn, "after");
    eprintln!("complained");
    Ok(())
}

/// Values that change.
#[windlass::workflow]
async fn showing() -> Result<()> {
    publish("phase", &1);
    publish("fixed", &"yes");
    signal::<()>("next").await?;
    publish("phase", &2);
    signal::<()>("next").await
}

#[derive(Deserialize, Serialize, JsonSchema, Clone)]
struct Purchase {
    id: String,
    shop: String,
    /// POSTs, one after the other, with a pause in between.
    posts: u32,
    pause_ms: u64,
}

/// Buys something in several steps, each an effect outside.
#[windlass::workflow]
async fn buy(purchase: Purchase) -> Result<Vec<String>> {
    let mut receipts = Vec::new();
    for _ in 0..purchase.posts {
        receipts.push(pay(&purchase).await?);
        if purchase.pause_ms > 0 {
            sleep(ms(purchase.pause_ms)).await;
        }
    }
    Ok(receipts)
}

/// Two effects side by side, local work, and then a third.
#[windlass::workflow]
async fn mixed(purchase: Purchase) -> Result<(String, String, u64, String)> {
    let (first, second) = windlass::try_join!(pay(&purchase), pay(&purchase))?;
    let doubled = double(21).await?;
    sleep(ms(purchase.pause_ms)).await;
    let approval = signal::<String>("approval").await?;
    let third = pay(&purchase).await?;
    Ok((first, second, doubled, format!("{third} {approval}")))
}

#[windlass::step(retry(initial = "50ms"), timeout = "5s", http = ["127.0.0.1:*"])]
async fn pay(purchase: &Purchase) -> Result<String> {
    let request = http::post(format!("{}/payments", purchase.shop)).json(purchase).idempotent();
    request.send().await?.success()?.json()
}

/// What comes of a request to somewhere else.
#[windlass::workflow]
async fn elsewhere(url: String) -> Result<String> {
    let failure = fetch(url).await.expect_err("not reached");
    Ok(failure.code)
}

#[windlass::step(retry(max_attempts = 1), timeout = "2s", http = ["127.0.0.1:*", "granted.invalid"])]
async fn fetch(url: String) -> Result<u16> {
    Ok(http::get(url).send().await?.status())
}

/// The keys that its steps are given.
#[windlass::workflow]
async fn keys() -> Result<Vec<String>> {
    join_all((0..2).map(|_| key())).await.into_iter().collect()
}

#[windlass::step]
async fn key() -> Result<String> {
    let attempt = step::attempt();
    Ok(format!("{} {} {}", attempt.idempotency_key, attempt.number, attempt.max_attempts))
}

windlass::export!();
