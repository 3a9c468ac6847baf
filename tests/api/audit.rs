//! The audit log: who changed what, and that nobody can change that unnoticed.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;
use windlass_host::model::{ApiKey, AuditHead, KeyId, Namespace, Reach, Scope, Who};
use windlass_host::store::{NewKey, Store};

use crate::harness::api::Api;
use crate::harness::database::Database;
use crate::harness::guests::guest_bytes;
use crate::harness::host::{Ran, windlass_with};
use crate::harness::tenants::{Tenants, tenants};

/// `who what subject` of each entry.
async fn entries(api: &Api) -> Vec<(String, String, String)> {
    let page = api.get("/audit").await;
    let text = |entry: &Value, field: &str| entry[field].as_str().expect("a text").to_owned();
    let entry = |entry: &Value| (text(entry, "who"), text(entry, "what"), text(entry, "subject"));
    page["entries"].as_array().expect("entries").iter().map(entry).collect()
}

#[tokio::test]
async fn what_operators_change_is_written_down_with_who_did_it_and_what_others_do_is_not() {
    let tenants = tenants().await;
    let namespace = tenants.namespace().await;
    let operator = tenants.key(&namespace, &Scope::ALL).await;
    let (api, who) = (Api::with_key(&tenants.server, &namespace, &operator), operator.id().to_string());
    api.deploy(guest_bytes("probe"), "127.0.0.1:*").await.expect("deployed");
    // The workflow belongs to another component now: refused, and nothing is written down.
    assert!(api.deploy_as("other", guest_bytes("probe")).await.is_err());
    let (cancelled, terminated) = (api.start("forever", Value::Null).await, api.start("forever", Value::Null).await);
    api.signal(&cancelled, "some-name", json!("a payload")).await;
    assert_eq!(api.cancel(&cancelled).await.status(), StatusCode::OK);
    // Asked again, it changes nothing; and a run that has ended is not ended again.
    api.cancel(&cancelled).await;
    api.terminate(&terminated, "because \u{1f600} \\ \" of that").await;
    api.request(Method::POST, &format!("/runs/{terminated}/terminate"), "{}").await;
    let made = api.request(Method::POST, "/keys", r#"{"name":"x","scopes":["read"]}"#).await;
    let made: Value = made.json().await.expect("a key");
    let id = made["key_id"].as_str().expect("an id").to_owned();
    api.request(Method::DELETE, &format!("/keys/{id}"), "").await;
    api.request(Method::DELETE, &format!("/keys/{id}"), "").await;
    let entry = |who: &str, what: &str, subject: &str| (who.to_owned(), what.to_owned(), subject.to_owned());
    let expected = [
        entry("dev", "key.create", &who),
        entry(&who, "component.deploy", "probe"),
        entry(&who, "run.cancel", &cancelled),
        entry(&who, "run.terminate", &terminated),
        entry(&who, "key.create", &id),
        entry(&who, "key.revoke", &id),
    ];
    assert_eq!(entries(&api).await, expected);
    let page = api.get("/audit?after=3&limit=1").await;
    let details: Value = serde_json::from_str(page["entries"][0]["details"].as_str().expect("a text")).expect("JSON");
    assert_eq!(details, json!({ "reason": "because \u{1f600} \\ \" of that" }));
    assert_eq!((&page["entries"].as_array().map(Vec::len), &page["head"]["seq"]), (&Some(1), &json!(6)));
    let log = api.get("/audit").await.to_string();
    assert!(!log.contains("a payload") && !log.contains(&made["api_key"].as_str().expect("a key")[14..]), "{log}");
    // What was computed by the database is what is computed here.
    assert_eq!(verify(&tenants, &namespace, &[]).await.code, Some(0));
}

/// `windlass audit verify`, with a key for that.
async fn verify(tenants: &Tenants, namespace: &str, options: &[&str]) -> Ran {
    let key = tenants.key("*", &[Scope::Admin]).await.reveal();
    let arguments = [&["-n", namespace, "audit", "verify"], options].concat();
    windlass_with(&tenants.server, &arguments, &[("WINDLASS_API_KEY", &key)]).await
}

async fn execute(database: &Database, statement: &str) -> sqlx::Result<()> {
    let mut session = database.session().await;
    sqlx::raw_sql(AssertSqlSafe(statement.to_owned())).execute(&mut session).await.map(drop)
}

/// A namespace whose log has this many entries.
async fn chain(tenants: &Tenants, length: usize) -> String {
    let namespace = tenants.namespace().await;
    for _ in 0..length {
        tenants.key(&namespace, &[Scope::Read]).await;
    }
    namespace
}

#[tokio::test]
async fn whatever_somebody_does_to_the_rows_is_noticed_and_the_first_row_that_does_not_fit_is_named() {
    let tenants = tenants().await;
    let rehash = "hash = sha256(a.previous_hash || audit_field(a.namespace) || audit_field(a.seq::text) \
                  || audit_field((extract(epoch FROM a.at) * 1000000)::bigint::text) || audit_field(a.who) \
                  || audit_field(a.what) || audit_field('nothing') || audit_field(a.details))";
    let swap = "CREATE TEMPORARY TABLE two AS SELECT * FROM audit_log WHERE namespace = '$NS' AND seq IN (2, 3); \
                DELETE FROM audit_log WHERE namespace = '$NS' AND seq IN (2, 3); \
                INSERT INTO audit_log SELECT namespace, 5 - seq, at, who, what, subject, details, previous_hash, hash FROM two";
    let cases = [
        ("UPDATE audit_log SET who = 'somebody' WHERE namespace = '$NS' AND seq = 3", "entry 3 was changed"),
        (
            "UPDATE audit_log SET at = at + interval '1 microsecond' WHERE namespace = '$NS' AND seq = 1",
            "entry 1 was changed",
        ),
        ("UPDATE audit_log SET details = details || ' ' WHERE namespace = '$NS' AND seq = 5", "entry 5 was changed"),
        (
            &*format!("UPDATE audit_log a SET subject = 'nothing', {rehash} WHERE namespace = '$NS' AND seq = 2"),
            "entry 3 does not follow",
        ),
        ("DELETE FROM audit_log WHERE namespace = '$NS' AND seq = 2", "entry 2 is missing"),
        ("DELETE FROM audit_log WHERE namespace = '$NS' AND seq = 1", "entry 1 is missing"),
        (swap, "entry 2 does not follow"),
        ("DELETE FROM audit_log WHERE namespace = '$NS' AND seq > 3", "ends with entry 3, and should with entry 5"),
        ("DELETE FROM audit_log WHERE namespace = '$NS'", "ends with entry 0, and should with entry 5"),
        ("DELETE FROM audit_heads WHERE namespace = '$NS'", "ends with entry 5, and should with entry 0"),
        ("UPDATE audit_heads SET hash = sha256('') WHERE namespace = '$NS'", "entry 5 is not the one that was noted"),
    ];
    for (statement, expected) in cases {
        let namespace = chain(&tenants, 5).await;
        let before = verify(&tenants, &namespace, &[]).await;
        assert!(before.code == Some(0) && before.stdout.starts_with("5 entries"), "{}{}", before.stdout, before.stderr);
        execute(&tenants.database, &statement.replace("$NS", &namespace)).await.expect(statement);
        let after = verify(&tenants, &namespace, &[]).await;
        assert!(
            after.code == Some(1) && after.stdout.contains(expected),
            "{statement}: {}{}",
            after.stdout,
            after.stderr
        );
    }
}

/// What nothing inside the database can tell: somebody has written all of it anew, and where it ends too.
#[tokio::test]
async fn a_log_that_was_written_anew_is_noticed_by_whoever_has_kept_its_head() {
    let tenants = tenants().await;
    let namespace = chain(&tenants, 4).await;
    let printed = verify(&tenants, &namespace, &[]).await.stdout;
    let head = printed.lines().find_map(|line| line.strip_prefix("head ")).expect("a head").to_owned();
    assert!(head.parse::<AuditHead>().is_ok_and(|head| head.seq == 4), "{head}");
    tenants.key(&namespace, &[Scope::Read]).await;
    assert_eq!(verify(&tenants, &namespace, &["--head", &head]).await.code, Some(0));
    let forge = "DELETE FROM audit_log WHERE namespace = '$NS'; DELETE FROM audit_heads WHERE namespace = '$NS'; \
                 SELECT audit('$NS', 'somebody', 'run.cancel', n::text, '{}') FROM generate_series(1, 5) n";
    execute(&tenants.database, &forge.replace("$NS", &namespace)).await.expect("forged");
    assert_eq!(verify(&tenants, &namespace, &[]).await.code, Some(0), "there is no way to tell");
    let noticed = verify(&tenants, &namespace, &["--head", &head]).await;
    assert!(
        noticed.code == Some(1) && noticed.stdout.contains("entry 4 is not the one that was noted"),
        "{}",
        noticed.stdout
    );
    let shorter = "DELETE FROM audit_log WHERE namespace = '$NS'; DELETE FROM audit_heads WHERE namespace = '$NS'";
    execute(&tenants.database, &shorter.replace("$NS", &namespace)).await.expect("emptied");
    let noticed = verify(&tenants, &namespace, &["--head", &head]).await;
    assert!(noticed.code == Some(1) && noticed.stdout.contains("entry 4 was noted"), "{}", noticed.stdout);
}

#[tokio::test]
async fn nobody_but_the_owner_may_change_a_row_or_read_one_without_being_allowed_to() {
    let tenants = tenants().await;
    let namespace = chain(&tenants, 1).await;
    let role = format!("{}_auditor", tenants.database.schema);
    let schema = &tenants.database.schema;
    execute(&tenants.database, &format!("CREATE ROLE {role}; GRANT USAGE ON SCHEMA {schema} TO {role}"))
        .await
        .expect("made");
    let mut refused = Vec::new();
    let statements = [
        "SELECT count(*) FROM audit_log",
        "UPDATE audit_log SET who = 'x'",
        "DELETE FROM audit_log",
        "TRUNCATE audit_log",
        "UPDATE audit_heads SET seq = 0",
        "INSERT INTO audit_heads VALUES ('x', 1, sha256(''))",
    ];
    for statement in statements {
        let error = execute(&tenants.database, &format!("SET ROLE {role}; {statement}")).await.expect_err(statement);
        refused.push(error.as_database_error().and_then(|error| error.code()).map(|code| code.into_owned()));
    }
    // An auditor is given what an auditor needs, and that is no way to write.
    let read =
        format!("GRANT SELECT ON audit_log, audit_heads TO {role}; SET ROLE {role}; SELECT count(*) FROM audit_log");
    execute(&tenants.database, &read).await.expect("read");
    let write = execute(&tenants.database, &format!("SET ROLE {role}; DELETE FROM audit_log")).await;
    execute(&tenants.database, &format!("DROP OWNED BY {role}; DROP ROLE {role}")).await.expect("removed");
    assert!(refused.iter().all(|code| code.as_deref() == Some("42501")), "{refused:?}");
    assert!(write.is_err());
    assert_eq!(verify(&tenants, &namespace, &[]).await.code, Some(0));
}

async fn create(store: &Store, namespace: &Namespace) -> KeyId {
    let (key, reach) = (ApiKey::new(), Reach::One(namespace.clone()));
    let new = NewKey { key: &key, reach: &reach, scopes: &[], name: "x", lifetime: None, who: &Who::Cli("me".into()) };
    assert!(store.create_key(new).await.expect("made"));
    key.id()
}

#[tokio::test]
async fn those_who_write_at_once_make_one_chain_and_tenants_do_not_wait_for_each_other() {
    let tenants = tenants().await;
    let (one, other) = (tenants.namespace().await, tenants.namespace().await);
    let namespace: Namespace = one.parse().expect("a namespace");
    let writers = (0..24).map(|_| {
        let (store, namespace) = (tenants.store.clone(), namespace.clone());
        tokio::spawn(async move { create(&store, &namespace).await })
    });
    for written in futures_util::future::join_all(writers).await {
        written.expect("no panic");
    }
    let verified = verify(&tenants, &one, &["--json"]).await;
    let verified: Value = serde_json::from_str(&verified.stdout).expect("JSON");
    assert_eq!((&verified["entries"], &verified["broken"]), (&json!(24), &Value::Null));
    // One tenant is in the middle of a change for long: another writes all the same.
    let mut session = tenants.database.session().await;
    let hold = format!("BEGIN; SELECT audit('{one}', 'dev', 'x', 'y', '{{}}')");
    sqlx::raw_sql(AssertSqlSafe(hold)).execute(&mut session).await.expect("held");
    create(&tenants.store, &other.parse().expect("a namespace")).await;
    // And what is rolled back leaves neither an entry nor a gap.
    sqlx::raw_sql("ROLLBACK").execute(&mut session).await.expect("rolled back");
    create(&tenants.store, &namespace).await;
    let verified = verify(&tenants, &one, &[]).await;
    assert!(verified.stdout.starts_with("25 entries"), "{}", verified.stdout);
}
