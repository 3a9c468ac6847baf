//! A census: each district is counted by a run of its own, all at the same time.

use std::cell::Cell;
use std::collections::BTreeMap;

use windlass::{Failure, Result, child, publish, try_join_all};

/// Counts a country: how many people live in each household, by district. Gives the number of people.
#[windlass::workflow]
async fn census(districts: BTreeMap<String, Vec<u32>>) -> Result<u64> {
    let all = districts.len();
    // The futures below take turns and never run at the same instant, so a plain cell can count for all of them.
    let counted = Cell::new(0);
    let people = try_join_all(districts.iter().map(async |(name, households)| {
        let people = child::<u64>("district", &(name, households)).await?;
        counted.set(counted.get() + 1);
        publish("progress", &format!("{} of {all} districts", counted.get()));
        Ok::<_, Failure>(people)
    }))
    .await?;
    Ok(people.into_iter().sum())
}

/// Counts a district: its name, and how many people live in each household.
#[windlass::workflow]
async fn district((name, households): (String, Vec<u32>)) -> Result<u64> {
    let people = count(&households).await?;
    windlass::log!("{people} people live in {name}");
    Ok(people)
}

/// A real one would go from door to door.
#[windlass::step]
async fn count(households: &[u32]) -> Result<u64> {
    if households.is_empty() {
        return Err(Failure::new("nobody-home", "a district has at least one household").fatal());
    }
    Ok(households.iter().copied().map(u64::from).sum())
}

windlass::export!();
