//! What comes to a run from outside.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::batch::int;
use super::lines::UpdateLine;
use super::seals::sealed_among;
use super::{Error, Lease, Result, Store};
use crate::model::{
    CallId, CancelReason, Failure, GuestLimits, HostId, Name, Namespace, Outcome, Payload, RunId, Timestamp, Who,
};

/// Something that came and was not delivered yet.
#[derive(Clone, Debug, PartialEq)]
pub enum Letter {
    /// A signal.
    Signal {
        /// Its row; later ones have greater numbers.
        id: i64,
        /// Its name.
        name: Name,
        /// What was sent.
        payload: Payload,
    },
    /// The run is asked to stop.
    Cancel {
        /// Its row.
        id: i64,
        /// Why.
        reason: CancelReason,
    },
    /// A child has ended, or was started if that is all that was wanted.
    Child {
        /// Its row.
        id: i64,
        /// The call that started it.
        call: CallId,
        /// How it ended.
        outcome: Outcome,
    },
    /// Whoever is at the run is to let go of it.
    Pause {
        /// Its row.
        id: i64,
    },
    /// A request that is to be answered.
    Update {
        /// Its row; later ones have greater numbers.
        id: i64,
        /// Its name.
        name: Name,
        /// What was sent.
        payload: Payload,
    },
}

/// What became of a letter.
#[derive(Clone, Copy, Debug)]
pub struct Sent {
    /// Whether it is a new one; the same was accepted before if not.
    pub accepted: bool,
    /// The host that is at the run, if one is: it can be told.
    pub owner: Option<HostId>,
}

/// Bytes of the letters that are read at a time, but for the last one: a thousand children may have ended at once.
const LETTERS_BYTES_MAX: i64 = 16 << 20;

/// How much may wait in the inbox of a run.
#[derive(Clone, Copy, Debug)]
pub struct InboxMax {
    /// Signals and updates.
    pub letters: u32,
    /// Bytes of what they carry.
    pub bytes: usize,
}

impl From<&GuestLimits> for InboxMax {
    fn from(limits: &GuestLimits) -> Self {
        Self { letters: limits.inbox_letters, bytes: limits.inbox_bytes }
    }
}

impl InboxMax {
    pub(super) fn bytes_column(self) -> i64 {
        i64::try_from(self.bytes).unwrap_or(i64::MAX)
    }
}

impl Store {
    /// Send a signal. The same id is accepted once.
    pub async fn send_signal(
        &self,
        namespace: &Namespace,
        run_id: RunId,
        name: &Name,
        payload: &Payload,
        signal_id: Option<&str>,
        inbox: InboxMax,
    ) -> Result<Sent> {
        let payload = self.sealed(namespace, payload).await?;
        let sent: (bool, Option<Uuid>) =
            sqlx::query_as("SELECT accepted, owner FROM send_signal($1, $2, $3, $4, $5, $6, $7)")
                .bind(&**namespace)
                .bind(run_id.0)
                .bind(&**name)
                .bind(payload)
                .bind(signal_id)
                .bind(int(inbox.letters))
                .bind(inbox.bytes_column())
                .fetch_one(&mut *self.tenant(namespace).await?)
                .await?;
        Ok(sent.into())
    }

    /// Ask a run to stop. Asked again, it changes nothing.
    pub async fn request_cancel(&self, namespace: &Namespace, run_id: RunId, who: &Who) -> Result<Sent> {
        let (accepted, owner, _): (bool, Option<Uuid>, Option<i64>) = sqlx::query_as(
            "SELECT c.accepted, c.owner, CASE WHEN c.accepted THEN audit($1, $3, 'run.cancel', $2::text, '{}') END \
             FROM request_cancel($1, $2) c",
        )
        .bind(&**namespace)
        .bind(run_id.0)
        .bind(who.to_string())
        .fetch_one(&mut *self.tenant(namespace).await?)
        .await?;
        Ok((accepted, owner).into())
    }

