//! Work that has to be over in the morning: what is there by then is put away tidily, whatever is missing.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use windlass::{Result, cancellable, publish, shield, signal};

/// What a shop has taken in a day.
#[derive(Serialize, Deserialize, JsonSchema)]
struct Takings {
    shop: String,
    cents: u64,
}

/// Enters the takings of so many shops into the books. Gives the sum.
#[windlass::workflow]
async fn overnight(shops: usize) -> Result<u64> {
    let mut entered = Vec::new();
    // The deadline stops what is in here, wherever it is, and only that.
    let complete = cancellable(enter(shops, &mut entered)).await.flatten();
    // Not to be interrupted, not even if the deadline comes just now, when all is entered: nobody else closes the books.
    let sum = shield(close_books(&entered)).await?;
    publish("closed", &format!("{} of {shops} shops, {sum} cents", entered.len()));
    // Ends with the failure `deadline-exceeded` if it was too late for some.
    complete.map(|()| sum)
}

/// Waits for the shops to send what they have taken.
async fn enter(shops: usize, entered: &mut Vec<Takings>) -> Result<()> {
    open_books().await?;
    while entered.len() < shops {
        entered.push(signal("takings").await?);
    }
    Ok(())
}

#[windlass::step]
async fn open_books() -> Result<()> {
    windlass::log!("the books are open");
    Ok(())
}

#[windlass::step]
async fn close_books(entered: &[Takings]) -> Result<u64> {
    windlass::log!("the books are closed");
    Ok(entered.iter().map(|takings| takings.cents).sum())
}

windlass::export!();
