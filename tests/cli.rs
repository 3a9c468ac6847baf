//! The command line, as a person types it.

use serde_json::{Value, json};
use windlass_host::model::RunState;

use crate::harness::guests::guest;
use crate::harness::host::{Ran, windlass};
use crate::harness::shared::shared;

/// What differs from run to run.
fn settings() -> insta::Settings {
    let mut settings = insta::Settings::clone_current();
    settings.add_filter(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "[RUN]");
    settings.add_filter(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d\.\d+Z?", "[TIME]");
    // How wide a column is depends on how long things took.
    settings.add_filter(r"TOOK +", "TOOK ");
    settings.add_filter(r"\d+ ms +", "[N] ms ");
    settings.add_filter(r"\d+ ms", "[N] ms");
    settings.add_filter(r"127\.0\.0\.1:\d+", "[HOST]");
    settings.add_filter(r"[ \t]+\n", "\n");
    settings
}

async fn ran(arguments: &[&str]) -> Ran {
    windlass(&shared().await.server, arguments).await
}

fn show(ran: &Ran) -> String {
    format!("exit code {}\n{}{}", ran.code.unwrap_or(-1), ran.stdout, ran.stderr)
}

#[tokio::test]
async fn deploy_and_start_and_get() {
    let hello = guest("hello");
    let hello = hello.to_str().expect("a path");
    let deployed = ran(&["deploy", hello]).await;
    let started = ran(&["start", "hello", "--input", "\"Ada\"", "--wait"]).await;
    let json = ran(&["start", "hello", "--input", "\"Ada\"", "--wait", "--json"]).await;
    let run: Value = serde_json::from_str(&json.stdout).expect("JSON");
    let got = ran(&["get", run["run_id"].as_str().expect("an id")]).await;
    settings().bind(|| {
        insta::assert_snapshot!(show(&deployed), @"
        exit code 0
        deployed hello version 1 (unchanged)
        workflows  hello
        ");
        insta::assert_snapshot!(show(&started), @r#"
        exit code 0
        run       [RUN]
        workflow  hello (component hello, version 1)
        state     completed
        started   [TIME]
        ended     [TIME] (after [N] ms)
        events    0
        result    "Hello, Ada!"
        "#);
        insta::assert_snapshot!(show(&got), @r#"
        exit code 0
        run       [RUN]
        workflow  hello (component hello, version 1)
        state     completed
        started   [TIME]
        ended     [TIME] (after [N] ms)
        events    0
        result    "Hello, Ada!"
        "#);
    });
    assert_eq!((&run["state"], &run["result"]), (&json!("completed"), &json!("Hello, Ada!")));
}

#[tokio::test]
async fn history_and_signal_and_cancel() {
    let host = shared().await;
    let run = ran(&["start", "one_of_each"]).await.stdout.trim().to_owned();
    host.api.wait_for_events(&run, 3).await;
    host.api.wait_for_state(&run, RunState::Waiting).await;
    let waiting = ran(&["get", &run]).await;
    let sent = ran(&["signal", &run, "go", "7", "--id", "once"]).await;
    let again = ran(&["signal", &run, "go", "7", "--id", "once"]).await;
    host.api.end(&run).await;
    let history = ran(&["history", &run]).await;
    let followed = ran(&["history", "--follow", &run]).await;
    let cancelled = ran(&["cancel", &run]).await;
    settings().bind(|| {
        insta::assert_snapshot!(show(&waiting), @r#"
        exit code 0
        run       [RUN]
        workflow  one_of_each (component probe, version 1)
        state     waiting
        started   [TIME]
        events    3
        waits for [
          {
            "asked_at": "[TIME]",
            "call": 3,
            "kind": "signal",
            "name": "go"
          }
        ]
        "#);
        insta::assert_snapshot!(show(&sent), @"
        exit code 0
        sent
        ");
        insta::assert_snapshot!(show(&history), @"
        exit code 0
         #  AT (UTC)                 EVENT   NAME    CALL  ATTEMPT  TOOK OUTCOME
         0  [TIME]  step    double  0     1        [N] ms 42
         1  [TIME]  sleep           1              [N] ms
         2  [TIME]  step    double  2     1        [N] ms 2
         3  [TIME]  signal  go      3              [N] ms 7
        ");
        insta::assert_snapshot!(show(&followed), @"
        exit code 0
        [TIME]  step   double       42
        [TIME]  sleep
        [TIME]  step   double       2
        [TIME]  signal go           7
                                 completed 51
        ");
        insta::assert_snapshot!(show(&cancelled), @"
        exit code 4
        error: run-ended: the run has ended: it is completed
        ");
    });
    assert!(again.code == Some(0) || again.stderr.contains("run-ended"), "{}", show(&again));
}

#[tokio::test]
async fn failed_attempts_and_logs() {
    let flaky = ran(&["start", "flaky", "--input", "2", "--wait", "--json"]).await;
    let flaky: Value = serde_json::from_str(&flaky.stdout).expect("JSON");
    let flaky = flaky["run_id"].as_str().expect("an id");
    let (attempts, logs) = (ran(&["history", flaky]).await, ran(&["logs", flaky]).await);
    settings().bind(|| {
        insta::assert_snapshot!(show(&attempts), @"
        exit code 0
         #  AT (UTC)                 EVENT  NAME            CALL  ATTEMPT  TOOK OUTCOME
         0  [TIME]  step   succeeds_after  0     3        [N] ms 3

        failed attempts
         CALL  ATTEMPT  FAILED AT (UTC)          FAILURE
         0     1        [TIME]  too-early: attempt 1
         0     2        [TIME]  too-early: attempt 2
        ");
        insta::assert_snapshot!(show(&logs), @"
        exit code 0
        [TIME] info  call 0 attempt 1
        [TIME] info  call 0 attempt 2
        [TIME] info  call 0 attempt 3
        ");
    });
}

#[tokio::test]
async fn a_run_that_does_not_complete_is_exit_code_1() {
    let failed = ran(&["start", "fails", "--wait"]).await;
    let quarantined = ran(&["start", "stalls", "--wait"]).await;
    settings().bind(|| {
        insta::assert_snapshot!(show(&failed), @r#"
        exit code 1
        run       [RUN]
        workflow  fails (component probe, version 1)
        state     failed
        started   [TIME]
        ended     [TIME] (after [N] ms)
        events    0
        failure   {
          "code": "not-today",
          "details": [
            "detail"
          ],
          "message": "it would not",
          "retryable": true
        }
        "#);
        insta::assert_snapshot!(show(&quarantined), @r#"
        exit code 1
        run       [RUN]
        workflow  stalls (component rogue, version 1)
        state     quarantined
        started   [TIME]
        events    0
        report    {
          "code": "stalled",
          "message": "the workflow cannot go on: the workflow waits, but no call of it is open: nothing can ever wake it. It awaits something that does not come from the host. The same would happen again; it takes a version of its code that does not do this",
          "strikes": 1
        }
        "#);
    });
}

#[tokio::test]
async fn what_cannot_be_done_says_why_and_has_its_exit_code() {
    let nobody = windlass("http://127.0.0.1:1", &["list"]).await;
    let refused = ran(&["start", "nope"]).await;
    let unknown = ran(&["get", "00000000-0000-0000-0000-000000000000"]).await;
    let usage = ran(&["get", "not-an-id"]).await;
    let payload = ran(&["start", "hello", "--input", "{oops"]).await;
    let file = ran(&["deploy", "/nowhere/x.wasm"]).await;
    let listen = ran(&["serve", "--database-url", "postgres://x", "--listen", "0.0.0.0:1", "--insecure-no-auth"]).await;
    let database =
        ran(&["serve", "--database-url", "postgres://nobody@127.0.0.1:1/x", "--listen", "127.0.0.1:0"]).await;
    let schema =
        ran(&["serve", "--database-url", "postgres://x", "--schema", "Bad-Name", "--listen", "127.0.0.1:0"]).await;
    settings().bind(|| {
        insta::assert_snapshot!(show(&nobody), @"
        exit code 3
        error: no host answers at http://[HOST]: Connection refused (os error 111). Is one running? `windlass dev` starts one; --server names another
        ");
        insta::assert_snapshot!(show(&refused), @"
        exit code 4
        error: no-such-workflow: deploy a component that has the workflow `nope`, or check its name
        ");
        insta::assert_snapshot!(show(&unknown), @"
        exit code 4
        error: no-such-run: check the id, and the namespace in the address
        ");
        insta::assert_snapshot!(show(&usage), @"
        exit code 2
        error: invalid value 'not-an-id' for '<RUN>': invalid character: found `n` at 0

        For more information, try '--help'.
        ");
        insta::assert_snapshot!(show(&payload), @"
        exit code 1
        error: --input: the payload is no JSON document: key must be a string at line 1 column 2
        ");
        insta::assert_snapshot!(show(&file), @"
        exit code 1
        error: cannot read /nowhere/x.wasm: No such file or directory (os error 2)
        ");
        insta::assert_snapshot!(show(&listen), @"
        exit code 1
        error: 0.0.0.0 is no loopback address: `windlass dev`, and whatever serves without authentication, is for this machine; where others can reach it, `windlass serve` asks for API keys
        ");
        insta::assert_snapshot!(show(&database), @"
        exit code 1
        error: the database cannot be reached: error communicating with database: Connection refused (os error 111)
        ");
        insta::assert_snapshot!(show(&schema), @"
        exit code 1
        error: `Bad-Name` cannot be the name of a schema: it has 1 to 63 characters out of a-z, 0-9 and `_`, and begins with a letter
        ");
    });
}

#[tokio::test]
async fn every_command_explains_itself() {
    let mut all = show(&ran(&["--help"]).await);
    for command in ["dev", "serve", "deploy", "start", "get", "list", "history", "logs", "signal", "cancel"] {
        all += &format!("\n--- {command}\n{}", show(&ran(&[command, "--help"]).await));
    }
    for command in [["keys", "create"], ["keys", "rotate"], ["audit", "verify"]] {
        all += &format!("\n--- {}\n{}", command.join(" "), show(&ran(&[command[0], command[1], "--help"]).await));
    }
    settings().bind(|| insta::assert_snapshot!("help", all));
}

#[tokio::test]
async fn list_is_a_table_or_json() {
    let host = shared().await;
    host.api.end(&host.api.start("hello", json!("list")).await).await;
    let table = ran(&["list", "--workflow", "hello", "--limit", "1"]).await;
    let first = table.stdout.lines().take(2).map(str::trim_end).collect::<Vec<_>>().join("\n");
    let json = ran(&["list", "--workflow", "hello", "--state", "completed", "--limit", "1", "--json"]).await;
    let page: Value = serde_json::from_str(&json.stdout).expect("JSON");
    assert_eq!(page["runs"][0]["workflow"], "hello");
    settings().bind(|| {
        insta::assert_snapshot!(first, @"
    RUN                                   WORKFLOW  VERSION  STATE      STARTED (UTC)            TOOK
    [RUN]  hello     1        completed  [TIME]  [N] ms
    ")
    });
    assert_eq!(ran(&["list", "--state", "sleepy"]).await.code, Some(2));
}

#[tokio::test]
async fn a_history_is_replayed_against_a_component() {
    let host = shared().await;
    let run = host.api.start("steps", json!(5)).await;
    host.api.end(&run).await;
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"));
    let file = folder.join(format!("{run}.json"));
    let history = ran(&["history", &run, "--json"]).await.stdout;
    let file = file.to_str().expect("a path");
    std::fs::write(file, &history).expect("written");
    let (probe, hello) = (guest("probe"), guest("hello"));
    let replayed = ran(&["replay", file, probe.to_str().expect("a path")]).await;
    insta::assert_snapshot!(show(&replayed), @"
    exit code 0
    5 events, completed
    ");
    // Another program: as if the third step had been asked with another number.
    std::fs::write(file, history.replace("\"name\":\"double\",\"input\":2,", "\"name\":\"double\",\"input\":7,"))
        .expect("written");
    let diverged = ran(&["replay", file, probe.to_str().expect("a path")]).await;
    insta::assert_snapshot!(show(&diverged), @"
    exit code 1
    5 events, diverged: event 2 of its history answers call 2, the step `double`, with another input than this time
    ");
    // An event is missing.
    let mut holed: Value = serde_json::from_str(&history).expect("JSON");
    holed["events"].as_array_mut().expect("events").remove(3);
    std::fs::write(file, holed.to_string()).expect("written");
    let holed = ran(&["replay", file, probe.to_str().expect("a path")]).await;
    assert!(holed.code == Some(1) && holed.stderr.contains("event 3 is not where it belongs"), "{}", show(&holed));
    let without = ran(&["replay", file, hello.to_str().expect("a path")]).await;
    assert_eq!(without.code, Some(1), "{}", show(&without));
    std::fs::remove_file(file).expect("removed");
}

#[tokio::test]
async fn a_run_is_started_with_a_signal_followed_and_ended() {
    let started =
        ran(&["start", "collect", "--input", "1", "--signal", "item", "--signal-payload", "7", "--wait", "--json"])
            .await;
    let run: Value = serde_json::from_str(&started.stdout).expect("JSON");
    assert_eq!((started.code, &run["result"]), (Some(0), &json!([7])), "{}", show(&started));
    let chatty = ran(&["start", "chatty", "--input", "200"]).await;
    let followed = ran(&["logs", "--follow", "--level", "warn", chatty.stdout.trim()]).await;
    assert!(followed.code == Some(0) && followed.stdout.trim_end().ends_with("complained"), "{}", show(&followed));
    let forever = ran(&["start", "forever"]).await;
    let ended = ran(&["terminate", forever.stdout.trim(), "--reason", "enough", "--json"]).await;
    let run: Value = serde_json::from_str(&ended.stdout).expect("JSON");
    assert_eq!((&run["state"], &run["failure"]["message"]), (&json!("failed"), &json!("enough")), "{}", show(&ended));
}
