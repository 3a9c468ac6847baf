//! A run after its end: in the archive, in a file, and replayed from there.

use base64::Engine as _;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use windlass_host::model::RunState;

use crate::harness::bucket::{Bucket, KEY_ID};
use crate::harness::database::Database;
use crate::harness::ended::{make_ripe, sql};
use crate::harness::eventually;
use crate::harness::guests::{guest, guest_bytes};
use crate::harness::host::{HostProcess, MASTER_KEY, WINDLASS, windlass, windlass_with};

/// A host that looks after the archive often, and where it exports to.
async fn serve(database: &Database) -> (HostProcess, std::path::PathBuf) {
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("exported-{}", database.schema));
    (serve_to(database, &format!("file://{}", folder.display()), &[]).await, folder)
}

async fn serve_to(database: &Database, store: &str, variables: &[(&str, &str)]) -> HostProcess {
    let mut command = std::process::Command::new(WINDLASS);
    command.args(["serve", "--insecure-no-auth", "--database-url", &database.url, "--schema", &database.schema]);
    command.args(["--archive-every", "50ms", "--archive-store", store]);
    command.env("WINDLASS_MASTER_KEY", MASTER_KEY).envs(variables.iter().copied());
    HostProcess::start(command).await
}

/// As if it had been ten days ago.
async fn was_long_ago(database: &Database, run: &str) {
    let back = format!(
        "UPDATE runs SET started_at = started_at - interval '10 days', closed_at = closed_at - interval '10 days'
         WHERE run_id = '{run}'"
    );
    sql(database, &back).await;
}

async fn is_archived(database: &Database, run: &str) {
    let archived = format!("SELECT count(*) FROM archived_runs WHERE run_id = '{run}'");
    eventually("it is archived", async || (database.count(&archived).await == 1).then_some(())).await;
    assert_eq!(database.count(&format!("SELECT count(*) FROM runs WHERE run_id = '{run}'")).await, 0);
}

async fn set(host: &HostProcess, arguments: &[&str]) {
    let done = windlass(&host.server, &[&["namespace", "set", "default"], arguments].concat()).await;
    assert_eq!(done.code, Some(0), "{}", done.stderr);
}

