//! HTTP as a capability, with a real guest and real services.

use reqwest::Method;
use serde_json::{Value, json};
use windlass_host::model::GuestLimits;
use windlass_host::sandbox::Limits;

use super::service::{Post, Service};
use crate::harness::api::document;
use crate::harness::eventually;
use crate::harness::guests::guest;
use crate::harness::host::windlass;

fn get(url: String) -> Value {
    json!({ "url": url })
}

#[tokio::test]
async fn a_request_is_as_wide_as_its_grant_and_the_failure_says_what_would_allow_it() {
    let service = Service::open("127.0.0.1").await;
    let port = service.port();
    let post = Post::open(Limits::default(), &format!("GET 127.0.0.1:{port}/echo")).await;
    assert_eq!(post.code(get(service.url("/echo/x"))).await, "none");
    let (code, message) = post.refused(json!({ "url": service.url("/echo"), "method": "POST", "body": "x" })).await;
    assert_eq!(code, "http-denied");
    let message = message.replace(&port.to_string(), "PORT");
    insta::assert_snapshot!(message, @"`POST http://127.0.0.1:PORT/echo` is not granted to the component `courier`, which was granted `GET 127.0.0.1:PORT/echo/*`. To allow it: windlass grant courier --http 'POST 127.0.0.1:PORT/echo/*'");
    for url in [service.url("/other"), service.url("/echo/../other"), service.url("/echo/%2e%2e/other")] {
        assert_eq!(post.code(get(url.clone())).await, "http-denied", "{url}");
    }
    let (code, message) = post.refused(get("https://api.other.example/".into())).await;
    assert!(code == "http-denied" && message.contains("the step `run` does not ask for"), "{message}");
    // The author has narrowed what this one asks for; the operator grants all of it.
    post.api.deploy(crate::harness::guests::guest_bytes("courier"), "127.0.0.2:*").await.expect("deployed");
    let other = Service::open("127.0.0.2").await;
    assert_eq!(post.code(get(other.url("/v1/x"))).await, "none");
    assert_eq!(post.code(get(other.url("/v2/x"))).await, "http-denied");
    assert_eq!(post.code(json!({ "url": other.url("/v1/x"), "method": "DELETE" })).await, "http-denied");
    assert_eq!((service.seen().len(), other.seen().len()), (1, 1));
}

#[tokio::test]
async fn why_a_request_was_refused_stands_in_the_log_and_in_the_history() {
    let post = Post::open(Limits::default(), "127.0.0.1:1").await;
    let run = post.api.start("errand", get("http://127.0.0.1:2/x".into())).await;
    let ended = post.api.end(&run).await;
    let failure = document(&ended);
    assert_eq!((failure["code"].as_str(), failure["retryable"].as_bool()), (Some("http-denied"), Some(false)));
    let lines = post.api.logs(&run).await;
    assert!(
        lines.iter().any(|line| line.starts_with("http-denied: `GET http://127.0.0.1:2/x` is not granted")),
        "{lines:?}"
    );
    let history = post.api.history(&run).await;
    let failure = history.attempts[0].failure.as_ref().expect("it failed");
    assert!(failure.message.contains("windlass grant courier --http 'GET 127.0.0.1:2/x/*'"), "{}", failure.message);
}

#[tokio::test]
async fn what_a_shell_could_misunderstand_is_not_part_of_the_advice() {
    let post = Post::open(Limits::default(), "").await;
    let (_, message) = post.refused(get("http://127.0.0.1:2/x';rm%20-rf%20~;'".into())).await;
    assert!(message.ends_with("windlass grant courier --http 'GET 127.0.0.1:2'"), "{message}");
}

#[tokio::test]
async fn a_granted_name_that_leads_inside_is_not_followed() {
    let service = Service::open("127.0.0.1").await;
    let post = Post::open(Limits::default(), "*.example.com:*,localhost:*,127.0.0.1:*").await;
    post.names.lead("rebind.example.com", &[&["127.0.0.1"]]);
    post.names.lead("mixed.example.com", &[&["1.1.1.1", "169.254.169.254"]]);
    post.names.lead("localhost", &[&["127.0.0.1"]]);
    for name in ["rebind.example.com", "mixed.example.com", "localhost"] {
        for method in ["GET", "POST"] {
            let url = format!("http://{name}:{}/", service.port());
            let (code, message) = post.refused(json!({ "url": url, "method": method, "body": "x" })).await;
            assert_eq!(code, "http-address-blocked", "{name} {message}");
            assert!(message.starts_with(&format!("`{name}` leads to ")), "{message}");
        }
    }
    assert!(service.seen().is_empty());
    assert_eq!(post.code(get(service.url("/"))).await, "none", "granted by its address");
}

