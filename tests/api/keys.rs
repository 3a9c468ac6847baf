//! Keys: made, used, rotated, revoked, and kept so that nobody can find them.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use windlass_host::api::CreatedKey;
use windlass_host::model::{ApiKey, Namespace, RunId, Scope, Who};
use windlass_host::worker::{HostConfig, Waited};

use crate::harness::api::Api;
use crate::harness::database::Database;
use crate::harness::eventually;
use crate::harness::guests::guest_bytes;
use crate::harness::host::{HostProcess, WINDLASS, windlass, windlass_with};
use crate::harness::shared::{on_own_threads, start_host};
use crate::harness::tenants::{new_key, tenants};

async fn create(api: &Api, body: Value) -> CreatedKey {
    let response = api.request(Method::POST, "/keys", body.to_string()).await;
    assert_eq!(response.status(), StatusCode::CREATED, "{}", response.text().await.unwrap_or_default());
    response.json().await.expect("a key")
}

#[tokio::test]
async fn a_key_is_made_listed_used_and_rotated() {
    let tenants = tenants().await;
    let namespace = tenants.namespace().await;
    let admin = Api::with_key(&tenants.server, &namespace, &tenants.key(&namespace, &[Scope::Admin]).await);
    let made =
        create(&admin, json!({ "name": "reader", "scopes": ["start", "read", "read"], "lifetime": "90d" })).await;
    assert_eq!(made.key.scopes, [Scope::Read, Scope::Start]);
    let lifetime = made.key.expires_at.expect("an end").since(made.key.created_at).as_secs_f64() / 86_400.0;
    assert!((lifetime - 90.0).abs() < 0.001, "{lifetime}");
    let reader = Api::with_key(&tenants.server, &namespace, &made.api_key);
    assert_eq!(reader.get("/runs").await["runs"], json!([]));
    let listed = admin.get("/keys").await;
    assert_eq!(listed["keys"][0]["name"], "reader");
    assert!(!listed.to_string().contains(&made.api_key.reveal()[14..]), "{listed}");
    // Another for the same; the old one goes on for the time being, or not at all.
    let path = format!("/keys/{}/rotate", made.key.key_id);
    let rotated: CreatedKey = admin.request(Method::POST, &path, "{}").await.json().await.expect("a key");
    assert_eq!((&rotated.key.name, &rotated.key.scopes), (&made.key.name, &made.key.scopes));
    assert_eq!(Api::with_key(&tenants.server, &namespace, &rotated.api_key).get("/runs").await["runs"], json!([]));
    assert_eq!(reader.request(Method::GET, "/runs", "").await.status(), StatusCode::OK);
    let path = format!("/keys/{}/rotate", rotated.key.key_id);
    let status = admin.request(Method::POST, &path, json!({ "overlap": "0s" }).to_string()).await.status();
    assert_eq!(status, StatusCode::CREATED);
    let again = admin.request(Method::POST, &path, "{}").await;
    assert_eq!(again.json::<Value>().await.expect("JSON")["code"], "no-such-key");
}

#[tokio::test]
async fn a_key_that_cannot_be_is_refused_with_a_reason() {
    let tenants = tenants().await;
    let api = tenants.api(&tenants.namespace().await).await;
    for (body, why) in [
        (json!({ "name": "", "scopes": ["read"] }), "name"),
        (json!({ "name": "a\nb", "scopes": ["read"] }), "name"),
        (json!({ "name": "x".repeat(101), "scopes": ["read"] }), "name"),
        (json!({ "name": "x", "scopes": [] }), "scopes"),
        (json!({ "name": "x", "scopes": ["root"] }), "unknown variant `root`"),
        (json!({ "name": "x", "scopes": ["read"], "lifetime": "200 years" }), "lifetime"),
        (json!({ "name": "x", "scopes": ["read"], "namespace": "default" }), "unknown field"),
    ] {
        let problem: Value = api.request(Method::POST, "/keys", body.to_string()).await.json().await.expect("JSON");
        assert_eq!(problem["code"], "bad-request", "{body}");
        assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains(why)), "{problem}");
    }
}

