//! The loads of `windlass bench`.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use schemars::JsonSchema;
use serde::Deserialize;

/// About 100 bytes, as a small record of a business has them.
const RECORD: &str =
    "a record of about one hundred bytes: enough for an id, a name, a time and what came of it, and no more";

/// Takes a number of steps, one after the other.
#[windlass::workflow]
async fn steps(count: u32) -> windlass::Result<u32> {
    for number in 0..count {
        record(number).await?;
    }
    Ok(count)
}

/// Touches nothing outside: what it costs is what a step costs.
#[windlass::step]
async fn record(number: u32) -> windlass::Result<String> {
    let _ = number;
    Ok(RECORD.to_owned())
}

#[derive(Deserialize, JsonSchema)]
struct Effects {
    url: String,
    count: u32,
}

/// Takes a number of steps that each change something outside.
#[windlass::workflow]
async fn effects(input: Effects) -> windlass::Result<u32> {
    for _ in 0..input.count {
        post(input.url.clone()).await?;
    }
    Ok(input.count)
}

/// One request.
#[windlass::step(http = ["127.0.0.1:*"])]
async fn post(url: String) -> windlass::Result<u16> {
    let response = windlass::http::post(url).json(&RECORD).send().await?.success()?;
    Ok(response.status())
}

/// Waits for the signal `go`, then takes a step. Says when the step ran, in microseconds since 1970.
#[windlass::workflow]
async fn awaits() -> windlass::Result<u64> {
    windlass::signal::<()>("go").await?;
    wall_clock().await
}

/// What time it is outside.
#[windlass::step]
async fn wall_clock() -> windlass::Result<u64> {
    Ok(micros(SystemTime::now()))
}

/// Sleeps until a time, in microseconds since 1970, then takes a step. Says when the step ran.
#[windlass::workflow]
async fn sleeps_until(at: u64) -> windlass::Result<u64> {
    let wait = at.saturating_sub(micros(windlass::now()));
    windlass::sleep(Duration::from_micros(wait)).await;
    wall_clock().await
}

/// Takes short naps, one after the other, then waits for the signal `go`: a history to replay.
#[windlass::workflow]
async fn naps(count: u32) -> windlass::Result<u32> {
    for _ in 0..count {
        windlass::sleep(Duration::from_micros(1)).await;
    }
    windlass::signal::<()>("go").await?;
    Ok(count)
}

/// Takes steps with a pause after each, for so many rounds: live for a while, and never in a hurry.
#[windlass::workflow]
async fn lives(rounds: u32) -> windlass::Result<u32> {
    for round in 0..rounds {
        record(round).await?;
        windlass::sleep(Duration::from_millis(200)).await;
    }
    Ok(rounds)
}

/// Asks what time it is, over and over: a call of the host that costs nothing but the call.
#[windlass::workflow]
async fn asks(count: u32) -> windlass::Result<u32> {
    for _ in 0..count {
        std::hint::black_box(windlass::now());
    }
    Ok(count)
}

fn micros(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

windlass::export!();
