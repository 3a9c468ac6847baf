//! Whose fault it was that a host died.

use serde_json::json;
use uuid::Uuid;

use super::sql::{Sql, event};

impl Sql {
    /// The host dies; what its runs have now.
    async fn dies(&mut self, runs: &[Uuid]) -> Vec<i64> {
        let host = self.host;
        self.run(&format!("SELECT release_runs_of_dead('{host}')")).await;
        let mut strikes = Vec::new();
        for run in runs {
            let row = self.value(&format!("SELECT strikes FROM ready WHERE run_id = '{run}'")).await;
            strikes.push(row["strikes"].as_i64().expect("a number"));
        }
        strikes
    }

    async fn claim(&mut self) -> usize {
        let host = self.host;
        let claimed = format!("SELECT count(*) AS runs FROM claim('{host}', 1, 0::smallint, 100)");
        usize::try_from(self.value(&claimed).await["runs"].as_i64().expect("a number")).expect("a count")
    }

    async fn claim_suspect(&mut self) -> String {
        let host = self.host;
        let claimed = format!("SELECT run_id FROM claim_suspect('{host}', 1, 0::smallint)");
        self.value(&claimed).await["run_id"].as_str().expect("an id").to_owned()
    }
}

#[tokio::test]
async fn a_third_strike_takes_a_trial_and_progress_takes_strikes_back() {
    let mut sql = Sql::new().await;
    let (idle, busy, other) = (sql.start(true).await, sql.start(true).await, sql.start(true).await);
    let progress = event(busy, 0, "1").replace("2026-01-02", "2099-01-02");
    let progress = sql.commit(1, &progress, "");
    sql.run(&progress).await;
    let runs = [idle, busy, other];
    assert_eq!(sql.dies(&runs).await, [1, 1, 1]);
    assert_eq!(sql.claim().await, 3);
    assert_eq!(sql.dies(&runs).await, [2, 1, 2]);
    // Those with two are left alone, and taken up one at a time.
    assert_eq!(sql.claim().await, 1);
    let first = sql.claim_suspect().await;
    let host = sql.host;
    sql.run(&format!("SELECT end_trial('{host}', '{first}')")).await;
    let second = sql.claim_suspect().await;
    assert_ne!(first, second);
    let strikes = sql.dies(&runs).await;
    let expected = runs.map(|run| {
        if run.to_string() == second {
            3
        } else if run == busy {
            1
        } else {
            2
        }
    });
    assert_eq!(strikes, expected, "only the one on trial has three");
    assert_eq!(sql.value("SELECT count(*) AS runs FROM owned").await, json!({ "runs": 0 }));
}
