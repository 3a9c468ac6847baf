//! A trip: a flight, a room and a car, or nothing at all.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use windlass::{Failure, Result, saga};

/// Where somebody wants to go.
#[derive(Deserialize, JsonSchema)]
struct Wish {
    traveller: String,
    to: String,
    /// Whether the traveller may drive.
    licence: bool,
}

/// What was booked.
#[derive(Serialize, JsonSchema)]
struct Trip {
    flight: String,
    room: String,
    car: String,
}

/// Books everything; if something cannot be had, cancels what was booked before it, the last first.
#[windlass::workflow]
async fn trip(wish: Wish) -> Result<Trip> {
    let Wish { traveller, to, licence } = wish;
    saga(async |saga| {
        // How it is undone is said before it is done: when the run is asked to stop in the middle of a booking, nobody
        // knows whether that was made.
        saga.compensate(cancel_flight(&to));
        let flight = book_flight(&to).await?;
        saga.compensate(cancel_room(&to));
        let room = book_room(&to).await?;
        saga.compensate(cancel_car(&traveller));
        let car = book_car(&traveller, licence).await?;
        Ok(Trip { flight, room, car })
    })
    .await
}

// Real steps would ask services, with `windlass::http`; one that cancels must be content when there is nothing to cancel.

#[windlass::step]
async fn book_flight(to: &str) -> Result<String> {
    Ok(format!("a flight to {to}"))
}

#[windlass::step]
async fn cancel_flight(to: &str) -> Result<String> {
    Ok(format!("no flight to {to}"))
}

#[windlass::step]
async fn book_room(to: &str) -> Result<String> {
    Ok(format!("a room in {to}"))
}

#[windlass::step]
async fn cancel_room(to: &str) -> Result<String> {
    Ok(format!("no room in {to}"))
}

#[windlass::step]
async fn book_car(traveller: &str, licence: bool) -> Result<String> {
    if licence {
        return Ok(format!("a car for {traveller}"));
    }
    // Fatal: another attempt would not help, so there is none.
    Err(Failure::new("no-licence", format!("{traveller} may not drive")).fatal())
}

#[windlass::step]
async fn cancel_car(traveller: &str) -> Result<String> {
    Ok(format!("no car for {traveller}"))
}

windlass::export!();