#[tokio::test]
async fn an_archived_run_is_read_as_before_takes_nothing_more_and_its_key_is_free() {
    let database = Database::new().await;
    let (host, _) = serve(&database).await;
    host.api.deploy(guest_bytes("probe"), "").await.expect("deployed");
    let body = json!({ "workflow": "flaky", "input": 3 });
    let (status, run) = host.api.post_once("/runs", "once", &body).await;
    assert_eq!(status, StatusCode::CREATED);
    let run = run["run_id"].as_str().expect("an id").to_owned();
    host.api.end(&run).await;
    was_long_ago(&database, &run).await;
    let paths = ["", "/history", "/logs", "/state"];
    let look = async || {
        let mut all = Vec::new();
        for path in paths {
            all.push(host.api.get(&format!("/runs/{run}{path}")).await);
        }
        all
    };
    let before = look().await;
    // While its key holds, it stays: the same again is the same run, and another input a conflict.
    set(&host, &["--archive-after", "7d", "--keep-keys", "20d"]).await;
    let other = host.api.start("flaky", json!(2)).await;
    host.api.end(&other).await;
    was_long_ago(&database, &other).await;
    is_archived(&database, &other).await;
    assert_eq!(host.api.post_once("/runs", "once", &body).await.0, StatusCode::OK);
    let another = json!({ "workflow": "flaky", "input": 4 });
    assert_eq!(host.api.post_once("/runs", "once", &another).await.0, StatusCode::CONFLICT);
    set(&host, &["--keep-keys", "24h"]).await;
    is_archived(&database, &run).await;
    assert_eq!(look().await, before);
    assert_eq!(host.api.end(&run).await.state, RunState::Completed);
    let followed = host.api.request(Method::GET, &format!("/runs/{run}/follow"), "").await.text().await.expect("text");
    assert!(followed.contains("event: end"), "{followed}");
    for (path, body) in [("signals/go", "1"), ("cancel", ""), ("terminate", r#"{"reason":"x"}"#), ("updates/add", "1")]
    {
        let refused = host.api.request(Method::POST, &format!("/runs/{run}/{path}"), body).await;
        let problem: Value = refused.json().await.expect("a problem");
        assert_eq!(problem["code"], "run-ended", "{path}: {problem}");
    }
    let listed = windlass(&host.server, &["list", "--archived", "--json"]).await;
    assert!(listed.stdout.contains(&run) && listed.stdout.contains(&other), "{}", listed.stdout);
    assert!(!windlass(&host.server, &["list", "--json"]).await.stdout.contains(&run));
    // The window is over: the key is free again, and names the new run from now on.
    let (status, again) = host.api.post_once("/runs", "once", &another).await;
    assert_eq!((status, &again["run_id"], &again["input"]), (StatusCode::CREATED, &json!(run), &json!(4)));
    assert_eq!(host.api.run(&run).await.input.as_str(), "4");
}

/// Exported, deleted, and replayed from the file.
async fn exported_and_replayed(seal: &str) {
    let database = Database::new().await;
    let (host, folder) = serve(&database).await;
    host.api.deploy(guest_bytes("probe"), "").await.expect("deployed");
    set(&host, &["--seal-payloads", seal]).await;
    let mut runs = Vec::new();
    for word in ["canary-one", "canary-two"] {
        let run = host.api.start("repeats", json!(word)).await;
        assert_eq!(host.api.result(&run).await, word);
        was_long_ago(&database, &run).await;
        runs.push(run);
    }
    let steps = host.api.start("steps", json!(7)).await;
    host.api.result(&steps).await;
    was_long_ago(&database, &steps).await;
    runs.push(steps.clone());
    set(&host, &["--archive-after", "7d", "--delete-after", "30d", "--export-archive", "true"]).await;
    for run in &runs {
        is_archived(&database, run).await;
    }
    assert_eq!(database.everything().await.contains("canary-one"), seal == "false");
    assert!(host.api.get(&format!("/runs/{}", runs[0])).await.to_string().contains("canary-one"));
    make_ripe(&database, "default").await;
    eventually("they are gone", async || {
        (database.count("SELECT count(*) FROM archived_runs").await == 0).then_some(())
    })
    .await;
    let gone = host.api.request(Method::GET, &format!("/runs/{steps}"), "").await;
    assert_eq!(gone.status(), StatusCode::NOT_FOUND);

    let folder = folder.join("default");
    let day = std::fs::read_dir(&folder).expect("a folder").next().expect("a day").expect("a day").path();
    let file = day.join("00001.jsonl.gz");
    let (file, probe) = (file.to_str().expect("a path"), guest("probe"));
    let probe = probe.to_str().expect("a path");
    let keys = [("WINDLASS_MASTER_KEY", MASTER_KEY)];
    for (run, events) in [(&steps, "7 events, completed"), (&runs[0], "events, completed")] {
        let replayed = windlass_with(&host.server, &["replay", file, probe, "--run", run], &keys).await;
        assert!(replayed.stdout.trim_end().ends_with(events), "{} {}", replayed.stdout, replayed.stderr);
    }
    let which = windlass_with(&host.server, &["replay", file, probe], &keys).await;
    assert!(which.stderr.contains("say which with --run"), "{}", which.stderr);
    let without = windlass(&host.server, &["replay", file, probe, "--run", &steps]).await;
    assert_eq!(without.stderr.contains("needs the master key"), seal == "true", "{}", without.stderr);
    std::fs::remove_dir_all(folder.parent().expect("its folder")).expect("removed");
}

#[tokio::test]
async fn an_exported_run_is_replayed_from_its_file() {
    exported_and_replayed("false").await;
}

#[tokio::test]
async fn what_is_sealed_stays_sealed_in_the_archive_and_in_its_files() {
    exported_and_replayed("true").await;
}

/// A host that exports to a bucket.
async fn serve_to_bucket(database: &Database, bucket: &Bucket) -> HostProcess {
    let variables = [
        ("AWS_ENDPOINT", &*bucket.url),
        ("AWS_ALLOW_HTTP", "true"),
        ("AWS_REGION", "eu-central-1"),
        ("AWS_ACCESS_KEY_ID", KEY_ID),
        ("AWS_SECRET_ACCESS_KEY", "of no use elsewhere"),
    ];
    let host = serve_to(database, "s3://archive/of/windlass", &variables).await;
    host.api.deploy(guest_bytes("probe"), "").await.expect("deployed");
    host
}

/// Replay a run from an object as it was exported.
async fn replay(host: &HostProcess, database: &Database, object: &[u8], run: &str, events: &str) {
    let file = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{}.jsonl.gz", database.schema));
    std::fs::write(&file, object).expect("written");
    let (path, probe) = (file.to_str().expect("a path"), guest("probe"));
    let probe = probe.to_str().expect("a path");
    let replayed = windlass(&host.server, &["replay", path, probe, "--run", run]).await;
    assert!(replayed.stdout.trim_end().ends_with(events), "{} {}", replayed.stdout, replayed.stderr);
    std::fs::remove_file(file).expect("removed");
}

async fn is_gone(database: &Database) {
    eventually("it is gone", async || (database.count("SELECT count(*) FROM archived_runs").await == 0).then_some(()))
        .await;
}

#[tokio::test]
async fn a_day_is_dropped_when_it_is_in_the_bucket_and_not_before() {
    let (database, bucket) = (Database::new().await, Bucket::closed().await);
    let host = serve_to_bucket(&database, &bucket).await;
    let run = host.api.start("steps", json!(7)).await;
    host.api.result(&run).await;
    was_long_ago(&database, &run).await;
    set(&host, &["--archive-after", "7d", "--delete-after", "30d", "--export-archive", "true"]).await;
    is_archived(&database, &run).await;
    make_ripe(&database, "default").await;
    eventually("it is refused", async || bucket.has_refused().then_some(())).await;
    assert_eq!(host.api.run(&run).await.state, RunState::Completed);
    bucket.open();
    is_gone(&database).await;
    let objects = bucket.objects();
    let (name, object) = objects.first_key_value().expect("an object");
    assert!(name.starts_with("archive/of/windlass/default/") && name.ends_with("/00001.jsonl.gz"), "{name}");
    assert_eq!(objects.len(), 1);
    replay(&host, &database, object, &run, "7 events, completed").await;
}

#[tokio::test]
async fn what_is_large_comes_to_the_bucket_in_parts_and_nothing_is_left_of_what_was_refused() {
    let (database, bucket) = (Database::new().await, Bucket::closed().await);
    let host = serve_to_bucket(&database, &bucket).await;
    let mut runs = Vec::new();
    for _ in 0..12 {
        // What cannot be compressed by much.
        let noise: Vec<u8> = (0..600_000).map(|_| rand::random()).collect();
        let noise = base64::engine::general_purpose::STANDARD.encode(noise);
        let run = host.api.start("repeats", json!(noise)).await;
        host.api.result(&run).await;
        was_long_ago(&database, &run).await;
        runs.push(run);
    }
    set(&host, &["--archive-after", "7d", "--delete-after", "30d", "--export-archive", "true"]).await;
    for run in &runs {
        is_archived(&database, run).await;
    }
    bucket.open_for(1);
    make_ripe(&database, "default").await;
    eventually("the second part is refused", async || bucket.has_refused().then_some(())).await;
    eventually("it is given up", async || (!bucket.parts().1).then_some(())).await;
    assert_eq!((bucket.objects().len(), host.api.run(&runs[0]).await.state), (0, RunState::Completed));
    bucket.open_for(usize::MAX);
    is_gone(&database).await;
    let (parts, is_left) = bucket.parts();
    assert!(parts > 1 && !is_left, "{parts}");
    let objects = bucket.objects();
    assert_eq!(objects.len(), 1);
    for run in [&runs[0], &runs[11]] {
        replay(&host, &database, objects.values().next().expect("one"), run, "events, completed").await;
    }
}

#[tokio::test]
async fn an_installation_is_dropped_by_whoever_says_its_name() {
    let database = Database::new().await;
    let (host, _) = serve(&database).await;
    let options = ["drop-installation", "--database-url", &database.url, "--schema", &database.schema];
    let ask = async |more: &[&str]| windlass("http://127.0.0.1:1", &[&options[..], more].concat()).await;
    assert!(ask(&["--confirm", "another"]).await.stderr.contains("nothing was deleted"));
    assert!(ask(&[]).await.stderr.contains("nobody can be asked here"));
    let at_work = ask(&["--confirm", &database.schema]).await;
    assert!(at_work.stderr.contains("stop them first"), "{}", at_work.stderr);
    let mut host = host;
    host.terminate();
    let dropped = ask(&["--confirm", &database.schema]).await;
    assert_eq!((dropped.code, dropped.stdout.trim_end()), (Some(0), &*format!("dropped  {}", database.schema)));
    let left = format!("SELECT count(*) FROM pg_namespace WHERE nspname = '{}'", database.schema);
    assert_eq!(database.count(&left).await, 0);
}