    /// Ask a run for something that its workflow answers. The same id is accepted once.
    pub async fn send_update(
        &self,
        namespace: &Namespace,
        run_id: RunId,
        name: &Name,
        payload: &Payload,
        update_id: &str,
        inbox: InboxMax,
    ) -> Result<Sent> {
        let sealed = self.sealed(namespace, payload).await?;
        let sent: sqlx::Result<(bool, Option<Uuid>)> =
            sqlx::query_as("SELECT accepted, owner FROM send_update($1, $2, $3, $4, $5, $6, $7)")
                .bind(&**namespace)
                .bind(run_id.0)
                .bind(&**name)
                .bind(sealed)
                .bind(update_id)
                .bind(int(inbox.letters))
                .bind(inbox.bytes_column())
                .fetch_one(&mut *self.tenant(namespace).await?)
                .await;
        match sent.map_err(Error::from) {
            // What was sealed twice is not alike: only here can it be told what it was.
            Err(Error::UpdateConflict) if self.has_update(namespace, run_id, name, payload, update_id).await? => {
                Ok(Sent { accepted: false, owner: None })
            }
            sent => Ok(sent?.into()),
        }
    }

    /// Whether an update of this id is this very update.
    async fn has_update(
        &self,
        namespace: &Namespace,
        run_id: RunId,
        name: &Name,
        payload: &Payload,
        update_id: &str,
    ) -> Result<bool> {
        let kept: Option<Vec<u8>> = sqlx::query_scalar(
            "SELECT u.payload FROM updates u WHERE u.shard = $1 AND u.run_id = $2 AND u.update_id = $3 AND u.name = $4 \
             AND EXISTS (SELECT 1 FROM runs r WHERE r.shard = $1 AND r.run_id = $2 AND r.namespace = $5)",
        )
        .bind(run_id.shard())
        .bind(run_id.0)
        .bind(update_id)
        .bind(&**name)
        .bind(&**namespace)
        .fetch_optional(&mut *self.tenant(namespace).await?)
        .await?;
        let Some(mut kept) = kept else { return Ok(false) };
        self.open(namespace, sealed_among([&mut kept])).await?;
        Ok(kept == payload.as_bytes()[..])
    }

    /// Where an update stands; `None` if there is no such.
    pub async fn get_update(&self, namespace: &Namespace, run_id: RunId, update_id: &str) -> Result<Option<Update>> {
        let mut row: Option<UpdateRow> = sqlx::query_as("SELECT * FROM get_update($1, $2, $3)")
            .bind(&**namespace)
            .bind(run_id.0)
            .bind(update_id)
            .fetch_optional(&mut *self.tenant(namespace).await?)
            .await?;
        if row.is_none() {
            let rest = self.archived_rest(namespace, run_id).await?;
            row = rest.updates.into_iter().find(|line| line.update_id == update_id).map(UpdateRow::from);
        }
        self.open(namespace, sealed_among(row.iter_mut().filter_map(|row| row.answer.as_mut()))).await?;
        row.map(Update::try_from).transpose()
    }

    /// End a run from outside, with this failure. Returns the host that was at it, and the parent that is told of it.
    pub async fn terminate_run(
        &self,
        namespace: &Namespace,
        run_id: RunId,
        failure: &Failure,
        who: &Who,
    ) -> Result<(Option<HostId>, Option<RunId>)> {
        let sealed = self.sealed(namespace, &Payload::of(failure)).await?;
        let (owner, parent, _): (Option<Uuid>, Option<Uuid>, i64) = sqlx::query_as(
            "SELECT t.owner, t.parent, audit($1, $4, 'run.terminate', $2::text, \
             jsonb_build_object('reason', $5::text)::text) FROM terminate_run($1, $2, $3, $6) t",
        )
        .bind(&**namespace)
        .bind(run_id.0)
        .bind(sealed)
        .bind(who.to_string())
        // The one character that Postgres cannot keep in a text.
        .bind(failure.message.replace('\0', "\u{fffd}"))
        .bind(&failure.code)
        .fetch_one(&mut *self.tenant(namespace).await?)
        .await?;
        Ok((owner.map(HostId), parent.map(RunId)))
    }

    /// The letters of a run of this host's after the one with the number `after`, in the order in which they came: as many as
    /// are not too large together. What is left is there the next time, and keeps the run from being parked. `None`: the run is
    /// not this host's any more.
    pub async fn letters(
        &self,
        lease: &Lease,
        namespace: &Namespace,
        run_id: RunId,
        after: i64,
    ) -> Result<Option<Vec<Letter>>> {
        let mut rows: Vec<LetterRow> = sqlx::query_as(
            "SELECT q.id, q.kind, q.name, q.payload FROM ( \
                 SELECT i.id, i.kind, i.name, i.payload, \
                        coalesce(sum(octet_length(i.payload)) OVER (ORDER BY i.id), 0) \
                            - coalesce(octet_length(i.payload), 0) AS bytes_before \
                 FROM owned o LEFT JOIN inbox i ON i.shard = o.shard AND i.run_id = o.run_id AND i.id > $3 \
                 WHERE o.shard = $1 AND o.run_id = $2 AND o.host_id = $4 \
             ) q WHERE q.bytes_before < $5 ORDER BY q.id",
        )
        .bind(run_id.shard())
        .bind(run_id.0)
        .bind(after)
        .bind(lease.host_id.0)
        .bind(LETTERS_BYTES_MAX)
        .fetch_all(&self.pool)
        .await?;
        if rows.is_empty() {
            return Ok(None);
        }
        self.open(namespace, sealed_among(rows.iter_mut().filter_map(|row| row.payload.as_mut()))).await?;
        // A run without letters is one row without a letter.
        rows.into_iter().filter_map(|row| Some((row.id?, row))).map(letter).collect::<Result<_>>().map(Some)
    }
}

