//! The runs of a namespace that are not over, as commands go through all of them.

use reqwest::Method;

use super::client::{Client, ClientError};
use crate::api::RunPage;
use crate::api::view::RunListingView;
use crate::model::{Name, RunState};

/// Those that nobody has ended. A run that changes its state meanwhile may be met twice, or not at all.
const STATES: [RunState; 5] =
    [RunState::Waiting, RunState::Paused, RunState::Quarantined, RunState::Ready, RunState::Running];

/// Runs in one page.
const PAGE: &str = "200";

/// One page after the other.
pub(super) struct LiveRuns<'a> {
    client: &'a Client,
    component: &'a Name,
    states: std::slice::Iter<'static, RunState>,
    state: Option<RunState>,
    cursor: Option<String>,
}

impl<'a> LiveRuns<'a> {
    /// Those of a component.
    pub(super) fn of(client: &'a Client, component: &'a Name) -> Self {
        let mut states = STATES.iter();
        let state = states.next().copied();
        Self { client, component, states, state, cursor: None }
    }

    /// The next of them; none after the last.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<RunListingView>>, ClientError> {
        let Some(state) = self.state else { return Ok(None) };
        let mut query = vec![("state", state.as_str()), ("limit", PAGE)];
        query.extend(self.cursor.as_deref().map(|cursor| ("cursor", cursor)));
        let request = self.client.request(Method::GET, "/runs").query(&query);
        let RunPage { mut runs, next } = self.client.send(request).await?;
        runs.retain(|run| run.component == **self.component);
        if next.is_none() {
            self.state = self.states.next().copied();
        }
        self.cursor = next;
        Ok(Some(runs))
    }
}
