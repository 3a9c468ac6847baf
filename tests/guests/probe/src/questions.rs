//! Updates.

use windlass::{Failure, Result, update};

/// A counter that others add to, until they have added `enough`.
#[windlass::workflow]
async fn counter(enough: u64) -> Result<u64> {
    let mut sum = 0;
    while sum < enough {
        let add = update::<u64>("add").await;
        if *add == 0 {
            add.refuse(Failure::new("nothing", "nothing to add").fatal());
            continue;
        }
        sum += *add;
        // What is answered is recorded with what was done for it.
        crate::double(sum).await?;
        add.answer(&sum)?;
    }
    Ok(sum)
}

/// Takes an update and does not answer it.
#[windlass::workflow]
async fn rude() -> Result<()> {
    let _unanswered = update::<u64>("add").await;
    Ok(())
}
