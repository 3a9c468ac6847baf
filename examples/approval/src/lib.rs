//! A document that is approved by several people, each of whom is told at once what is still missing.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use windlass::{Failure, Result, publish, update};

/// What is to be approved.
#[derive(Deserialize, JsonSchema)]
struct Document {
    title: String,
    /// How many people have to approve it.
    needed: usize,
}

/// What a person sends.
#[derive(Deserialize)]
struct Approve {
    by: String,
}

/// What that person is told.
#[derive(Serialize)]
struct Answer {
    missing: usize,
}

/// Waits until enough people have approved, and files the document. Gives where it was filed.
#[windlass::workflow]
async fn approval(document: Document) -> Result<String> {
    let mut approved = BTreeSet::new();
    while approved.len() < document.needed {
        let approve = update::<Approve>("approve").await;
        // Updates are taken one after the other, so two people at once cannot be counted as one.
        if !approved.insert(approve.by.clone()) {
            let failure = Failure::new("approved-before", format!("{} has approved it before", approve.by));
            approve.refuse(failure);
            continue;
        }
        publish("approved", &approved);
        approve.answer(&Answer { missing: document.needed - approved.len() })?;
    }
    file(&document.title, &approved).await
}

#[windlass::step]
async fn file(title: &str, approved: &BTreeSet<String>) -> Result<String> {
    let people = approved.iter().map(String::as_str).collect::<Vec<_>>().join(" and ");
    Ok(format!("{title}, approved by {people}"))
}

windlass::export!();
