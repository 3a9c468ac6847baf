//! What a history must say of its run so that it can be replayed elsewhere, and events as they are read back.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::view::EventView;
use crate::model::{
    Ask, Call, CancelReason, ChildOptions, Durability, Event, EventKind, Lineage, Name, Namespace, Origin, Outcome,
    Payload, Priority, RunId, RunInfo, Seed, StepOptions, Timestamp,
};
use crate::store::Claimed;

/// What a run was started with, or has last continued as new with.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct RecordedRun {
    /// Its id.
    #[schema(value_type = String, format = Uuid)]
    pub run_id: RunId,
    /// Its namespace.
    #[schema(value_type = String)]
    pub namespace: Namespace,
    /// Its workflow.
    #[schema(value_type = String)]
    pub workflow: Name,
    /// The component that has the workflow.
    #[schema(value_type = String)]
    pub component: Name,
    /// The version of the component that it is pinned to.
    pub version: u32,
    /// The input.
    #[schema(value_type = Value)]
    pub input: Payload,
    /// When it was accepted.
    #[schema(value_type = String, format = DateTime)]
    pub started_at: Timestamp,
    /// When it is asked to stop by itself.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub deadline_at: Option<Timestamp>,
    /// The run that started it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(value_type = Option<String>, format = Uuid)]
    pub parent_run_id: Option<RunId>,
    /// How often it has continued as new.
    #[serde(default)]
    pub generation: u32,
    /// The number of the first event of this generation.
    #[serde(default)]
    pub first_seq: u32,
    /// The number of the first call of this generation.
    #[serde(default)]
    pub first_call: u32,
    /// The run's own time when this generation began.
    #[schema(value_type = String, format = DateTime)]
    pub began_at: Timestamp,
    /// Whether it had been told to stop by then, and why.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub told: Option<CancelReason>,
    /// What its randomness comes from, in hexadecimal.
    pub random_seed: String,
    /// Where it was rewound, and what it was forked from.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub lineage: Option<Lineage>,
}

impl From<Claimed> for RecordedRun {
    fn from(claimed: Claimed) -> Self {
        let Claimed { info, input, .. } = claimed;
        let Origin { generation, seq, call, at, told } = info.origin;
        Self {
            run_id: info.run_id,
            namespace: info.namespace,
            workflow: info.workflow,
            component: info.component,
            version: info.version,
            input,
            started_at: info.started_at,
            deadline_at: info.deadline,
            parent_run_id: info.parent.map(|(parent, _)| parent),
            generation,
            first_seq: seq,
            first_call: call,
            began_at: at,
            told,
            random_seed: info.seed.0.iter().map(|byte| format!("{byte:02x}")).collect(),
            lineage: Some(info.lineage).filter(|lineage| *lineage != Lineage::default()),
        }
    }
}

/// Why a history cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("it is not one of this version: {0}")]
pub struct Unreadable(&'static str);

impl RecordedRun {
    /// The run, and its input.
    pub fn into_info(self) -> Result<(RunInfo, Payload), Unreadable> {
        let seed = u128::from_str_radix(&self.random_seed, 16).ok().filter(|_| self.random_seed.len() == 32);
        let origin = Origin {
            generation: self.generation,
            seq: self.first_seq,
            call: self.first_call,
            at: self.began_at,
            told: self.told,
        };
        let info = RunInfo {
            run_id: self.run_id,
            namespace: self.namespace,
            workflow: self.workflow,
            component: self.component,
            version: self.version,
            started_at: self.started_at,
            seed: Seed(seed.ok_or(Unreadable("the seed"))?.to_be_bytes()),
            durability: Durability::Output,
            priority: Priority::default(),
            deadline: self.deadline_at,
            // Which of its parent's calls it was, a guest cannot see.
            parent: self.parent_run_id.map(|parent| (parent, 0)),
            origin,
            lineage: self.lineage.unwrap_or_default(),
        };
        Ok((info, self.input))
    }
}

impl TryFrom<EventView> for Event {
    type Error = Unreadable;

    fn try_from(view: EventView) -> Result<Self, Unreadable> {
        let (seq, at) = (view.seq, view.at);
        if view.kind == "cancel-requested" {
            let reason = CancelReason::named(&view.name).ok_or(Unreadable("why it is asked to stop"))?;
            return Ok(Self { seq, at, kind: EventKind::CancelRequested { reason, inbox: None } });
        }
        let name = || Name::new(&view.name).map_err(|_| Unreadable("a name"));
        let input = view.input.unwrap_or_else(Payload::null);
        let ask = match &*view.kind {
            "step" => Ask::Step { name: name()?, input, options: StepOptions::default() },
            "sleep" => {
                let micros = input.as_str().parse().map_err(|_| Unreadable("the length of a sleep"))?;
                Ask::Sleep { duration: std::time::Duration::from_micros(micros) }
            }
            "signal" => Ask::Receive { name: name()? },
            "child" => Ask::Child { workflow: name()?, input, options: ChildOptions::default() },
            "send" => Ask::sent(name()?, &input).ok_or(Unreadable("a signal that was sent"))?,
            "update" => Ask::ReceiveUpdate { name: name()? },
            _ => return Err(Unreadable("a kind of event")),
        };
        let id = view.call.ok_or(Unreadable("an event without its call"))?;
        let asked_at = view.asked_at.ok_or(Unreadable("when a call was made"))?;
        let outcome = match (view.result, view.failure) {
            (_, Some(failure)) => Outcome::Failed(failure),
            // A result that is null reads as none.
            (result, None) => Outcome::Ok(result.unwrap_or_else(Payload::null)),
        };
        let call = Call { id, asked_at, ask };
        let kind = EventKind::Completed { call, outcome, attempt: view.attempt.unwrap_or(0), inbox: None };
        Ok(Self { seq, at, kind })
    }
}
