//! Secrets: where they go, and that they are nowhere else.

use std::io::Read as _;
use std::process::{Command, Stdio};
use std::sync::Arc;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;
use windlass_host::model::{MasterKeys, Name, Namespace};
use windlass_host::run::Secrets;
use windlass_host::sandbox::{Limits, Vault as _};

use super::service::{Post, Service, master_key};
use crate::harness::api::{Api, document};
use crate::harness::database::Database;
use crate::harness::guests::guest_bytes;
use crate::harness::host::{HostProcess, WINDLASS};

/// Nothing else in the whole of this process, of the database or of the guests looks like this.
const CANARY: &str = "canary-7f3a9c51e2-do-not-leak";

async fn set(api: &Api, name: &str, value: &str, target: &str, header: &str) -> (StatusCode, Value) {
    let body = json!({ "value": value, "for": [target], "header": header });
    let response = api.request(Method::PUT, &format!("/secrets/{name}"), body.to_string()).await;
    (response.status(), response.json().await.expect("JSON"))
}

fn with_key(url: String, key: &str) -> Value {
    json!({ "url": url, "headers": [["authorization", key]] })
}

#[tokio::test]
async fn a_secret_goes_into_its_header_at_its_host_and_nowhere_else() {
    let (bank, other) = (Service::open("127.0.0.1").await, Service::open("127.0.0.1").await);
    let post = Post::open(Limits::default(), "127.0.0.1:*,*.example.com:*").await;
    assert_eq!(set(&post.api, "bank", CANARY, &bank.url(""), "Authorization").await.0, StatusCode::OK);
    post.report(with_key(bank.url("/echo"), "Bearer {{secret:bank}}")).await;
    assert_eq!(bank.seen()[0].headers["authorization"], format!("Bearer {CANARY}"));

    let elsewhere = |header: &str| json!({ "url": bank.url("/echo"), "headers": [[header, "{{secret:bank}}"]] });
    for (errand, why) in [
        (with_key(other.url("/echo"), "{{secret:bank}}"), "another port"),
        (with_key("https://api.example.com/".into(), "{{secret:bank}}"), "another host"),
        (elsewhere("x-api-key"), "another header"),
        (elsewhere("cookie"), "another header"),
        (with_key(bank.url("/echo"), "{{secret:bonk}}"), "no such secret"),
        (with_key(bank.url("/echo"), "{{secret:bank"), "half a placeholder"),
        (json!({ "url": bank.url("/echo?key={{secret:bank}}") }), "the URL"),
        (json!({ "url": bank.url("/%7b%7bsecret:bank%7d%7d") }), "the URL, escaped"),
        (json!({ "url": bank.url("/echo"), "method": "POST", "body": "key={{secret:bank}}" }), "the body"),
    ] {
        let (code, message) = post.refused(errand).await;
        assert_eq!(code, "secret-denied", "{why}: {message}");
        assert!(!message.contains(CANARY), "{why}");
    }
    // Where a redirect leads, the key does not go.
    let redirect = bank.url(&format!("/redirect/{}", other.url("/echo")));
    let mut errand = with_key(redirect, "{{secret:bank}}");
    errand["follow"] = json!(true);
    assert_eq!(post.code(errand).await, "secret-denied");
    assert!(other.seen().is_empty());
    let placeholders = bank.seen().into_iter().filter(|seen| format!("{seen:?}").contains("secret:"));
    assert_eq!(placeholders.count(), 0);
}

#[tokio::test]
async fn a_service_that_sends_a_secret_back_does_not_give_it_to_the_guest() {
    let bank = Service::open("127.0.0.1").await;
    let post = Post::open(Limits::default(), "127.0.0.1:*").await;
    set(&post.api, "bank", CANARY, &bank.url(""), "authorization").await;
    let report = post.report(with_key(bank.url("/echo"), "{{secret:bank}}")).await;
    let body = report["body"].as_str().expect("text");
    assert!(body.contains(&format!("\"authorization\":\"{}\"", "*".repeat(CANARY.len()))), "{body}");
    assert_eq!(report["echo"], "***");
    assert!(!report.to_string().contains(CANARY));
}

