//! `windlass:workflow/program`: what a component says of itself.

use crate::harness::guests::guest_bytes;
use crate::harness::shared::shared;

#[tokio::test]
async fn a_component_describes_its_workflows_and_steps() {
    let api = &shared().await.api;
    let deployed = api.deploy(guest_bytes("order"), "").await.expect("deployed");
    insta::assert_json_snapshot!(deployed, @r#"
    {
      "component": "order",
      "version": 1,
      "is_new": true,
      "workflows": [
        "order"
      ],
      "steps": [
        {
          "name": "charge",
          "http": [
            "127.0.0.1:*"
          ]
        },
        {
          "name": "reserve",
          "http": [
            "127.0.0.1:*"
          ]
        },
        {
          "name": "ship",
          "http": [
            "127.0.0.1:*"
          ]
        }
      ],
      "not_granted": [
        "127.0.0.1:*"
      ]
    }
    "#);
}

#[tokio::test]
async fn a_manifest_has_the_docs_policies_and_schemas_that_the_macros_found() {
    let shared = shared().await;
    shared.api.deploy(guest_bytes("order"), "").await.expect("deployed");
    let manifest: Vec<u8> = sqlx::query_scalar("SELECT manifest FROM versions WHERE component = 'order'")
        .fetch_one(&mut shared.database.session().await)
        .await
        .expect("a manifest");
    let manifest: serde_json::Value = serde_json::from_slice(&manifest).expect("JSON");
    insta::assert_json_snapshot!("manifest_step", manifest["steps"][2]);
    insta::assert_json_snapshot!("manifest_input_schema", manifest["workflows"][0]["input_schema"]);
}
