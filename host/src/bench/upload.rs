//! From the bytes of a component to an instance of it.

use std::time::Instant;

use super::Bench;
use super::error::Result;
use super::figure::Figure;
use super::pieces;

const WORKLOAD: &str = "upload";

pub(super) async fn run(bench: &mut Bench<'_>) -> Result<()> {
    let pieces = pieces::upload_seconds(&bench.stage.component)?;
    let mode = format!("{} KiB", bench.stage.component.len() / 1024);
    let figure = |metric, seconds: f64, unit, scale: f64| Figure::new(WORKLOAD, &*mode, metric, seconds * scale, unit);
    bench.say(figure("validate_and_compile_both_roles", pieces.compile, "ms", 1e3));
    bench.say(figure("the_same_in_this_process", pieces.compile_here, "ms", 1e3));
    bench.say(figure("load_from_cache_both_roles", pieces.load, "ms", 1e3));
    bench.say(figure("instantiate_and_drop", pieces.instantiate, "µs", 1e6));
    let host = bench.stage.host().await?;
    let mut client = host.client().await?;
    let begun = Instant::now();
    client.request("POST", "/v1/namespaces/default/components", bench.stage.component.clone()).await?;
    bench.say(figure("deploy_what_is_deployed", begun.elapsed().as_secs_f64(), "ms", 1e3));
    let begun = Instant::now();
    client.start("steps", super::client::Mode::Default, "1", true).await?;
    bench.say(figure("first_run", begun.elapsed().as_secs_f64(), "ms", 1e3));
    host.stop().await
}
