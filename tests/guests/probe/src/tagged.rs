//! Runs that say what they are found by.

use windlass::{Result, continue_as_new, run, signal, sleep};

use crate::ms;

/// Goes through stages. Each ends with a signal.
#[windlass::workflow]
async fn staged(stages: Vec<String>) -> Result<()> {
    for stage in stages {
        // What is replaced at once is never seen.
        run::tag("stage", "between");
        run::tag("stage", stage);
        signal::<()>("next").await?;
    }
    Ok(())
}

/// Climbs from one height to another, one event for each step, and begins again after every two.
#[windlass::workflow]
async fn climbs(from: u64, to: u64) -> Result<u64> {
    run::tag("camp", run::current().generation);
    let mut height = from;
    while height < to {
        if run::history_length() >= 2 {
            return continue_as_new(&(height, to)).await;
        }
        sleep(ms(60)).await;
        height += 1;
        run::tag("height", height);
        crate::double(height).await?;
        height += 1;
        run::tag("height", height);
    }
    Ok(height)
}
