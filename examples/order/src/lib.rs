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
#[derive(Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
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
    // Whoever asks about a payment finds its order: `windlass list --tag payment=…`.
    windlass::run::tag("payment", &payment);

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

#[cfg(test)]
mod tests {
    use serde_json::json;
    use windlass::testing::{Run, State, Test, replay};

    use super::*;

    /// A shop where all goes well.
    fn shop() -> Test {
        let mut test = Test::new();
        test.step("reserve", |order: Order| Ok(format!("sto-{}", order.id)));
        test.step("charge", |order: Order| Ok(format!("pay-{}", order.id)));
        test.step("ship", |order: Order| Ok(format!("shi-{}", order.id)));
        test
    }

    fn start(test: &Test) -> Run<Receipt> {
        test.start(order, json!({"id": "A-17", "item": "tea", "cents": 450, "shop": "http://shop.example"}))
    }

    #[test]
    fn an_approved_order_is_shipped() {
        let mut test = shop();
        test.at(Duration::from_secs(3600)).signal("approval", json!({"approved": true, "by": "Ada"}));
        let mut run = start(&test);
        assert_eq!(run.published("status"), Some("cooling off".to_owned()));
        assert_eq!(run.tag("payment").as_deref(), Some("pay-A-17"));
        let receipt = run.result().unwrap();
        assert_eq!((&*receipt.shipment, &*receipt.approved_by), ("shi-A-17", "Ada"));
        assert_eq!(run.elapsed(), Duration::from_secs(3600));
        assert_eq!(run.logs()[0].message, "order A-17 went out as shi-A-17");
    }

    #[test]
    fn an_order_that_somebody_rejects_is_not_shipped() {
        let mut run = start(&shop());
        run.advance(Duration::from_secs(10)).signal("approval", json!({"approved": false, "by": "Bob"}));
        assert_eq!(run.result(), Err(Failure::new("rejected", "Bob rejected the order")));
        assert!(run.history().of("ship").is_empty());
    }

    #[test]
    fn an_order_that_nobody_approves_fails_after_three_days() {
        let mut run = start(&shop());
        run.advance(Duration::from_secs(3 * 24 * 60 * 60 + 1));
        assert_eq!(run.state(), State::Waiting);
        run.advance(Duration::from_secs(1));
        assert_eq!(run.result().unwrap_err().code, "not-approved");
    }

    #[test]
    fn shipping_is_tried_again_while_the_carrier_is_away() {
        let mut test = shop();
        let away = || Err(Failure::new("carrier-away", "try later"));
        test.step_attempts("ship", [away(), away(), Ok("shi-3")]);
        let mut run = start(&test);
        run.advance(Duration::from_secs(2)).signal("approval", json!({"approved": true, "by": "Ada"}));
        assert_eq!(run.result().unwrap().shipment, "shi-3");
        assert_eq!(run.elapsed(), Duration::from_millis(2_000 + 300 + 600));
        assert_eq!(run.history().of("ship")[0].attempt, Some(3));
    }

    #[test]
    fn a_card_that_is_declined_ends_the_order() {
        let mut test = shop();
        test.step("charge", |_: Order| Result::<String>::Err(Failure::new("declined", "no money").fatal()));
        assert_eq!(start(&test).result().unwrap_err().code, "declined");
    }

    #[test]
    fn an_order_replays() {
        let mut run = start(&shop());
        run.advance(Duration::from_secs(60)).signal("approval", json!({"approved": true, "by": "Ada"}));
        assert_eq!(replay(order, &run.history()), Ok(()));
    }
}
