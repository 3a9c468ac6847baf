//! The runs of a namespace that are asked for, as commands go through all of them.

use reqwest::Method;

use super::client::{Client, ClientError};
use crate::api::RunPage;
use crate::api::view::RunListingView;
use crate::model::{Name, RunState};

/// Those that nobody has ended. A run that changes its state meanwhile may be met twice, or not at all.
const NOT_OVER: &[RunState] =
    &[RunState::Waiting, RunState::Paused, RunState::Quarantined, RunState::Ready, RunState::Running];

/// Runs in one page.
const PAGE: &str = "200";

/// One page after the other, of one state after the other.
pub(super) struct LiveRuns<'a> {
    client: &'a Client,
    chosen: Vec<(&'static str, String)>,
    states: std::slice::Iter<'a, RunState>,
    state: Option<RunState>,
    cursor: Option<String>,
}

impl<'a> LiveRuns<'a> {
    /// Those of a component.
    pub(super) fn of(client: &'a Client, component: &'a Name) -> Self {
        Self::chosen(client, vec![("component", component.to_string())], NOT_OVER)
    }

    /// Those in these states that have all that is asked for, as the API takes it.
    pub(super) fn chosen(client: &'a Client, chosen: Vec<(&'static str, String)>, states: &'a [RunState]) -> Self {
        let mut states = states.iter();
        let state = states.next().copied();
        Self { client, chosen, states, state, cursor: None }
    }

    /// The next of them; none after the last.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<RunListingView>>, ClientError> {
        let Some(state) = self.state else { return Ok(None) };
        let mut query = vec![("state", state.as_str()), ("limit", PAGE)];
        query.extend(self.chosen.iter().map(|(name, value)| (*name, value.as_str())));
        query.extend(self.cursor.as_deref().map(|cursor| ("cursor", cursor)));
        let request = self.client.request(Method::GET, "/runs").query(&query);
        let RunPage { runs, next } = self.client.send(request).await?;
        if next.is_none() {
            self.state = self.states.next().copied();
        }
        self.cursor = next;
        Ok(Some(runs))
    }
}
