//! What the activation of a run writes with.
//!
//! What is written about a run that has just been accepted is held for a moment: nothing has left the host yet, and a run that
//! is over soon is one row and one commit.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::story::Story;
use super::waiting::Weight;
use super::{Account, Record, RunSummary, Start};
use crate::model::RunId;

/// How long the records of a run that was just accepted are held at most, how many, and how many bytes of documents.
const HELD_MAX: (Duration, usize, usize) = (Duration::from_millis(100), 500, 1 << 20);

/// Lines that are handed over by themselves when there are more than that: nothing hangs on them.
const LINES_MAX: usize = 500;

/// What became of records that were committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// They are there.
    Done,
    /// They are there, but the run was not parked: something has come for it.
    Mail,
}

/// Whether a run that this host went ahead with was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accepted {
    /// It is there.
    Yes,
    /// It is there already, from another start, or its workflow has another version by now. Nothing of it was written.
    Refused,
}

/// The run is no longer this host's; nothing more is written about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the run is no longer this host's")]
pub struct Lost;

/// Records that were handed over to the writer of a run.
pub(super) struct Submission {
    pub(super) run: Arc<Run>,
    pub(super) number: u64,
    pub(super) records: Vec<Record>,
    pub(super) accepted: Option<oneshot::Sender<Accepted>>,
    pub(super) answer: Option<oneshot::Sender<Result<Verdict, Lost>>>,
    /// Until it is committed, others of the namespace may have to wait.
    _room: Option<OwnedSemaphorePermit>,
}

/// What the makers of a run's records and their writer share.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) run_id: RunId,
    pub(super) end: CancellationToken,
    /// Of its namespace.
    pub(super) account: Arc<Account>,
    /// Number of the last submission that was handed over, and of the last that was committed.
    submitted: AtomicU64,
    pub(super) committed: AtomicU64,
    held: Mutex<Option<Held>>,
    story: Mutex<Story>,
}

/// What was written about a run that was just accepted.
#[derive(Debug)]
struct Held {
    records: Vec<Record>,
    bytes: usize,
    accepted: oneshot::Sender<Accepted>,
    since: Instant,
}

impl Held {
    fn is_full(&self) -> bool {
        self.since.elapsed() > HELD_MAX.0 || self.records.len() > HELD_MAX.1 || self.bytes > HELD_MAX.2
    }
}

/// Writes about one run, in order. Clones share the order.
#[derive(Clone, Debug)]
pub struct RunWriter {
    run: Arc<Run>,
    queue: mpsc::Sender<Submission>,
}

impl RunWriter {
    /// For a run whose writer takes from this queue. With a start, the run is being accepted, and nothing of it is written yet.
    pub(super) fn new(
        run_id: RunId,
        account: Arc<Account>,
        end: CancellationToken,
        start: Option<(Start, oneshot::Sender<Accepted>)>,
        queue: mpsc::Sender<Submission>,
    ) -> Self {
        let hold =
            |(start, accepted)| Held { records: vec![Record::Start(start)], bytes: 0, accepted, since: Instant::now() };
        let (submitted, committed, held) = (AtomicU64::new(0), AtomicU64::new(0), Mutex::new(start.map(hold)));
        let story = Mutex::default();
        Self { run: Arc::new(Run { run_id, end, account, submitted, committed, held, story }), queue }
    }

    /// Hand over records without waiting for their commit. They are committed before whatever is handed over later.
    pub async fn append(&self, records: Vec<Record>) -> Result<(), Lost> {
        let Some(mut records) = self.run.hold(records) else { return Ok(()) };
        while records.len() > LINES_MAX && records[..LINES_MAX].iter().all(|record| matches!(record, Record::Log(..))) {
            let rest = records.split_off(LINES_MAX);
            self.submit(std::mem::replace(&mut records, rest), None).await?;
        }
        if records.is_empty() {
            return Ok(());
        }
        self.submit(records, None).await
    }

    /// Hand over records, and wait until they and all before them are committed. With no records it is a barrier, which is
    /// free if everything is committed already.
    pub async fn commit(&self, records: Vec<Record>) -> Result<Verdict, Lost> {
        let Run { submitted, committed, .. } = &*self.run;
        let is_behind = self.is_holding() || committed.load(Ordering::Acquire) < submitted.load(Ordering::Acquire);
        if records.is_empty() && !is_behind {
            return if self.run.end.is_cancelled() { Err(Lost) } else { Ok(Verdict::Done) };
        }
        let (answer, verdict) = oneshot::channel();
        self.submit(records, Some(answer)).await?;
        verdict.await.map_err(|_| Lost)?
    }

    /// So many bytes that were written earlier are replaced by what was handed over.
    pub fn replaced(&self, bytes: usize) {
        self.run.account.add(i64::try_from(bytes).map_or(0, |bytes| -bytes));
    }

    /// Hand over what is held.
    pub async fn release(&self) -> Result<(), Lost> {
        if self.is_holding() { self.submit(Vec::new(), None).await } else { Ok(()) }
    }

    /// Whether what was written is held: the run has just been accepted.
    pub fn is_holding(&self) -> bool {
        self.run.held().is_some()
    }

    async fn submit(
        &self,
        records: Vec<Record>,
        answer: Option<oneshot::Sender<Result<Verdict, Lost>>>,
    ) -> Result<(), Lost> {
        if self.run.end.is_cancelled() {
            return Err(Lost);
        }
        let room = self.run.account.room_to_wait(weight_of(&records)).await;
        let place = self.queue.reserve().await.map_err(|_| Lost)?;
        // Until it is in the queue: nobody gets in between.
        let mut held = self.run.held();
        let (mut all, accepted) = held.take().map_or((Vec::new(), None), |held| (held.records, Some(held.accepted)));
        all.extend(records);
        let number = self.run.submitted.fetch_add(1, Ordering::AcqRel) + 1;
        place.send(Submission { run: self.run.clone(), number, records: all, accepted, answer, _room: room });
        Ok(())
    }
}

impl Run {
    fn held(&self) -> MutexGuard<'_, Option<Held>> {
        // Nothing under the lock can panic half way.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// These were committed. Returns how it ended, if it has, and if that is known without asking the database.
    pub(super) fn goes_on(&self, records: Vec<Record>) -> Option<RunSummary> {
        // Nothing under the lock can panic half way.
        self.story.lock().unwrap_or_else(PoisonError::into_inner).goes_on(records)
    }

    /// Hold these as well, if the run's records are held. If not, they come back.
    fn hold(&self, records: Vec<Record>) -> Option<Vec<Record>> {
        match &mut *self.held() {
            Some(held) if !held.is_full() && records.len() <= HELD_MAX.1 => {
                held.bytes += records.iter().map(Record::bytes).sum::<usize>();
                held.records.extend(records);
                None
            }
            _ => Some(records),
        }
    }
}

impl Submission {
    pub(super) fn weight(&self) -> Weight {
        weight_of(&self.records)
    }

    pub(super) fn refuse(&mut self, verdicts: &[(Uuid, i16)]) {
        if verdicts.iter().any(|(run_id, _)| *run_id == self.run.run_id.0) {
            self.run.end.cancel();
            reply(self.accepted.take(), Accepted::Refused);
        }
    }
}

fn weight_of(records: &[Record]) -> Weight {
    Weight { records: records.len(), bytes: records.iter().map(Record::bytes).sum() }
}

pub(super) fn reply<T>(asked: Option<oneshot::Sender<T>>, answer: T) {
    if let Some(asked) = asked {
        // Whoever asked may have stopped waiting.
        let _ = asked.send(answer);
    }
}
