//! Every stage of the inspection has its own code, and says what and where.

use crate::harness::guests::guest_bytes;
use crate::harness::shared::shared;

async fn refused(bytes: Vec<u8>) -> String {
    let problem = shared().await.api.deploy(bytes, "").await.expect_err("refused");
    assert_eq!(problem.status, 422, "{problem:?}");
    format!("{}: {}", problem.code, problem.detail)
}

fn wat(text: &str) -> Vec<u8> {
    wat::parse_str(text).expect("WAT")
}

/// The component `raw` with some bytes of its manifest changed for others.
fn lying(old: &str, new: &str) -> Vec<u8> {
    assert_eq!(old.len(), new.len());
    let mut bytes = guest_bytes("raw");
    let places: Vec<_> = (0..bytes.len() - old.len()).filter(|at| bytes[*at..].starts_with(old.as_bytes())).collect();
    assert!(!places.is_empty(), "{old} is not in the component");
    for at in places {
        bytes[at..at + new.len()].copy_from_slice(new.as_bytes());
    }
    bytes
}

#[tokio::test]
async fn a_component_that_is_too_large() {
    let problem = shared().await.api.deploy(vec![0; (32 << 20) + 1], "").await.expect_err("refused");
    assert!(problem.code == "too-large" || problem.code == "component-too-large", "{problem:?}");
}

#[tokio::test]
async fn bytes_that_are_not_webassembly() {
    insta::assert_snapshot!(refused(b"#!/bin/sh\necho hello\n".to_vec()).await, @"not-wasm: its first bytes are not those of WebAssembly (`\\0asm`); upload the `.wasm` that the build made");
}

#[tokio::test]
async fn a_core_module() {
    insta::assert_snapshot!(refused(wat("(module)")).await, @"not-a-component: it is a core WebAssembly module, not a component; build it for the target `wasm32-wasip2`, or wrap it with `wasm-tools component new`");
}

#[tokio::test]
async fn a_component_that_is_not_valid() {
    let mut bytes = guest_bytes("hello");
    bytes.truncate(bytes.len() / 2);
    let refused = refused(bytes).await;
    assert!(refused.starts_with("invalid-component: at byte 0x"), "{refused}");
}

#[tokio::test]
async fn a_component_that_uses_what_is_not_allowed() {
    let threads = wat("(component (core module (memory 1 1 shared)))");
    insta::assert_snapshot!(refused(threads).await, @"invalid-component: at byte 0x15: threads must be enabled for shared memories");
}

#[tokio::test]
async fn a_component_whose_memory_no_instance_can_have() {
    let refused = refused(wat("(component (core module $m (memory 2000)) (core instance (instantiate $m)))")).await;
    insta::assert_snapshot!(refused, @"component-too-complex: at byte 0x15: a memory begins with 131072000 bytes, and 67108864 are the most; no instance can have as much");
}

#[tokio::test]
async fn a_component_that_imports_what_there_is_not() {
    let unknown = wat(r#"(component (import "acme:rockets/launch@1.0.0" (instance (export "now" (func)))))"#);
    insta::assert_snapshot!(refused(unknown).await, @"unknown-import: it imports `acme:rockets/launch@1.0.0`; a component may import the interfaces of `windlass:workflow@0.1` and of WASI 0.2");
}

#[tokio::test]
async fn a_component_that_imports_with_another_type() {
    let mismatch = wat(
        r#"(component (import "windlass:workflow/timer@0.1.0" (instance (export "sleep" (func (param "d" string))))))"#,
    );
    insta::assert_snapshot!(refused(mismatch).await, @"import-mismatch: component imports instance `windlass:workflow/timer@0.1.0`, but a matching implementation was not found in the linker: instance export `sleep` has the wrong type: type mismatch with parameters: expected `u64` found `string`");
}

#[tokio::test]
async fn a_component_that_exports_nothing() {
    insta::assert_snapshot!(refused(wat("(component)")).await, @"missing-export: it does not export `windlass:workflow/program@0.1.0` as the world asks: no exported instance named `windlass:workflow/program@0.1.0`");
}

#[tokio::test]
async fn a_manifest_with_a_name_that_is_none() {
    insta::assert_snapshot!(refused(lying("raw-workflow-name", "raw workflow name")).await, @"bad-manifest: the workflow `raw workflow name`: `raw workflow name` is no name: a name has 1 to 128 characters out of a-z, A-Z, 0-9, `.`, `_`, `:`, `/` and `-`");
}

#[tokio::test]
async fn a_manifest_that_names_a_workflow_twice() {
    insta::assert_snapshot!(refused(lying("never-pulls", "bad-failure")).await, @"bad-manifest: it declares the workflow `bad-failure` twice");
}

#[tokio::test]
async fn a_manifest_with_a_schema_that_is_not_json() {
    insta::assert_snapshot!(refused(lying("{\"raw\":1}", "{\"raw\":1]")).await, @"bad-manifest: the workflow `yields`: the payload is no JSON document: expected `,` or `}` at line 1 column 9");
}

#[tokio::test]
async fn a_manifest_that_asks_for_a_host_that_is_none() {
    insta::assert_snapshot!(refused(lying("raw-host.example", "raw-host_example")).await, @"bad-manifest: the step `raw-step` asks for HTTP: `raw-host_example` is no grant: write HOST, or METHODS HOST/PATH, as in `GET,POST api.example.com/v1/*`. HOST is a name, `*.` and a name, or an IP address, with :PORT or :* behind it or not; a path has no escapes, no `..` and no `//`; CONNECT and TRACE cannot be granted");
}

#[tokio::test]
async fn the_same_bytes_again_are_the_same_version() {
    let api = &shared().await.api;
    let again = api.deploy(guest_bytes("hello"), "").await.expect("deployed");
    assert_eq!((again.version, again.is_new), (1, false));
}

#[tokio::test]
async fn a_workflow_belongs_to_one_component() {
    let api = &shared().await.api;
    let response = api.request(reqwest::Method::POST, "/components?name=impostor", guest_bytes("hello")).await;
    assert_eq!(response.status(), 409);
    let problem: windlass_host::api::Problem = response.json().await.expect("a problem");
    insta::assert_snapshot!(format!("{}: {}", problem.code, problem.detail), @"workflow-taken: the workflow hello belongs to the component hello; give it another name, or deploy under that component's name");
}
