//! From sending a signal to the step that it lets begin.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::Bench;
use super::client::{Client, Mode};
use super::error::Result;
use super::figure::Figure;
use super::quantiles::Times;

/// The run has begun to wait, and its host is still at it.
const WAITS: Duration = Duration::from_millis(30);

/// Its host has let go of it.
const PARKED: Duration = Duration::from_millis(400);

pub(super) async fn run(bench: &mut Bench<'_>) -> Result<()> {
    let (owner, other) = (bench.stage.host().await?, bench.stage.host().await?);
    let mut bare = bench.stage.database.bare_commit().await?;
    let bare = bare.quantile_ms(0.5);
    let cases = [
        ("owning host", WAITS, false),
        ("other host", WAITS, true),
        ("owning host, parked", PARKED, false),
        ("other host, parked", PARKED, true),
    ];
    for (mode, pause, is_other) in cases {
        let mut starter = owner.client().await?;
        let mut sender = if is_other { other.client().await? } else { owner.client().await? };
        let mut times = Times::default();
        for _ in 0..bench.scale(200, 16) {
            times.add(once(&mut starter, &mut sender, pause).await?);
        }
        for (name, part) in [("p50", 0.5), ("p99", 0.99)] {
            let metric = format!("signal_to_step_{name}");
            bench.say(Figure::new("signal", mode, metric, times.quantile_ms(part), "ms").beside(bare));
        }
    }
    owner.stop().await?;
    other.stop().await
}

async fn once(starter: &mut Client, sender: &mut Client, pause: Duration) -> Result<Duration> {
    let run = starter.start("awaits", Mode::Default, "null", false).await?;
    tokio::time::sleep(pause).await;
    let sent = micros_now();
    sender.signal(&run.run_id, "go").await?;
    let run = starter.wait("awaits", &run.run_id).await?;
    // The step says what time it was when it ran; all clocks are this machine's.
    let ran = run.result.as_u64().unwrap_or_default();
    Ok(Duration::from_micros(ran.saturating_sub(sent)))
}

/// Microseconds since 1970.
pub(super) fn micros_now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}
