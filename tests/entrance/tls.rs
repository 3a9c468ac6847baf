//! TLS: whom a host shows itself to be, and when it has to.

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;

use reqwest::{Client, StatusCode};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;
use windlass_host::api::{ApiLimits, Certificate};

use super::{Raw, get};
use crate::harness::api::http;
use crate::harness::certificates::Authority;
use crate::harness::database::Database;
use crate::harness::eventually;
use crate::harness::host::{Ran, WINDLASS};
use crate::harness::shared::shared;

/// A client that believes nobody but one authority.
fn believing(authority: &Authority) -> Client {
    // It makes sure that there is a provider of cryptography.
    drop(http());
    let root = reqwest::Certificate::from_pem(authority.pem().as_bytes()).expect("a certificate");
    Client::builder().tls_certs_only([root]).build().expect("a client")
}

/// The last cause.
fn cause(error: &reqwest::Error) -> String {
    format!("{error:?}")
}

#[tokio::test]
async fn a_host_with_a_certificate_speaks_tls_and_nothing_else() {
    let authority = Authority::new();
    let (certificate, key) = authority.sign("localhost");
    let certificate = Arc::new(Certificate::open(&certificate, &key).expect("a certificate"));
    let port = shared().await.entrance(ApiLimits::default(), Some(certificate)).await.port();

    let client = believing(&authority);
    let runs = client.get(format!("https://localhost:{port}/v1/namespaces/default/runs")).send().await;
    assert_eq!(runs.expect("an answer").status(), StatusCode::OK);

    let wrong_name = client.get(format!("https://127.0.0.1:{port}/healthz")).send().await.expect_err("another name");
    assert!(cause(&wrong_name).contains("NotValidForName"), "{}", cause(&wrong_name));
    let stranger = believing(&Authority::new()).get(format!("https://localhost:{port}/healthz")).send().await;
    let stranger = stranger.expect_err("nobody knows the authority");
    assert!(cause(&stranger).contains("UnknownIssuer"), "{}", cause(&stranger));

    let mut plain = Raw::connect(([127, 0, 0, 1], port).into()).await;
    plain.say(&get("/healthz")).await;
    let heard = plain.hear().await;
    assert!(!heard.contains("HTTP") && !heard.contains("ok"), "{heard:?}");
}

#[tokio::test]
async fn a_new_certificate_is_shown_to_new_connections_and_those_that_are_there_go_on() {
    let (old, new) = (Authority::new(), Authority::new());
    let (file, key) = old.sign("localhost");
    let certificate = Arc::new(Certificate::open(&file, &key).expect("a certificate"));
    let port = shared().await.entrance(ApiLimits::default(), Some(certificate.clone())).await.port();
    let ask = async |client: &Client| {
        Some(client.get(format!("https://localhost:{port}/healthz")).send().await.ok()?.status())
    };
    let (kept, stranger) = (believing(&old), believing(&new));
    assert_eq!(ask(&kept).await, Some(StatusCode::OK));
    assert_eq!(ask(&stranger).await, None);

    std::fs::write(&file, "half a certi").expect("written");
    certificate.read_again().await;
    assert_eq!(ask(&believing(&old)).await, Some(StatusCode::OK), "what cannot be used changes nothing");
    let new_key = key.with_file_name("new-key.pem");
    new.sign_into("localhost", &file, &new_key);
    certificate.read_again().await;
    assert_eq!(ask(&believing(&old)).await, Some(StatusCode::OK), "nor does a certificate without its key");
    std::fs::copy(new_key, &key).expect("copied");
    certificate.read_again().await;
    assert_eq!(ask(&stranger).await, Some(StatusCode::OK));
    assert_eq!(ask(&believing(&old)).await, None, "a new connection sees the new certificate");
    assert_eq!(ask(&kept).await, Some(StatusCode::OK), "the old connection goes on");
}