#[tokio::test]
async fn a_secret_is_set_and_listed_and_deleted_and_never_shown() {
    let post = Post::open(Limits::default(), "").await;
    let (status, answer) = set(&post.api, "bank", CANARY, "https://api.example.com", "authorization").await;
    assert_eq!((status, &answer["is_new"]), (StatusCode::OK, &json!(true)));
    let (_, answer) = set(&post.api, "bank", "another-value", "https://api.example.com:8443", "x-api-key").await;
    assert_eq!(answer, json!({ "name": "bank", "is_new": false, "placeholder": "{{secret:bank}}" }));
    let listed = post.api.get("/secrets").await;
    assert_eq!(listed["secrets"][0]["for"], json!(["https://api.example.com:8443"]));
    assert_eq!(listed["secrets"][0]["header"], "x-api-key");
    assert!(!listed.to_string().contains("another-value"));

    for (value, target, header) in [
        ("short", "https://api.example.com", "authorization"),
        ("two\nlines-of-it", "https://api.example.com", "authorization"),
        (CANARY, "http://api.example.com", "authorization"),
        (CANARY, "https://*.example.com", "authorization"),
        (CANARY, "https://api.example.com/v1", "authorization"),
        (CANARY, "api.example.com", "authorization"),
        (CANARY, "https://api.example.com", "host"),
        (CANARY, "https://api.example.com", "content-length"),
    ] {
        let (status, answer) = set(&post.api, "bad", value, target, header).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{target} {header}");
        assert!(!answer.to_string().contains(value), "{answer}");
    }
    let nonsense = post.api.request(Method::PUT, "/secrets/bad", json!({ "for": CANARY }).to_string()).await;
    assert!(!nonsense.text().await.expect("text").contains(CANARY));

    let deleted = post.api.request(Method::DELETE, "/secrets/bank", "").await;
    assert_eq!(deleted.status(), StatusCode::NO_CONTENT);
    let again = post.api.request(Method::DELETE, "/secrets/bank", "").await;
    assert_eq!(again.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn without_a_master_key_no_secret_is_taken() {
    let host = crate::harness::shared::shared().await;
    let (status, problem) = set(&host.api, "bank", CANARY, "https://api.example.com", "authorization").await;
    assert_eq!((status, &problem["code"]), (StatusCode::CONFLICT, &json!("no-master-key")));
    assert!(problem["detail"].as_str().expect("text").contains("WINDLASS_MASTER_KEY_FILE"), "{problem}");
}

/// Whoever can write to the database gives a secret neither to another host nor to another namespace.
#[tokio::test]
async fn a_row_that_was_changed_or_moved_does_not_open() {
    let (bank, evil) = (Service::open("127.0.0.1").await, Service::open("127.0.0.1").await);
    let post = Post::open(Limits::default(), "127.0.0.1:*").await;
    set(&post.api, "bank", CANARY, &bank.url(""), "authorization").await;
    set(&post.api, "mine", "the-attacker-s-own", &evil.url(""), "authorization").await;
    let execute = async |statement: String| {
        let mut session = post.database.session().await;
        sqlx::query(AssertSqlSafe(statement.clone())).execute(&mut session).await.expect(&statement);
        // What hosts remember of it is forgotten.
        tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
    };
    execute(format!("UPDATE secrets SET targets = '{{{}}}' WHERE name = 'bank'", evil.url(""))).await;
    let (code, message) = post.refused(with_key(evil.url("/"), "{{secret:bank}}")).await;
    assert_eq!(code, "secret-denied", "{message}");
    execute("UPDATE secrets SET sealed = (SELECT sealed FROM secrets WHERE name = 'bank') WHERE name = 'mine'".into())
        .await;
    let (code, message) = post.refused(with_key(evil.url("/"), "{{secret:mine}}")).await;
    assert_eq!(code, "secret-denied", "{message}");
    assert!(message.contains("cannot be opened"), "{message}");
    assert!(evil.seen().is_empty());
}

fn assert_no_canary(place: &str, text: &str) {
    let found = text.find(CANARY).map(|at| &text[at.saturating_sub(200)..text.len().min(at + 200)]);
    assert_eq!(found, None, "{place}");
    let hexadecimal: String = CANARY.bytes().map(|byte| format!("{byte:02x}")).collect();
    assert!(!text.contains(&hexadecimal), "{place}, in hexadecimal");
    let half = &CANARY[..CANARY.len() - 8];
    assert!(!text.contains(half), "{place}: the most of it");
}

/// A host in a process of its own that logs all that it can; a guest that uses the secret and succeeds, fails and crashes, and
/// searches its own memory. Then the secret is looked for everywhere.
#[tokio::test]
async fn a_secret_that_was_used_is_nowhere_but_with_the_service() {
    let bank = Service::open("127.0.0.1").await;
    let database = Database::new().await;
    let folder = std::env::temp_dir().join(format!("windlass-canary-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let (key, log) = (folder.join("key"), folder.join("log"));
    std::fs::write(&key, master_key(9)).expect("a key");
    let mut command = Command::new(WINDLASS);
    command.args(["serve", "--database-url", &database.url, "--schema", &database.schema, "--log", "trace"]);
    command.arg("--insecure-no-auth").env("WINDLASS_MASTER_KEY_FILE", &key);
    let mut host = HostProcess::start_logging(command, std::fs::File::create(&log).expect("a log")).await;
    let api = host.api.clone();
    api.deploy(guest_bytes("courier"), "127.0.0.1:*").await.expect("deployed");

    let mut setting = Command::new(WINDLASS);
    setting.args(["secret", "set", "bank", "--for", &bank.url(""), "--header", "authorization"]);
    let file = folder.join("value");
    std::fs::write(&file, format!("{CANARY}\n")).expect("a value");
    let set = setting.arg("--from-file").arg(&file).env("WINDLASS_SERVER", &host.server).output().expect("it runs");
    assert!(set.status.success(), "{}", String::from_utf8_lossy(&set.stderr));
    assert_no_canary("what the command prints", &String::from_utf8_lossy(&set.stdout));

    let look_for: Vec<u8> = CANARY.bytes().map(|byte| !byte).collect();
    let mut answers = String::new();
    let mut runs = Vec::new();
    for then in ["", "fail", "trap"] {
        let mut errand = with_key(bank.url("/echo"), "Bearer {{secret:bank}}");
        errand["look_for"] = json!(look_for);
        errand["then"] = json!(then);
        let run = api.start("errand", errand).await;
        let ended = document(&api.end(&run).await).to_string();
        assert!(ended.contains("\"found\":0") || ended.contains("found 0"), "{then}: {ended}");
        runs.push(run);
    }
    // And one that is refused.
    runs.push(api.start("errand", with_key(bank.url("/echo?{{secret:bank}}"), "{{secret:bank}}")).await);
    api.end(&runs[3]).await;
    // That the guest does find what is there.
    let there: Vec<u8> = "{{secret:bank}}".bytes().map(|byte| !byte).collect();
    let mut errand = with_key(bank.url("/echo"), "{{secret:bank}}");
    errand["look_for"] = json!(there);
    let run = api.start("errand", errand).await;
    assert_ne!(api.result(&run).await["found"], 0, "the placeholder is in its memory");
    for run in &runs {
        for path in ["", "/history", "/logs", "/state"] {
            answers += &api.get(&format!("/runs/{run}{path}")).await.to_string();
        }
    }
    answers += &api.get("/secrets").await.to_string();
    assert_eq!(bank.seen().len(), 4);
    assert!(bank.seen().iter().all(|seen| seen.headers["authorization"].contains(CANARY)), "it was there");
    assert_no_canary("the answers of the API", &answers);
    let rows = database.everything().await;
    assert!(
        rows.contains("{{secret:bank}}") && rows.contains("on-purpose"),
        "what was looked through is what there is"
    );
    assert_no_canary("the database", &rows);
    host.terminate();
    let mut lines = String::new();
    std::fs::File::open(&log).and_then(|mut log| log.read_to_string(&mut lines)).expect("the log");
    assert!(lines.contains("TRACE"), "it says all that it can");
    assert_no_canary("the log of the host", &lines);
    assert!(!lines.contains(&master_key(9)) && !rows.contains(&master_key(9)));
    std::fs::remove_dir_all(&folder).expect("removed");
}

async fn rewrap(database: &Database, key: &str, old: Option<&std::path::Path>, more: &[&str]) -> (bool, String) {
    let mut command = tokio::process::Command::new(WINDLASS);
    command.args(["secret", "rewrap", "--database-url", &database.url, "--schema", &database.schema]).args(more);
    if let Some(old) = old {
        command.arg("--old-master-key-file").arg(old);
    }
    let output = command.env("WINDLASS_MASTER_KEY", key).stdin(Stdio::null()).output().await.expect("it runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.success(), text)
}

#[tokio::test]
async fn the_master_key_and_the_data_keys_can_be_changed() {
    let bank = Service::open("127.0.0.1").await;
    let post = Post::open(Limits::default(), "127.0.0.1:*").await;
    for name in ["bank", "shop"] {
        set(&post.api, name, CANARY, &bank.url(""), "authorization").await;
    }
    let data_keys = "SELECT count(DISTINCT key_id) FROM data_keys";
    let key_before = post.database.text("SELECT key_id::text FROM data_keys").await;
    let old = std::env::temp_dir().join(format!("windlass-old-key-{}", std::process::id()));
    std::fs::write(&old, master_key(1)).expect("a key");
    let (done, text) = rewrap(&post.database, &master_key(2), None, &[]).await;
    assert!(!done && text.contains("which this host does not have"), "{text}");
    let (done, text) = rewrap(&post.database, &master_key(2), Some(&old), &[]).await;
    assert!(done && text.contains("1 wrapped anew, 0 were"), "{text}");
    let (done, text) = rewrap(&post.database, &master_key(2), None, &["--new-data-keys"]).await;
    assert!(done && text.contains("0 wrapped anew, 1 were") && text.contains("2 sealed under new data keys"), "{text}");
    std::fs::remove_file(&old).expect("removed");
    assert_eq!(post.database.count(data_keys).await, 1);
    assert_ne!(post.database.text("SELECT key_id::text FROM data_keys").await, key_before);

    // The host that still has the old key only says so; one that has the new one goes on.
    tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
    let (code, message) = post.refused(with_key(bank.url("/"), "{{secret:bank}}")).await;
    assert!(code == "secret-denied" && message.contains("needs the master key"), "{code} {message}");
    assert!(bank.seen().is_empty());
    let mut command = Command::new(WINDLASS);
    command.args([
        "serve",
        "--insecure-no-auth",
        "--database-url",
        &post.database.url,
        "--schema",
        &post.database.schema,
    ]);
    command.env("WINDLASS_MASTER_KEY", master_key(2));
    let host = HostProcess::start(command).await;
    let keys = MasterKeys::parse(&master_key(2)).expect("a key");
    let secrets = Secrets::new(post.database.store().await, Some(Arc::new(keys)));
    for name in ["bank", "shop"] {
        let (namespace, name) = (Namespace::new("default").expect("a namespace"), Name::new(name).expect("a name"));
        let secret = secrets.secret(&namespace, &name).await.expect("it opens").expect("it is there");
        assert_eq!(secret.value.reveal(), CANARY.as_bytes());
    }
    assert_eq!(set(&host.api, "bank", CANARY, &bank.url(""), "authorization").await.0, StatusCode::OK);
}
