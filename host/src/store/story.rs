//! What this host has written of a run from its start on: how it ended need not be read.

use super::record::{Close, Record, Start};
use super::{CloseState, RunSummary};
use crate::model::{EventKind, Lineage, RunState};

/// Nothing, or all of what was committed since the run was accepted.
#[derive(Debug, Default)]
pub(super) struct Story(Option<Told>);

#[derive(Debug)]
struct Told {
    start: Start,
    events: u32,
}

impl Story {
    /// It goes on with what was just committed. Returns how the run ended, if it has, and if that is known from its story alone.
    pub(super) fn goes_on(&mut self, records: Vec<Record>) -> Option<RunSummary> {
        for record in records {
            match record {
                Record::Start(start) => self.0 = Some(Told { start, events: 0 }),
                Record::Close(close) => return self.0.take().map(|told| told.start.ended(close, told.events)),
                Record::Event(event) => match (&event.kind, &mut self.0) {
                    // When somebody asked, its row says.
                    (EventKind::CancelRequested { .. }, _) => self.0 = None,
                    (EventKind::Completed { .. }, Some(told)) => told.events = event.seq + 1,
                    (EventKind::Completed { .. }, None) => {}
                },
                Record::Tags(tags) => {
                    if let Some(told) = &mut self.0 {
                        told.start.tags = tags;
                    }
                }
                // Another input, and more of which only its row knows; and a run that waits for long is not kept in mind.
                Record::Continue(..) | Record::Park(_) => self.0 = None,
                // Not of what is said about a run that is over.
                Record::Attempt(_)
                | Record::Log(..)
                | Record::Publish(..)
                | Record::StartChild(_)
                | Record::ReleaseChild(_)
                | Record::Answer(..)
                | Record::Discard(_) => {}
            }
        }
        None
    }
}

impl Start {
    /// The run, when it has ended: what is not said here has not happened to it.
    fn ended(self, close: Close, events: u32) -> RunSummary {
        let Self { info, input, idempotency_key, tags } = self;
        RunSummary {
            run_id: info.run_id,
            namespace: info.namespace.to_string(),
            workflow: info.workflow.to_string(),
            component: info.component.to_string(),
            version: info.version,
            state: match close.state {
                CloseState::Completed => RunState::Completed,
                CloseState::Failed => RunState::Failed,
                CloseState::Cancelled => RunState::Cancelled,
                CloseState::Quarantined => RunState::Quarantined,
            },
            durability: info.durability,
            idempotency_key,
            input,
            closed_at: (close.state != CloseState::Quarantined).then_some(close.at),
            result: Some(close.result),
            started_at: info.started_at,
            cancelled_at: None,
            events,
            wake_at: None,
            open_calls: None,
            deadline_at: info.deadline,
            parent_run_id: None,
            generation: 0,
            tags,
            lineage: Lineage::default(),
            priority: info.priority,
            concurrency_key: None,
        }
    }
}
