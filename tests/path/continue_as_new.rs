//! Runs that begin again with an empty history.

use serde_json::json;

use crate::harness::shared::{forgetful, shared};

#[tokio::test]
async fn a_run_that_continues_as_new_is_the_same_run_to_everybody_else() {
    for host in [shared().await, forgetful().await] {
        let lap = json!({ "left": 4, "sum": 0, "random": [], "lengths": [] });
        let tags = json!({ "laps": "four" });
        let run = host.api.start_with(json!({ "workflow": "laps", "input": lap, "tags": tags })).await.run_id;
        // Those that nobody has asked for yet are there for the next laps.
        for item in 1..=8 {
            assert!(host.api.signal(&run, "item", json!(item)).await.status().is_success());
        }
        let ended = host.api.end(&run).await;
        assert_eq!(host.api.result(&run).await, json!([36, 4, [2, 2, 2, 2]]), "other random numbers in each lap");
        assert_eq!((ended.generation, ended.events), (3, 8));
        assert_eq!(json!(ended.tags), tags);
        let history = host.api.history(&run).await;
        let numbers: Vec<_> = history.events.iter().map(|event| (event.seq, event.call)).collect();
        assert_eq!(numbers[..3], [(0, Some(0)), (1, Some(1)), (2, Some(2))]);
        assert_eq!(numbers.len(), 8);
        assert_eq!(host.api.logs(&run).await, ["4 left", "3 left", "2 left", "1 left"]);
        let state = host.api.get(&format!("/runs/{run}/state")).await;
        assert_eq!(state["values"]["sum"]["value"], 36);
    }
}