/// `windlass` as a person would run it, with an authority to believe or without.
async fn list(server: &str, authority: Option<&Path>) -> Ran {
    let mut command = Command::new(WINDLASS);
    command.args(["list", "--json", "--server", server]).env_remove("WINDLASS_CA_FILE");
    if let Some(authority) = authority {
        command.arg("--ca-file").arg(authority);
    }
    let output = command.output().await.expect("it runs");
    Ran {
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        code: output.status.code(),
    }
}

#[tokio::test]
async fn the_command_line_speaks_tls_and_a_hangup_makes_a_host_read_its_certificate_again() {
    let (old, new) = (Authority::new(), Authority::new());
    let (file, key) = old.sign("localhost");
    let database = Database::new().await;
    let mut command = Command::new(WINDLASS);
    command.args([
        "serve",
        "--insecure-no-auth",
        "--json",
        "--listen",
        "127.0.0.1:0",
        "--schema",
        &database.schema,
        "--tls-cert",
    ]);
    command.arg(&file).arg("--tls-key").arg(&key).env("DATABASE_URL", &database.url);
    command.env("WINDLASS_CACHE_DIR", concat!(env!("CARGO_TARGET_TMPDIR"), "/code"));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
    let mut host = command.spawn().expect("the host starts");
    let line = BufReader::new(host.stdout.take().expect("piped")).lines().next_line().await.expect("read");
    let serving: Value = serde_json::from_str(&line.expect("it serves")).expect("JSON");
    let server = serving["api"].as_str().expect("an address").replace("127.0.0.1", "localhost");
    assert!(server.starts_with("https://localhost:"), "{server}");

    let listed = list(&server, Some(&old.file())).await;
    assert_eq!(listed.code, Some(0), "{}", listed.stderr);
    let stranger = list(&server, None).await;
    assert_eq!(stranger.code, Some(3));
    assert!(stranger.stderr.contains("--ca-file"), "{}", stranger.stderr);
    let no_file = list(&server, Some(Path::new("/nowhere/ca.pem"))).await;
    assert!(no_file.code == Some(1) && no_file.stderr.contains("/nowhere/ca.pem"), "{}", no_file.stderr);

    new.sign_into("localhost", &file, &key);
    let pid = host.id().and_then(|pid| Pid::from_raw(pid.cast_signed())).expect("it runs");
    kill_process(pid, Signal::HUP).expect("signalled");
    eventually("it shows the new certificate", async || {
        (list(&server, Some(&new.file())).await.code == Some(0)).then_some(())
    })
    .await;
    assert!(host.try_wait().expect("looked").is_none(), "a hangup does not end it");
}

#[tokio::test]
async fn a_host_does_not_listen_without_tls_where_others_can_reach_it() {
    let serve = async |options: &[&str]| {
        let mut command = Command::new(WINDLASS);
        // Nothing is there: it has to refuse before it looks.
        command.args(["serve", "--database-url", "postgres:///nothing?host=/nowhere", "--listen", "0.0.0.0:0"]);
        let output = command.args(options).output().await.expect("it runs");
        assert!(!output.status.success());
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let refused = serve(&[]).await;
    assert!(refused.contains("--tls-cert") && refused.contains("--insecure-plaintext"), "{refused}");
    let proxied = serve(&["--insecure-plaintext"]).await;
    assert!(!proxied.contains("--tls-cert"), "{proxied}");
    let half = serve(&["--tls-cert", "/nowhere.pem"]).await;
    assert!(half.contains("--tls-key"), "{half}");
}

#[test]
fn what_is_no_certificate_is_said_to_be_none() {
    let (one, another) = (Authority::new(), Authority::new());
    let (certificate, key) = one.sign("localhost");
    let (_, other_key) = another.sign("localhost");
    let open =
        |certificate: &Path, key: &Path| Certificate::open(certificate, key).err().map(|error| error.to_string());
    assert_eq!(open(&certificate, &key), None);
    assert!(open(Path::new("/nowhere"), &key).expect("an error").starts_with("/nowhere: "));
    assert!(open(&key, &key).expect("an error").contains("a PEM file with certificates"));
    assert!(open(&certificate, &certificate).expect("an error").contains("a PEM file with a private key"));
    assert!(open(&certificate, &other_key).expect("an error").contains("cannot be used together"));
}
