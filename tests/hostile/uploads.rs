//! A corpus of components that nobody means well with, sent to a host one after the other. For each there is an answer; the
//! host goes on, and does not grow.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::uploads_case::corpus;
use crate::harness::database::Database;
use crate::harness::eventually;
use crate::harness::guests::{guest_bytes, repository};
use crate::harness::host::HostProcess;

/// What a host may hold more than before, when all of it is over.
const GROWTH_MAX: u64 = 64 << 20;

#[tokio::test]
async fn every_hostile_upload_has_its_answer_and_the_host_goes_on() {
    let database = Database::new().await;
    // Bombs end when the compiler has had its time.
    let mut host = HostProcess::serve(&database, &["--compile-time", "5s", "--compile-memory", "1536"]).await;
    let hello = guest_bytes("hello");
    host.api.deploy(hello.clone(), "").await.expect("deployed");
    let before = host.resident_bytes();
    let cases = corpus();
    let vectors: BTreeSet<_> = cases.iter().map(|case| case.vector).collect();
    assert!(cases.len() >= 60 && vectors.len() >= 15, "{} cases, {} vectors", cases.len(), vectors.len());
    let mut wrong = Vec::new();
    for case in cases {
        let begun = Instant::now();
        wrong.extend(case.check(&host.api).await.err());
        let (vector, name) = (case.vector, case.name);
        if begun.elapsed() > Duration::from_secs(20) {
            wrong.push(format!("{vector}, {name}: {:?}", begun.elapsed()));
        }
        // What is right is taken in as ever.
        let again = host.api.deploy(hello.clone(), "").await;
        assert!(again.is_ok(), "after {vector}, {name}: {again:?}");
    }
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
    // The allocator gives back what was freed in its own time, and when it is called.
    eventually("the host is about as large as before", async || {
        host.api.deploy(hello.clone(), "").await.expect("deployed");
        let grown = host.resident_bytes().saturating_sub(before);
        eprintln!("the host has grown by {grown} bytes");
        (grown <= GROWTH_MAX).then_some(())
    })
    .await;
    assert_eq!(host.ended(), None);
    let run = host.api.start("hello", serde_json::json!("nobody")).await;
    host.api.result(&run).await;
}

#[tokio::test]
async fn every_expected_code_is_one_that_there_is() {
    let list = std::fs::read_to_string(repository().join("docs/errors.md")).expect("a list");
    for case in corpus() {
        for code in case.expected {
            assert!(*code == "ok" || list.contains(&format!("| `{code}` |")), "{}: {code}", case.name);
        }
    }
}