#[tokio::test]
async fn each_hop_of_a_redirect_is_a_request_of_its_own() {
    let (first, second) = (Service::open("127.0.0.1").await, Service::open("127.0.0.1").await);
    let post = Post::open(Limits::default(), &first.address).await;
    post.names.lead("rebind.example.com", &[&["127.0.0.1"]]);
    let follow = |to: &str| json!({ "url": first.url(&format!("/redirect/{to}")), "follow": true });
    // The host does not follow by itself.
    let report = post.report(get(first.url("/redirect/http://127.0.0.1:1/"))).await;
    assert_eq!(report["statuses"], json!([302]));
    assert_eq!(post.report(follow(&first.url("/there"))).await["statuses"], json!([302, 200]));
    for (to, code) in [
        (second.url("/"), "http-denied"),
        ("http://169.254.169.254/latest/meta-data/".into(), "http-denied"),
        ("http://127.1/".into(), "http-invalid"),
        ("http://user@127.0.0.1/".into(), "http-invalid"),
        ("https://metadata.google.internal/".into(), "http-denied"),
    ] {
        assert_eq!(post.code(follow(&to)).await, code, "{to}");
    }
    assert!(second.seen().is_empty());
}

fn limited() -> Limits {
    let default = GuestLimits::default();
    let guest = GuestLimits { http_requests: 3, http_request_bytes: 10_000, http_response_bytes: 20_000, ..default };
    Limits { guest, ..Limits::default() }
}

#[tokio::test]
async fn an_attempt_sends_and_receives_so_much_and_no_more() {
    let service = Service::open("127.0.0.1").await;
    let post = Post::open(limited(), "127.0.0.1:*").await;
    let url = |path: &str| service.url(path);
    for (errand, expected) in [
        (json!({ "url": url("/"), "times": 3 }), "none"),
        (json!({ "url": url("/"), "times": 4 }), "http-too-many-requests"),
        (json!({ "url": url("/"), "method": "POST", "body_bytes": 10_000 }), "none"),
        (json!({ "url": url("/"), "method": "POST", "body_bytes": 10_001 }), "http-request-too-large"),
        // All requests of the attempt count.
        (json!({ "url": url("/"), "method": "POST", "body_bytes": 4_000, "times": 3 }), "http-request-too-large"),
        (json!({ "url": url("/"), "headers": [["x-long", "h".repeat(33_000)]] }), "http-request-too-large"),
        (json!({ "url": url("/bytes/20000") }), "none"),
        (json!({ "url": url("/bytes/20001") }), "http-response-too-large"),
        (json!({ "url": url("/stream/20000") }), "none"),
        (json!({ "url": url("/stream/21000") }), "http-response-too-large"),
        (json!({ "url": url("/bytes/8000"), "times": 3 }), "http-response-too-large"),
        (json!({ "url": url("/headers/30000") }), "none"),
        (json!({ "url": url("/headers/90000") }), "http-response-too-large"),
    ] {
        let (code, message) = post.refused(errand.clone()).await;
        let errand: String = errand.to_string().chars().take(120).collect();
        assert_eq!(code, expected, "{errand} {message}");
        assert!(expected == "none" || message.contains("the most") || message.contains("more than"), "{message}");
    }
    // A body that is too long has broken off where it was; none came whole.
    let longest = service.seen().iter().map(|seen| seen.body_bytes).max();
    assert_eq!(longest, Some(10_000));
    // The next attempt begins anew.
    assert_eq!(post.code(json!({ "url": url("/"), "times": 3 })).await, "none");
    // A namespace can have less.
    let own = json!({ "limits": { "http_requests": 2, "http_request_bytes": 100, "http_response_bytes": 200 } });
    assert!(post.api.request(Method::PUT, "", own.to_string()).await.status().is_success());
    eventually("it counts", async || {
        (post.code(json!({ "url": url("/"), "times": 3 })).await == "http-too-many-requests").then_some(())
    })
    .await;
    assert_eq!(post.code(json!({ "url": url("/"), "times": 2 })).await, "none");
    let long = json!({ "url": url("/"), "method": "POST", "body_bytes": 101 });
    assert_eq!(post.code(long).await, "http-request-too-large");
    assert_eq!(post.code(json!({ "url": url("/bytes/201") })).await, "http-response-too-large");
}

#[tokio::test]
async fn a_request_that_takes_longer_than_it_may_fails_and_the_step_hears_of_it() {
    // It is connected, and nobody ever answers.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let guest = GuestLimits { http_time_ms: 300, ..GuestLimits::default() };
    let post = Post::open(Limits { guest, ..Limits::default() }, "127.0.0.1:*").await;
    let url = format!("http://{}/", silent.local_addr().expect("an address"));
    // The step may take twenty seconds, and a request by itself ten minutes.
    let run = post.api.start("errand", get(url)).await;
    let failure = document(&post.api.end(&run).await);
    assert_eq!(failure["message"], "ErrorCode::ConnectionReadTimeout", "{failure}");
    let lines = post.api.logs(&run).await;
    assert_eq!(lines, ["a request took longer than 300ms, which is the most (http_time_ms)"]);
}

