//! `windlass:workflow/random`, and the randomness of WASI in a workflow.

use serde_json::json;

use crate::harness::shared::shared;

#[tokio::test]
async fn runs_draw_different_numbers_and_hash_in_different_orders() {
    let api = &shared().await.api;
    let mut seen = std::collections::BTreeSet::new();
    let mut orders = std::collections::BTreeSet::new();
    for _ in 0..5 {
        let run = api.start("worlds", json!(0)).await;
        let worlds = api.result(&run).await;
        seen.insert(worlds[0]["random"].to_string());
        seen.insert(worlds[1]["random"].to_string());
        orders.insert(worlds[0]["hash_order"].to_string());
    }
    assert_eq!(seen.len(), 10);
    assert!(orders.len() > 1, "{orders:?}");
}
