//! Claiming runs, with many closed ones in the tables and with none.

use std::time::Instant;

use super::Bench;
use super::error::Result;
use super::figure::Figure;
use super::stage::SCHEMA;
use crate::model::{Editions, HostId};
use crate::store::{LeaseTimes, Store};

/// Runs that are claimed.
const READY: u32 = 20_000;

/// Runs in one claim, as hosts do it.
const BATCH: usize = 256;

pub(super) async fn run(bench: &mut Bench<'_>) -> Result<()> {
    let store = Store::connect(bench.stage.database_url(), SCHEMA).await?;
    let host = bench.stage.host().await?;
    host.stop().await?;
    let closed = bench.scale(1_000_000, 20_000);
    // Once to warm up.
    claim_all(bench, &store).await?;
    let without = claim_all(bench, &store).await?;
    bench.stage.database.insert_closed(closed).await?;
    let with = claim_all(bench, &store).await?;
    bench.say(Figure::new("claims", "no closed runs", "claims_per_s", without, "1/s"));
    bench.say(Figure::new("claims", format!("{closed} closed runs"), "claims_per_s", with, "1/s").beside(without));
    store.close().await;
    Ok(())
}

/// Claims per second, when nothing else is done.
async fn claim_all(bench: &mut Bench<'_>, store: &Store) -> Result<f64> {
    bench.stage.database.insert_ready(READY).await?;
    bench.stage.database.settle().await?;
    let (lease, _) =
        store.take_lease(HostId::new(), "bench", LeaseTimes::default(), Editions::default().newest()).await?;
    let begun = Instant::now();
    let mut claimed = 0;
    for first in 0.. {
        let runs = store.claim(&lease, first % 16, BATCH, (BATCH, &[])).await?.len();
        if runs == 0 {
            break;
        }
        claimed += runs;
    }
    let rate = f64::from(u32::try_from(claimed).unwrap_or(u32::MAX)) / begun.elapsed().as_secs_f64();
    lease.end().await?;
    bench.stage.database.end_all().await?;
    Ok(rate)
}
