//! How many runs a host has quarantined, for alarms: by the code of why, and by nothing that is a tenant's.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// Since the host was started.
#[derive(Debug, Default)]
pub struct Quarantines(Mutex<BTreeMap<String, u64>>);

impl Quarantines {
    /// One more.
    pub(super) fn add(&self, code: &str) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.entry(code.to_owned()).or_default() += 1;
    }

    /// All, by code.
    pub fn all(&self) -> Vec<(String, u64)> {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.iter().map(|(code, count)| (code.clone(), *count)).collect()
    }
}
