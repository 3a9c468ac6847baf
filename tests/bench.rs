//! `windlass bench`: what it prints, not what it measures.

use std::path::PathBuf;

use serde_json::Value;

use crate::harness::guests::guest;
use crate::harness::host::windlass;

#[tokio::test]
async fn each_figure_stands_beside_what_the_machine_does_by_itself() {
    let component = guest("bench");
    let component = component.to_str().expect("a plain path");
    // Where the account that the server runs under can enter.
    let folder = PathBuf::from(format!("/var/tmp/windlass-test-{}", std::process::id()));
    let data_dir = folder.to_str().expect("a plain path");
    let arguments =
        ["bench", "--quick", "--json", "--component", component, "--data-dir", data_dir, "latency", "upload"];
    let ran = windlass("", &arguments).await;
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let figures: Vec<Value> = serde_json::from_str(&ran.stdout).expect("an array");
    let keys = ["workload", "mode", "metric", "value", "unit", "ceiling", "ratio"];
    for figure in &figures {
        let figure = figure.as_object().expect("an object");
        assert!(figure.len() == keys.len() && keys.iter().all(|key| figure.contains_key(*key)), "{figure:?}");
        let number = |key: &str| figure[key].as_f64();
        assert!(number("value").is_some_and(|value| value > 0.0), "{figure:?}");
        let ratio = number("ceiling").map(|ceiling| number("value").expect("a value") / ceiling);
        let is_ratio = match (number("ratio"), ratio) {
            (Some(said), Some(ratio)) => (said / ratio - 1.0).abs() < 1e-9,
            (said, ratio) => said == ratio,
        };
        assert!(is_ratio, "{figure:?}");
    }
    let has = |workload, mode, metric| {
        figures.iter().any(|f| f["workload"] == workload && f["mode"] == mode && f["metric"] == metric)
    };
    assert!(has("latency", "default", "10_steps_p99") && has("latency", "strict", "1_steps_p50"), "{figures:?}");
    assert!(has("upload", figures.last().expect("one")["mode"].as_str().expect("a text"), "instantiate_and_drop"));
    // It leaves nothing behind: only a folder that is empty can be removed so.
    std::fs::remove_dir(folder).expect("an empty folder");
}

#[tokio::test]
async fn a_workload_that_there_is_not_is_named_with_those_that_there_are() {
    let ran = windlass("", &["bench", "speed"]).await;
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.contains("there is no workload `speed`; there are throughput, latency, "), "{}", ran.stderr);
}