#[tokio::test]
async fn what_belongs_to_a_connection_is_the_host_s() {
    let service = Service::open("127.0.0.1").await;
    let post = Post::open(Limits::default(), "127.0.0.1:*").await;
    let headers = json!([["te", "trailers"], ["trailer", "x"], ["expect", "100-continue"], ["x-keep", "1"]]);
    let url = service.url("/echo");
    post.report(json!({ "url": url, "headers": headers, "method": "POST", "body": "x" })).await;
    let seen = service.seen().remove(0);
    for gone in ["te", "trailer", "expect", "connection"] {
        assert!(!seen.headers.contains_key(gone), "{gone}");
    }
    assert_eq!((seen.headers["x-keep"].as_str(), seen.headers["host"].as_str()), ("1", service.address.as_str()));
    // These the library does not even let a guest set.
    for (name, value) in [("host", "evil.example"), ("transfer-encoding", "chunked"), ("connection", "close")] {
        let code = post.code(json!({ "url": url, "headers": [[name, value]] })).await;
        assert_eq!(code, "http-error", "{name}");
    }
    for (name, value) in [("x", "a\r\nhost: evil.example"), ("x\r\ny", "z"), ("x y", "z")] {
        assert_eq!(post.code(json!({ "url": url, "headers": [[name, value]] })).await, "http-invalid", "{name}");
    }
    assert_eq!(service.seen().len(), 1);
}

#[tokio::test]
async fn what_is_asked_and_what_is_granted_is_shown_and_changed() {
    let service = Service::open("127.0.0.1").await;
    let post = Post::open(Limits::default(), "").await;
    let run = async |arguments: &[&str]| {
        let ran = windlass(&post.server, arguments).await;
        let text = format!("exit code {}\n{}{}", ran.code.unwrap_or(-1), ran.stdout, ran.stderr);
        let lines: Vec<_> = text.lines().map(str::trim_end).collect();
        lines.join("\n").replace(&service.address, "[SERVICE]")
    };
    let path = guest("courier");
    insta::assert_snapshot!(run(&["deploy", path.to_str().expect("a path")]).await, @"
    exit code 0
    deployed courier version 1 (unchanged)
    workflows  attempt, errand
    step       run, asks for 127.0.0.1:*, localhost:*, *.example.com:*, GET,POST 127.0.0.2:*/v1/*
    not granted *.example.com:*; to allow it: windlass grant courier --http '*.example.com:*'
    not granted 127.0.0.1:*; to allow it: windlass grant courier --http '127.0.0.1:*'
    not granted GET,POST 127.0.0.2:*/v1/*; to allow it: windlass grant courier --http 'GET,POST 127.0.0.2:*/v1/*'
    not granted localhost:*; to allow it: windlass grant courier --http 'localhost:*'
    ");
    let grant = format!("GET,POST {}/echo", service.address);
    insta::assert_snapshot!(run(&["grant", "courier", "--http", &grant, "--http", "api.unasked.example"]).await, @"
    exit code 0
     STEP  ASKS FOR                   GRANTED
     run   127.0.0.1:*                GET,POST [SERVICE]/echo/*
     run   localhost:*                no
     run   *.example.com:*            no
     run   GET,POST 127.0.0.2:*/v1/*  no
     -     nothing                    api.unasked.example
    ");
    assert_eq!(post.code(get(service.url("/echo"))).await, "none", "at once on this host");
    insta::assert_snapshot!(run(&["grants", "courier"]).await, @"
    exit code 0
     STEP  ASKS FOR                   GRANTED
     run   127.0.0.1:*                GET,POST [SERVICE]/echo/*
     run   localhost:*                no
     run   *.example.com:*            no
     run   GET,POST 127.0.0.2:*/v1/*  no
     -     nothing                    api.unasked.example
    ");
    insta::assert_snapshot!(run(&["revoke-grant", "courier", "--http", &service.address]).await, @"
    exit code 4
    error: no-such-grant: nothing of the kind was granted; `windlass grants` shows what was, and a grant is taken back as it was given
    ");
    insta::assert_snapshot!(run(&["revoke-grant", "courier", "--http", &grant, "--json"]).await, @r#"
    exit code 0
    {"component":"courier","steps":[{"step":"run","asked":"127.0.0.1:*","granted":[]},{"step":"run","asked":"localhost:*","granted":[]},{"step":"run","asked":"*.example.com:*","granted":[]},{"step":"run","asked":"GET,POST 127.0.0.2:*/v1/*","granted":[]}],"granted":["api.unasked.example"],"not_granted":["*.example.com:*","127.0.0.1:*","GET,POST 127.0.0.2:*/v1/*","localhost:*"]}
    "#);
    assert_eq!(post.code(get(service.url("/echo"))).await, "http-denied");
    insta::assert_snapshot!(run(&["grants", "nobody"]).await, @"
    exit code 4
    error: no-such-component: check its name, and the namespace in the address
    ");
    insta::assert_snapshot!(run(&["grant", "courier", "--http", "TRACE api.example.com"]).await, @"
    exit code 2
    error: invalid value 'TRACE api.example.com' for '--http <GRANT>': `TRACE api.example.com` is no grant: write HOST, or METHODS HOST/PATH, as in `GET,POST api.example.com/v1/*`. HOST is a name, `*.` and a name, or an IP address, with :PORT or :* behind it or not; a path has no escapes, no `..` and no `//`; CONNECT and TRACE cannot be granted

    For more information, try '--help'.
    ");
}
