//! Steps that take their time, and runs that are out of it.

use windlass::{Failure, Result, cancellable, heartbeat, run, shield, signal, sleep, step};

use crate::ms;

/// A step that counts, and dies once in the middle.
#[windlass::workflow]
async fn counts(to: u32) -> Result<Vec<u32>> {
    count(to).await
}

/// Gives back where it began, in each attempt that it knows of, and where it ended.
#[windlass::step(retry(max_attempts = 3, initial = "10ms"))]
async fn count(to: u32) -> Result<Vec<u32>> {
    let first = step::attempt().heartbeat::<u32>().map_or(0, |last| last + 1);
    for number in first..to {
        heartbeat::report(&number)?;
        if number == to / 2 && first == 0 {
            return Err(Failure::new("half-way", "it stumbled"));
        }
    }
    Ok(vec![first, to])
}

/// A step that fails for as long as it may.
#[windlass::workflow]
async fn out_of_time(total_ms: u64) -> Result<(String, String)> {
    let retry = step::RetryPolicy { max_attempts: 1_000, initial: ms(40), factor: 1.0, ..Default::default() };
    let failure = no().retry(retry).total_timeout(ms(total_ms)).await.expect_err("never");
    Ok((failure.code, failure.cause.map(|cause| cause.code).unwrap_or_default()))
}

/// A step that is stopped in the middle of its only attempt.
#[windlass::workflow]
async fn stopped_in_the_middle(total_ms: u64) -> Result<String> {
    Ok(crate::takes(60_000).total_timeout(ms(total_ms)).await.expect_err("it takes too long").code)
}

#[windlass::step]
async fn no() -> Result<()> {
    Err(Failure::new("no", "no"))
}

/// Cleans up after its deadline, or whatever it is asked to stop for.
#[windlass::workflow]
async fn cleans_up() -> Result<u64> {
    match cancellable(signal::<u64>("go")).await.flatten() {
        Ok(number) => Ok(number),
        Err(failure) => {
            shield(async {
                sleep(ms(10)).await;
                windlass::publish("cleaned", &crate::double(21).await?);
                Ok::<_, Failure>(())
            })
            .await?;
            Err(failure)
        }
    }
}

/// Waits to be told to stop, and then begins again as often as it likes.
#[windlass::workflow]
async fn goes_on(left: u32) -> Result<String> {
    if run::current().generation == 0 {
        let waited = cancellable(signal::<()>("never")).await;
        assert!(waited.is_err());
    }
    sleep(ms(30)).await;
    match left {
        0 => Ok("told once".to_owned()),
        left => windlass::continue_as_new(&(left - 1)).await,
    }
}
