//! The lines of the archive: all that is known of a run that has ended, as JSON, in the database and in the files that it is exported
//! to. `archive_lines` of `migrations/0029_retention.sql` writes them.

use std::io::BufRead;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::rewind::RewindRow;
use super::rows::{AttemptRow, EventRow, LogLineRow, document};
use super::runs::{SummaryRow, state_code};
use super::schedule::ClaimedRow;
use super::{Claimed, Error, Result, WrappedKey};
use crate::model::{
    Durability, Event, MasterKeys, Namespace, Payload, PayloadError, PayloadKey, Priority, RunId, RunInfo, RunState,
    SealError, sealed_under,
};

/// One line.
#[derive(Debug, Deserialize)]
#[serde(tag = "line", rename_all = "lowercase")]
pub(super) enum Line {
    /// Of a file only, before all else: a key that documents in it may be sealed under.
    Key(KeyLine),
    Run(Box<RunLine>),
    Attempt(AttemptRow),
    Published(PublishedLine),
    Update(UpdateLine),
    Log(LogLineRow),
    Rewind(RewindLine),
    Past(PastLine),
    Event(EventRow),
}

/// The first line of a run.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct RunLine {
    run_id: Uuid,
    namespace: String,
    workflow: String,
    component: String,
    version: i32,
    durability: Durability,
    seed: String,
    idempotency_key: Option<String>,
    #[serde(default, deserialize_with = "document")]
    input: Option<Vec<u8>>,
    state: RunState,
    #[serde(default, deserialize_with = "document")]
    result: Option<Vec<u8>>,
    started_at: DateTime<Utc>,
    cancelled_at: Option<DateTime<Utc>>,
    deadline_at: Option<DateTime<Utc>>,
    parent_run_id: Option<Uuid>,
    parent_call: Option<i32>,
    generation: i32,
    first_seq: i32,
    first_call: i32,
    continued_at: Option<DateTime<Utc>>,
    told: Option<String>,
    lineage: Option<String>,
    #[serde(default)]
    priority: Priority,
    concurrency_key: Option<String>,
    closed_at: DateTime<Utc>,
    events: i32,
    tags: Option<Vec<String>>,
}

#[derive(Debug, Deserialize)]
pub(super) struct PublishedLine {
    pub(super) key: String,
    #[serde(default, deserialize_with = "document")]
    pub(super) value: Option<Vec<u8>>,
    pub(super) at: DateTime<Utc>,
}

#[derive(Debug, Deserialize)]
pub(super) struct UpdateLine {
    pub(super) update_id: String,
    pub(super) name: String,
    pub(super) failed: Option<bool>,
    #[serde(default, deserialize_with = "document")]
    pub(super) answer: Option<Vec<u8>>,
    pub(super) accepted_at: DateTime<Utc>,
    pub(super) answered_at: Option<DateTime<Utc>>,
}

#[derive(Debug, Deserialize)]
pub(super) struct RewindLine {
    rewind: i32,
    before_seq: i32,
    state: RunState,
    #[serde(default, deserialize_with = "document")]
    result: Option<Vec<u8>>,
    who: String,
    at: DateTime<Utc>,
}

/// An event that a rewind has dropped.
#[derive(Debug, Deserialize)]
pub(super) struct PastLine {
    rewind: i32,
    #[serde(flatten)]
    pub(super) event: EventRow,
}

/// A data key, wrapped under a master key: who has both the file and the master key can open what is in the file.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct KeyLine {
    namespace: Namespace,
    key_id: Uuid,
    master_key_id: String,
    wrapped: String,
}

