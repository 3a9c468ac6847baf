//! The runs of a namespace that are asked for, as commands go through all of them.

use std::collections::HashSet;

use reqwest::Method;

use super::client::{Client, ClientError};
use crate::api::view::RunListingView;
use crate::api::{RunCountView, RunPage};
use crate::model::{Name, RunState};

/// Those that nobody has ended.
const NOT_OVER: &[RunState] =
    &[RunState::Waiting, RunState::Paused, RunState::Quarantined, RunState::Ready, RunState::Running];

/// Runs in one page.
const PAGE: &str = "200";

/// How often all states are gone through at most: a run that changed its state meanwhile, and was met in neither, is met the next time.
const PASSES_MAX: u32 = 5;

/// One page after the other, of one state after the other, until nothing is new. Each run is met once.
pub(super) struct LiveRuns<'a> {
    client: &'a Client,
    chosen: Vec<(&'static str, String)>,
    states: &'a [RunState],
    /// Which of them is read.
    at: usize,
    cursor: Option<String>,
    met: HashSet<String>,
    /// The pass, and whether it has found any that is new.
    pass: u32,
    has_found: bool,
}

impl<'a> LiveRuns<'a> {
    /// Those of a component.
    pub(super) fn of(client: &'a Client, component: &'a Name) -> Self {
        Self::chosen(client, vec![("component", component.to_string())], NOT_OVER)
    }

    /// Those in these states that have all that is asked for, as the API takes it.
    pub(super) fn chosen(client: &'a Client, chosen: Vec<(&'static str, String)>, states: &'a [RunState]) -> Self {
        Self { client, chosen, states, at: 0, cursor: None, met: HashSet::new(), pass: 1, has_found: false }
    }

    /// The next of them; none after the last.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<RunListingView>>, ClientError> {
        let Some(state) = self.states.get(self.at) else {
            // What is in one state cannot have been between two.
            if self.states.len() < 2 || !self.has_found || self.pass == PASSES_MAX {
                return Ok(None);
            }
            (self.at, self.pass, self.has_found) = (0, self.pass + 1, false);
            return Ok(Some(Vec::new()));
        };
        let mut query = vec![("state", state.as_str()), ("limit", PAGE)];
        query.extend(self.chosen.iter().map(|(name, value)| (*name, value.as_str())));
        query.extend(self.cursor.as_deref().map(|cursor| ("cursor", cursor)));
        let request = self.client.request(Method::GET, "/runs").query(&query);
        let RunPage { mut runs, next } = self.client.send(request).await?;
        self.at += usize::from(next.is_none());
        self.cursor = next;
        runs.retain(|run| self.met.insert(run.run_id.clone()));
        self.has_found |= !runs.is_empty();
        Ok(Some(runs))
    }

    /// How many there are now, if that can be told.
    pub(super) async fn count(&self) -> Result<Option<u64>, ClientError> {
        let mut all = 0;
        for state in self.states {
            let mut query: Vec<_> = self.chosen.iter().map(|(name, value)| (*name, value.as_str())).collect();
            query.push(("state", state.as_str()));
            let request = self.client.request(Method::GET, "/runs/count").query(&query);
            let count: RunCountView = self.client.send(request).await?;
            if !count.is_exact {
                return Ok(None);
            }
            all += u64::from(count.runs);
        }
        Ok(Some(all))
    }
}
