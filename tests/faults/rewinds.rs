//! A host dies over a rewind or a fork: it has happened, whole, or it has not.

use reqwest::Method;
use rustix::process::{Signal, kill_process};
use serde_json::json;
use windlass_host::model::RunState;

use crate::harness::api::http;
use crate::harness::database::Database;
use crate::harness::guests::guest_bytes;
use crate::harness::host::HostProcess;
use crate::harness::proxy::{Moment, Proxy};

/// A run that is over, asked for one of these by a host that is killed around the commit. What is left.
async fn killed_over(verb: &str, moment: Moment) -> (Database, HostProcess, String) {
    let database = Database::new().await;
    let proxy = Proxy::open(&database).await;
    let host = HostProcess::serve(&proxy.database, &[]).await;
    host.api.deploy(guest_bytes("probe"), "").await.expect("deployed");
    let run = host.api.start("steps", json!(3)).await;
    assert_eq!(host.api.result(&run).await, 6);
    let pid = host.pid();
    proxy.at_commit(1, moment, move || kill_process(pid, Signal::KILL).expect("killed"));
    let url = format!("{}/runs/{run}/{verb}", host.api.base);
    let asked = http().request(Method::POST, url).json(&json!({ "before": 1 })).send().await;
    assert!(asked.is_err() && proxy.is_done(), "{verb}, killed {moment:?}: {asked:?}");
    (database.clone(), HostProcess::serve(&database, &[]).await, run)
}

#[tokio::test]
async fn a_host_that_dies_over_a_rewind_leaves_it_undone_or_done() {
    for (moment, rewinds) in [(Moment::Before, 0), (Moment::After, 1)] {
        let (database, host, run) = killed_over("rewind", moment).await;
        assert_eq!(host.api.result(&run).await, 6, "{moment:?}");
        let view = host.api.run(&run).await;
        assert_eq!((view.rewinds, view.events), (rewinds, 3), "{moment:?}");
        let past = database.count("SELECT count(*) FROM past_events").await;
        let audited = database.count("SELECT count(*) FROM audit_log WHERE what = 'run.rewind'").await;
        assert_eq!((past, audited), (i64::from(rewinds) * 2, i64::from(rewinds)), "{moment:?}");
    }
}

#[tokio::test]
async fn a_host_that_dies_over_a_fork_leaves_none_or_one() {
    for (moment, forks) in [(Moment::Before, 0), (Moment::After, 1)] {
        let (_database, host, run) = killed_over("fork", moment).await;
        let listed = host.api.get("/runs").await;
        let runs = listed["runs"].as_array().expect("runs");
        assert_eq!(runs.len(), 1 + forks, "{moment:?}");
        for fork in runs {
            let fork = fork["run_id"].as_str().expect("an id");
            assert_eq!(host.api.end(fork).await.state, RunState::Completed, "{moment:?}");
            assert_eq!(host.api.history(fork).await.events.len(), 3, "{moment:?}");
        }
        assert!(host.api.run(&run).await.forked_from.is_none());
    }
}