/// Why a file of the archive cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum UnreadableArchive {
    /// The file.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// A line.
    #[error("line {number} is none of an archive: {error}")]
    Line {
        /// Which.
        number: usize,
        /// Why.
        error: serde_json::Error,
    },
    /// Which of them?
    #[error("there are several runs in it: say which with --run")]
    Several,
    /// The run.
    #[error("the run is not in it")]
    NoSuchRun,
    /// What is sealed in it.
    #[error("what is in it is sealed: {0}")]
    Sealed(#[from] SealError),
    /// What is in it of payloads: what is read here has passed other hands since a host had checked it.
    #[error("a payload in it is none: {0}")]
    Payload(#[from] PayloadError),
    /// What a line says.
    #[error(transparent)]
    Corrupt(#[from] Error),
}

/// A run that is read back from a file: what it was started with, and its history.
pub type ReadBack = (RunInfo, Payload, Vec<Event>);

/// Read a run from the lines of a file; with only one in it, that one. `masters`: to open what is sealed.
pub fn read_back(
    file: impl BufRead,
    wanted: Option<RunId>,
    masters: Option<&MasterKeys>,
) -> Result<ReadBack, UnreadableArchive> {
    let mut keys = Vec::new();
    let mut found: Option<(RunLine, Vec<EventRow>)> = None;
    let mut is_in = false;
    for (number, text) in file.lines().enumerate() {
        let text = text?;
        // One of a million runs may be wanted: what the others have done is passed over.
        if !is_in && !text.starts_with(r#"{"line":"run""#) && !text.starts_with(r#"{"line":"key""#) {
            continue;
        }
        let line =
            serde_json::from_str(&text).map_err(|error| UnreadableArchive::Line { number: number + 1, error })?;
        match line {
            Line::Key(key) => keys.push(key),
            Line::Run(run) => {
                if found.is_some() && wanted.is_none() {
                    return Err(UnreadableArchive::Several);
                }
                is_in = wanted.is_none_or(|wanted| wanted.0 == run.run_id);
                if is_in {
                    found = Some((*run, Vec::new()));
                }
            }
            Line::Event(event) => {
                if let Some((_, events)) = &mut found {
                    events.push(event);
                }
            }
            _ => {}
        }
    }
    let (mut run, mut events) = found.ok_or(UnreadableArchive::NoSuchRun)?;
    let payloads = events.iter_mut().flat_map(|event| [event.input.as_mut(), event.outcome.as_mut()]);
    for payload in payloads.chain([run.input.as_mut()]).flatten() {
        if let Some(key_id) = sealed_under(payload) {
            let key = keys.iter().find(|key| key.key_id == key_id).ok_or(SealError::NotAuthentic)?;
            *payload = key.payload_key(masters)?.open(payload)?;
        }
        Payload::check(payload)?;
    }
    let claimed = Claimed::try_from(run.into_claimed()?)?;
    let events: Result<Vec<Event>> = events.into_iter().map(Event::try_from).collect();
    Ok((claimed.info, claimed.input, events?))
}

impl KeyLine {
    /// The line of a key.
    pub(super) fn text(key: &WrappedKey) -> String {
        let line = Self {
            namespace: key.namespace.clone(),
            key_id: key.key_id,
            master_key_id: key.master_key_id.clone(),
            wrapped: STANDARD_NO_PAD.encode(&key.wrapped),
        };
        // What kind of line it is comes first, as in all others.
        let fields = serde_json::to_string(&line).expect("plain values can be said in JSON");
        format!("{{\"line\":\"key\",{}\n", &fields[1..])
    }

    fn payload_key(&self, masters: Option<&MasterKeys>) -> Result<PayloadKey, SealError> {
        let masters = masters.ok_or_else(|| SealError::NoMasterKey(self.master_key_id.clone()))?;
        let wrapped = STANDARD_NO_PAD.decode(&self.wrapped).map_err(|_| SealError::NotAuthentic)?;
        let key = masters.unwrap(&self.master_key_id, &self.namespace, self.key_id, &wrapped)?;
        Ok(PayloadKey::new(&self.namespace, key))
    }
}

impl RewindLine {
    pub(super) fn into_row(self) -> RewindRow {
        let Self { rewind, before_seq, state, result, who, at } = self;
        RewindRow { rewind, before_seq, state: state_code(state), result, who, at }
    }
}

impl PastLine {
    pub(super) fn is_of(&self, rewind: u32, first: u32) -> bool {
        self.rewind.unsigned_abs() == rewind && self.event.seq.unsigned_abs() >= first
    }
}

impl RunLine {
    /// As whoever is at it would have to know it.
    pub(super) fn into_claimed(self) -> Result<ClaimedRow> {
        let corrupt = |what: &str| Error::Internal(sqlx::Error::Decode(format!("an archived run's {what}").into()));
        let seed = u128::from_str_radix(&self.seed, 16).map_err(|_| corrupt("seed"))?;
        Ok(ClaimedRow {
            run_id: self.run_id,
            namespace: self.namespace,
            workflow: self.workflow,
            component: self.component,
            version: self.version,
            durability: i16::from(self.durability == Durability::Strict),
            seed: seed.to_be_bytes().to_vec(),
            input: self.input.ok_or_else(|| corrupt("input"))?,
            started_at: self.started_at,
            deadline_at: self.deadline_at,
            parent_run_id: self.parent_run_id,
            parent_call: self.parent_call,
            generation: self.generation,
            first_seq: self.first_seq,
            first_call: self.first_call,
            continued_at: self.continued_at,
            told: self.told,
            lineage: self.lineage,
            priority: self.priority.code(),
            tags: self.tags,
            strikes: 0,
        })
    }

    /// As whoever asks where it stands sees it.
    pub(super) fn into_summary(self) -> SummaryRow {
        SummaryRow {
            run_id: self.run_id,
            namespace: self.namespace,
            workflow: self.workflow,
            component: self.component,
            version: self.version,
            state: state_code(self.state),
            durability: i16::from(self.durability == Durability::Strict),
            idempotency_key: self.idempotency_key,
            input: self.input.unwrap_or_default(),
            result: self.result,
            started_at: self.started_at,
            cancelled_at: self.cancelled_at,
            closed_at: Some(self.closed_at),
            events: self.events,
            wake_at: None,
            open_calls: None,
            deadline_at: self.deadline_at,
            parent_run_id: self.parent_run_id,
            generation: self.generation,
            tags: self.tags,
            lineage: self.lineage,
            priority: self.priority.code(),
            concurrency_key: self.concurrency_key,
        }
    }
}