/// Where an update stands.
#[derive(Clone, Debug)]
pub struct Update {
    /// Its name.
    pub name: String,
    /// The answer, if there is one.
    pub answer: Option<Outcome>,
    /// When it was accepted.
    pub accepted_at: Timestamp,
    /// When it was answered.
    pub answered_at: Option<Timestamp>,
    /// Whether the run has ended: then there will be no other answer.
    pub has_ended: bool,
}

#[derive(sqlx::FromRow)]
struct UpdateRow {
    name: String,
    failed: Option<bool>,
    answer: Option<Vec<u8>>,
    accepted_at: DateTime<Utc>,
    answered_at: Option<DateTime<Utc>>,
    has_ended: bool,
}

impl From<UpdateLine> for UpdateRow {
    fn from(line: UpdateLine) -> Self {
        let UpdateLine { update_id: _, name, failed, answer, accepted_at, answered_at } = line;
        Self { name, failed, answer, accepted_at, answered_at, has_ended: true }
    }
}

#[derive(sqlx::FromRow)]
struct LetterRow {
    id: Option<i64>,
    kind: Option<i16>,
    name: Option<String>,
    payload: Option<Vec<u8>>,
}

impl Letter {
    /// Its row.
    pub fn id(&self) -> i64 {
        match self {
            Self::Signal { id, .. }
            | Self::Cancel { id, .. }
            | Self::Child { id, .. }
            | Self::Pause { id }
            | Self::Update { id, .. } => *id,
        }
    }
}

fn corrupt(what: &str) -> Error {
    Error::Internal(sqlx::Error::Decode(format!("in an inbox: {what}").into()))
}

fn letter((id, row): (i64, LetterRow)) -> Result<Letter> {
    let LetterRow { kind, name, payload, .. } = row;
    let (name, payload) = (name.unwrap_or_default(), payload.unwrap_or_else(|| b"null".to_vec()));
    let checked = || Name::new(&name).map_err(|_| corrupt("a name"));
    let call = || name.parse().map_err(|_| corrupt("a call"));
    Ok(match kind {
        Some(0) => Letter::Signal { id, name: checked()?, payload: Payload::stored(payload) },
        Some(1) => Letter::Cancel { id, reason: CancelReason::named(&name).ok_or_else(|| corrupt("a reason"))? },
        Some(2) => Letter::Child { id, call: call()?, outcome: Outcome::Ok(Payload::stored(payload)) },
        Some(3) => Letter::Child { id, call: call()?, outcome: Outcome::Failed(failure(&payload)?) },
        Some(5) => Letter::Pause { id },
        Some(4) => Letter::Update { id, name: checked()?, payload: Payload::stored(payload) },
        _ => return Err(corrupt("a kind")),
    })
}

fn failure(json: &[u8]) -> Result<Failure> {
    serde_json::from_slice(json).map_err(|_| corrupt("a failure"))
}

impl TryFrom<UpdateRow> for Update {
    type Error = Error;

    fn try_from(row: UpdateRow) -> Result<Self> {
        let answer = match (row.failed, row.answer) {
            (Some(false), Some(result)) => Some(Outcome::Ok(Payload::stored(result))),
            (Some(true), Some(reason)) => Some(Outcome::Failed(failure(&reason)?)),
            _ => None,
        };
        let (accepted_at, answered_at) = (row.accepted_at.into(), row.answered_at.map(Into::into));
        Ok(Self { name: row.name, answer, accepted_at, answered_at, has_ended: row.has_ended })
    }
}

impl From<(bool, Option<Uuid>)> for Sent {
    fn from((accepted, owner): (bool, Option<Uuid>)) -> Self {
        Self { accepted, owner: owner.map(HostId) }
    }
}