#[tokio::test]
async fn when_a_key_was_used_is_written_down_later() {
    let tenants = tenants().await;
    let namespace = tenants.namespace().await;
    let api = tenants.api(&namespace).await;
    assert_eq!(api.get("/keys").await["keys"][0]["last_used_at"], Value::Null);
    eventually("the use is written down", async || {
        let used = &api.get("/keys").await["keys"][0]["last_used_at"];
        (!used.is_null()).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_key_that_is_revoked_at_one_host_is_good_for_nothing_at_another_within_a_second() {
    let database = Database::new().await;
    let store = database.store().await;
    let hosts =
        [HostProcess::serve_with_keys(&database, &[]).await, HostProcess::serve_with_keys(&database, &[]).await];
    let admin = new_key(&store, "default", &[Scope::Admin]).await;
    let user = new_key(&store, "default", &[Scope::Read, Scope::Start, Scope::Deploy]).await;
    let there = Api::with_key(&hosts[1].server, "default", &user);
    there.deploy(guest_bytes("probe"), "").await.expect("deployed");
    let run = there.start("forever", Value::Null).await;
    let mut followed = there.request(Method::GET, &format!("/runs/{run}/follow"), "").await.bytes_stream();
    let waiting = {
        let (there, path) = (there.clone(), format!("/runs/{run}?wait=3s"));
        tokio::spawn(async move { there.request(Method::GET, &path, "").await.status() })
    };
    let admin = Api::with_key(&hosts[0].server, "default", &admin);
    let revoke = admin.request(Method::DELETE, &format!("/keys/{}", user.id()), "").await;
    assert_eq!(revoke.json::<Value>().await.expect("JSON"), json!({ "is_new": true }));
    let revoked = Instant::now();
    loop {
        let asked = revoked.elapsed();
        match there.request(Method::GET, "/runs", "").await.status() {
            StatusCode::UNAUTHORIZED => break,
            status => assert!(status.is_success() && asked < Duration::from_secs(1), "{status} after {asked:?}"),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // What it had open is closed: a stream ends, and whoever waits is told nothing.
    let rest = async { while followed.next().await.is_some_and(|part| part.is_ok()) {} };
    tokio::time::timeout(Duration::from_secs(10), rest).await.expect("the stream ends");
    assert_eq!(waiting.await.expect("no panic"), StatusCode::UNAUTHORIZED);
}

/// Every column of every table of the schema, as text, bytes as hexadecimal.
async fn rows_with(database: &Database, text: &str) -> i64 {
    let hex: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
    let tables = format!(
        "SELECT string_agg(format('SELECT count(*) AS found FROM %I t WHERE t::text LIKE %L OR t::text LIKE %L', \
         table_name, '%{text}%', '%{hex}%'), ' UNION ALL ') FROM information_schema.tables \
         WHERE table_schema = '{}' AND table_type = 'BASE TABLE'",
        database.schema
    );
    let counts = database.text(&tables).await.expect("tables");
    database.count(&format!("SELECT sum(found)::bigint FROM ({counts}) c")).await
}

#[tokio::test]
async fn the_secret_of_a_key_is_in_no_row_and_in_no_line_of_the_log() {
    let database = Database::new().await;
    let store = database.store().await;
    let file = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{}.log", database.schema));
    let mut command = Command::new(WINDLASS);
    command.args(["serve", "--database-url", &database.url, "--schema", &database.schema, "--log", "trace"]);
    let mut host = HostProcess::start_logging(command, std::fs::File::create(&file).expect("a file")).await;
    let admin = new_key(&store, "*", &Scope::ALL).await;
    let api = Api::with_key(&host.server, "default", &admin);
    let made = create(&api, json!({ "name": "x", "scopes": ["read"] })).await;
    let path = format!("/keys/{}/rotate", made.key.key_id);
    let rotated: CreatedKey = api.request(Method::POST, &path, "{}").await.json().await.expect("a key");
    let unknown = ApiKey::new();
    for key in [&made.api_key, &rotated.api_key, &unknown] {
        let api = Api::with_key(&host.server, "default", key);
        api.request(Method::GET, "/runs", "").await;
        api.request(Method::POST, "/keys", "{}").await;
        api.request(Method::POST, "/runs", "not json").await;
    }
    api.deploy(guest_bytes("hello"), "").await.expect("deployed");
    api.end(&api.start("hello", json!("Ada")).await).await;
    host.terminate();
    let log = std::fs::read_to_string(&file).expect("a log");
    std::fs::remove_file(&file).expect("removed");
    assert!(log.contains("/v1/namespaces/default/keys") && log.lines().count() > 50, "{log}");
    for key in [admin, made.api_key, rotated.api_key, unknown] {
        let secret = &key.reveal()[14..14 + 43];
        for part in [secret, &secret[..12], &secret[31..]] {
            assert!(!log.contains(part), "the log has {part}");
            assert_eq!(rows_with(&database, part).await, 0, "a row has {part}");
        }
    }
    // The search finds what is there.
    assert!(rows_with(&database, made.key.key_id.as_str()).await >= 2);
}

#[tokio::test]
async fn the_first_key_is_made_in_the_database_and_the_others_over_the_api() {
    let database = Database::new().await;
    let direct = ["--database-url", &database.url, "--schema", &database.schema, "--all-namespaces", "--json"];
    let create = [&["keys", "create", "--scopes", "admin,deploy,read", "--name", "first"][..], &direct].concat();
    // No host is there yet.
    let first = windlass("http://127.0.0.1:1", &create).await;
    let first: CreatedKey = serde_json::from_str(&first.stdout).unwrap_or_else(|_| panic!("{}", first.stderr));
    let host = HostProcess::serve_with_keys(&database, &[]).await;
    let key = first.api_key.reveal();
    let ran = async |arguments: &[&str]| {
        let ran = windlass_with(&host.server, arguments, &[("WINDLASS_API_KEY", &key)]).await;
        assert_eq!(ran.code, Some(0), "{arguments:?}: {}", ran.stderr);
        ran.stdout
    };
    assert!(ran(&["namespace", "create", "team-a"]).await.contains("team-a"));
    assert!(ran(&["namespace", "list"]).await.contains("team-a"));
    let made = ran(&["-n", "team-a", "keys", "create", "--scopes", "read", "--lifetime", "12h", "--json"]).await;
    let made: CreatedKey = serde_json::from_str(&made).expect("a key");
    // From a file, which is how a key comes into a container.
    let file = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{}.key", database.schema));
    std::fs::write(&file, format!("{}\n", made.api_key.reveal())).expect("written");
    let file = file.to_str().expect("a path");
    let list = windlass_with(&host.server, &["-n", "team-a", "list", "--api-key-file", file], &[]).await;
    assert_eq!(list.code, Some(0), "{}", list.stderr);
    let elsewhere = windlass_with(&host.server, &["list", "--api-key-file", file], &[]).await;
    assert_eq!(
        (elsewhere.code, elsewhere.stderr.contains("no-such-namespace")),
        (Some(4), true),
        "{}",
        elsewhere.stderr
    );
    let id = made.key.key_id.to_string();
    let shown = ran(&["-n", "team-a", "keys", "list"]).await;
    assert!(shown.contains(&id) && !shown.contains(&made.api_key.reveal()[14..]), "{shown}");
    assert!(ran(&["-n", "team-a", "keys", "rotate", &id]).await.starts_with("key       wl_"));
    assert_eq!(ran(&["-n", "team-a", "keys", "revoke", &id]).await, "revoked\n");
    assert_eq!(ran(&["-n", "team-a", "keys", "revoke", &id]).await, "revoked before\n");
    // One that is not a key does not leave the machine, and is not shown.
    std::fs::write(file, "wl_hunter2").expect("written");
    let wrong = windlass_with(&host.server, &["list", "--api-key-file", file], &[]).await;
    assert!(wrong.code == Some(1) && !wrong.stderr.contains("hunter2"), "{}", wrong.stderr);
    std::fs::remove_file(file).expect("removed");
}

#[tokio::test]
async fn a_host_for_development_says_that_it_has_no_keys_or_makes_the_first_one() {
    let database = Database::new().await;
    let dev = || {
        let mut command = Command::new(WINDLASS);
        command.args(["dev", "--database-url", &database.url, "--schema", &database.schema]);
        command
    };
    let mut child =
        dev().args(["--listen", "127.0.0.1:0"]).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("started");
    let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let lines: Vec<_> = lines.take(2).collect::<Result<_, _>>().expect("two lines");
    child.kill().and_then(|()| child.wait()).expect("ended");
    assert_eq!(lines[1], "auth     none: whoever reaches this address may do everything");
    let with_auth = async || {
        let mut command = dev();
        command.arg("--auth");
        HostProcess::start(command).await
    };
    let host = with_auth().await;
    let key: ApiKey = host.serving["api_key"].as_str().expect("a key").parse().expect("a key");
    assert_eq!(host.api.request(Method::GET, "/runs", "").await.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(Api::with_key(&host.server, "default", &key).get("/runs").await["runs"], json!([]));
    drop(host);
    assert_eq!(with_auth().await.serving["api_key"], Value::Null);
}

/// A run that began and ended in one commit is told to all who watch its id, without a question to the database.
#[tokio::test]
async fn the_end_of_a_run_is_told_to_its_own_namespace_only() {
    let database = Database::new().await;
    let host = {
        let database = database.clone();
        on_own_threads(move || async move { start_host(&database, HostConfig::default()).await }).await
    };
    let store = database.store().await;
    let (own, other): (Namespace, Namespace) = ("default".parse().expect("one"), "other".parse().expect("one"));
    assert!(store.put_namespace(&other, &[], &Who::Dev).await.expect("made"));
    let run = RunId::new();
    let mut session = database.session().await;
    let insert = format!(
        "INSERT INTO runs (shard, run_id, namespace, workflow, component, version, durability, seed, input, state, result) \
         VALUES (shard_of('{run}'), '{run}', 'default', 'w', 'c', 1, 0, '\\x00000000000000000000000000000000', '1', 1, '2')"
    );
    sqlx::query(sqlx::AssertSqlSafe(insert)).execute(&mut session).await.expect("a run");
    let watcher = host.watchers().watch(run);
    host.watchers().ended(run, store.get_run(&own, run).await.expect("read"));
    let waited = |namespace| host.wait_for_end(&watcher, namespace, Duration::ZERO, false);
    assert!(matches!(waited(&own).await.expect("read"), Waited::Ended(_)));
    assert!(matches!(waited(&other).await.expect("read"), Waited::NoSuchRun));
    host.shutdown();
}
