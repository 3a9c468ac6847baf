//! An order: reserve and charge side by side, cool off, ask a person, ship.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use windlass::{Failure, Result, http};

/// What a customer wants.
#[derive(Clone, Deserialize, Serialize, JsonSchema)]
struct Order {
    id: String,
    item: String,
    cents: u64,
    /// Base URL of the shop's services.
    shop: String,
}

/// What a person says to it.
#[derive(Deserialize, JsonSchema)]
struct Approval {
    approved: bool,
    by: String,
}

/// What the customer gets.
#[derive(Serialize, JsonSchema)]
struct Receipt {
    order: String,
    reservation: String,
    payment: String,
    shipment: String,
    approved_by: String,
}

/// Takes an order through to its receipt.
#[windlass::workflow]
async fn order(order: Order) -> Result<Receipt> {
    windlass::publish("status", &"reserving and charging");
    let (reservation, payment) = windlass::try_join!(reserve(&order), charge(&order))?;

    windlass::publish("status", &"cooling off");
    windlass::sleep(Duration::from_secs(2)).await;

    windlass::publish("status", &"waiting for approval");
    let approval = windlass::signal::<Approval>("approval").timeout(Duration::from_secs(3 * 24 * 60 * 60)).await?;
    let approval = approval.ok_or_else(|| Failure::new("not-approved", "nobody approved the order in three days"))?;
    if !approval.approved {
        return Err(Failure::new("rejected", format!("{} rejected the order", approval.by)));
    }

    windlass::publish("status", &"shipping");
    let shipment = ship(&order).await?;
    windlass::log!("order {} went out as {shipment}", order.id);
    Ok(Receipt { order: order.id, reservation, payment, shipment, approved_by: approval.by })
}

/// Takes the item off the shelf.
#[windlass::step(timeout = "10s", http = ["127.0.0.1:*"])]
async fn reserve(order: &Order) -> Result<String> {
    post(order, "stock").await
}

/// Takes the money.
#[windlass::step(timeout = "10s", http = ["127.0.0.1:*"])]
async fn charge(order: &Order) -> Result<String> {
    post(order, "payments").await
}

/// Hands the parcel over; the carrier is not always there at once.
#[windlass::step(retry(max_attempts = 5, initial = "300ms"), timeout = "10s", http = ["127.0.0.1:*"])]
async fn ship(order: &Order) -> Result<String> {
    post(order, "shipments").await
}

async fn post(order: &Order, service: &str) -> Result<String> {
    let request = http::post(format!("{}/{service}", order.shop)).json(order).idempotent();
    request.send().await?.success()?.json()
}

windlass::export!();
