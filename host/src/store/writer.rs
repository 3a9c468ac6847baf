//! Group commit: everything that came while the last commit was under way is the next one.
//!
//! ```text
//! activations ──records──→ queue ──all of it──→ commit_batch ──→ verdicts ──→ those who wait for them
//! ```
//!
//! A host has a few writers, each with a connection of its own. All records of one run go through the same writer, so they
//! are committed in the order in which they were made.
//!
//! What is written about a run that has just been accepted is held for a moment: nothing has left the host yet, and a run that
//! is over soon is one row and one commit.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sqlx::PgConnection;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::batch::Batch;
use super::{Account, Error, Hint, Lease, Record, RunSummary, Start, Store, Watchers};
use crate::model::RunId;

/// Most submissions in one commit.
const BATCH_MAX: usize = 1_000;

/// Most records in one commit, and most bytes of their documents, if it is not one submission that has more.
const RECORDS_MAX: (usize, usize) = (5_000, 32 << 20);

/// Submissions that may wait for a writer; then their makers wait.
const QUEUE_MAX: usize = 8_192;

/// From this verdict of `commit_batch` on, it is about other runs: this one can be told; any other can be claimed.
const TOLD: i16 = 3;

/// Between attempts to reach a database that is away: from, to.
const RECONNECT: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

/// From this one on, nothing was written: the run cannot be accepted as it is.
const REFUSED: i16 = 5;

/// How long the records of a run that was just accepted are held at most, how many, and how many bytes of documents.
const HELD_MAX: (Duration, usize, usize) = (Duration::from_millis(100), 500, 1 << 20);

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

struct Submission {
    run: Arc<Run>,
    number: u64,
    records: Vec<Record>,
    accepted: Option<oneshot::Sender<Accepted>>,
    answer: Option<oneshot::Sender<Result<Verdict, Lost>>>,
}

/// What the makers of a run's records and their writer share.
#[derive(Debug)]
struct Run {
    run_id: RunId,
    end: CancellationToken,
    /// Of its namespace.
    account: Arc<Account>,
    /// Number of the last submission that was handed over, and of the last that was committed.
    submitted: AtomicU64,
    committed: AtomicU64,
    held: Mutex<Option<Held>>,
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

/// The writers of one lease.
#[derive(Clone, Debug)]
pub struct Writers {
    queues: Arc<[mpsc::Sender<Submission>]>,
}

impl Writers {
    /// Start `count` writers. They end when the last clone and the last [`RunWriter`] are gone. What a commit means to other
    /// runs goes to `hints`.
    pub fn start(
        store: &Store,
        lease: &Arc<Lease>,
        watchers: &Watchers,
        hints: &mpsc::UnboundedSender<Hint>,
        count: usize,
        tasks: &mut JoinSet<()>,
    ) -> Self {
        let start = |_| {
            let (queue, submissions) = mpsc::channel(QUEUE_MAX);
            let (store, lease, watchers) = (store.clone(), lease.clone(), watchers.clone());
            let writer = Writer { store, lease, watchers, hints: hints.clone(), connection: None };
            tasks.spawn(writer.run(submissions));
            queue
        };
        Self { queues: (0..count.max(1)).map(start).collect() }
    }

    /// What writes about one run. When the run is lost, `end` is cancelled.
    pub fn for_run(&self, run_id: RunId, account: Arc<Account>, end: CancellationToken) -> RunWriter {
        self.writer(run_id, account, end, None)
    }

    /// What writes about a run that is being accepted, and whether it was, once that is known. A sender that is gone means
    /// that it is not known: the lease was lost.
    pub fn for_new_run(
        &self,
        start: Start,
        account: Arc<Account>,
        end: CancellationToken,
    ) -> (RunWriter, oneshot::Receiver<Accepted>) {
        let run_id = start.info.run_id;
        let (accepted, is_accepted) = oneshot::channel();
        let held = Held { records: vec![Record::Start(start)], bytes: 0, accepted, since: Instant::now() };
        (self.writer(run_id, account, end, Some(held)), is_accepted)
    }

    fn writer(&self, run_id: RunId, account: Arc<Account>, end: CancellationToken, held: Option<Held>) -> RunWriter {
        // The low bits choose the shard: the next ones choose the writer.
        let index = usize::from(run_id.0.as_bytes()[14]) % self.queues.len();
        let (submitted, committed, held) = (AtomicU64::new(0), AtomicU64::new(0), Mutex::new(held));
        let run = Run { run_id, end, account, submitted, committed, held };
        RunWriter { run: Arc::new(run), queue: self.queues[index].clone() }
    }
}

/// Writes about one run, in order. Clones share the order.
#[derive(Clone, Debug)]
pub struct RunWriter {
    run: Arc<Run>,
    queue: mpsc::Sender<Submission>,
}

impl RunWriter {
    /// Hand over records without waiting for their commit. They are committed before whatever is handed over later.
    pub async fn append(&self, records: Vec<Record>) -> Result<(), Lost> {
        let Some(records) = self.run.hold(records) else { return Ok(()) };
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
        let place = self.queue.reserve().await.map_err(|_| Lost)?;
        // Until it is in the queue: nobody gets in between.
        let mut held = self.run.held();
        let (mut all, accepted) = held.take().map_or((Vec::new(), None), |held| (held.records, Some(held.accepted)));
        all.extend(records);
        let number = self.run.submitted.fetch_add(1, Ordering::AcqRel) + 1;
        place.send(Submission { run: self.run.clone(), number, records: all, accepted, answer });
        Ok(())
    }
}

impl Run {
    fn held(&self) -> MutexGuard<'_, Option<Held>> {
        // Nothing under the lock can panic half way.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hold these as well, if the run's records are held. If not, they come back.
    fn hold(&self, records: Vec<Record>) -> Option<Vec<Record>> {
        match &mut *self.held() {
            Some(held) if !held.is_full() => {
                held.bytes += records.iter().map(Record::bytes).sum::<usize>();
                held.records.extend(records);
                None
            }
            _ => Some(records),
        }
    }
}

struct Writer {
    store: Store,
    lease: Arc<Lease>,
    watchers: Watchers,
    hints: mpsc::UnboundedSender<Hint>,
    connection: Option<PgConnection>,
}

impl Writer {
    async fn run(mut self, mut submissions: mpsc::Receiver<Submission>) {
        let mut queue = Vec::with_capacity(BATCH_MAX);
        while submissions.recv_many(&mut queue, BATCH_MAX).await > 0 {
            while !queue.is_empty() {
                let rest = queue.split_off(batch_length(&queue));
                self.commit(std::mem::replace(&mut queue, rest)).await;
            }
        }
    }

    /// Commit all of these, however often it takes; only the loss of the lease ends it earlier.
    async fn commit(&mut self, mut submissions: Vec<Submission>) {
        let mut wait = RECONNECT.0;
        loop {
            submissions = drop_lost(submissions);
            if submissions.is_empty() {
                return;
            }
            match self.send(&submissions).await {
                Ok((verdicts, _)) if verdicts.iter().any(|(_, verdict)| *verdict == REFUSED) => {
                    submissions.iter_mut().for_each(|submission| submission.refuse(&verdicts));
                }
                Ok((verdicts, ended)) => return self.answer(submissions, &verdicts, ended),
                Err(Error::StartedMeanwhile) => {}
                Err(Error::Conflict(run_id)) => {
                    tracing::error!(run.id = %run_id, "another writer has added to the run's history");
                    lose(&submissions, |submission| submission.run.run_id == run_id);
                }
                Err(Error::Fenced) => {
                    self.lease.lost.cancel();
                    return lose(&submissions, |_| true);
                }
                Err(Error::Unavailable(error)) => {
                    tracing::warn!(%error, "the database is not available; the commit is tried again");
                    self.connection = None;
                    tokio::select! {
                        () = self.lease.lost.cancelled() => return lose(&submissions, |_| true),
                        () = tokio::time::sleep(wait) => wait = (wait * 2).min(RECONNECT.1),
                    }
                }
                Err(error) if submissions.len() > 1 => {
                    tracing::error!(%error, "the database refused a batch; its parts are tried one by one");
                    for submission in submissions {
                        Box::pin(self.commit(vec![submission])).await;
                    }
                    return;
                }
                Err(error) => {
                    tracing::error!(%error, run.id = %submissions[0].run.run_id, "the database refused what was written about a run");
                    return lose(&submissions, |_| true);
                }
            }
        }
    }

    async fn send(&mut self, submissions: &[Submission]) -> Result<(Vec<(Uuid, i16)>, Vec<RunSummary>), Error> {
        let mut batch = Batch::default();
        for submission in submissions {
            let (run, key) = (&submission.run, submission.run.account.key()?);
            submission.records.iter().try_for_each(|record| batch.add(run.run_id, key.as_deref(), record))?;
        }
        let connection = match &mut self.connection {
            Some(connection) => connection,
            none => none.insert(self.store.connection().await?),
        };
        let ended = batch.take_ended();
        Ok((batch.send(connection, &self.lease).await?, ended))
    }

    fn answer(&self, submissions: Vec<Submission>, verdicts: &[(Uuid, i16)], ended: Vec<RunSummary>) {
        let (own, others): (Vec<_>, Vec<_>) = verdicts.iter().partition(|(_, verdict)| *verdict < TOLD);
        for (run_id, verdict) in others {
            let hint = if verdict == TOLD { Hint::Mail(RunId(run_id)) } else { Hint::Ready };
            // A host that stops needs no hints.
            let _ = self.hints.send(hint);
        }
        let verdicts: HashMap<_, _> = own.into_iter().collect();
        let mut ended: HashMap<_, _> = ended.into_iter().map(|summary| (summary.run_id, summary)).collect();
        for Submission { run, number, records, accepted, answer } in submissions {
            let verdict = match verdicts.get(&run.run_id.0) {
                None => Ok(Verdict::Done),
                Some(2) => Ok(Verdict::Mail),
                Some(_) => Err(Lost),
            };
            match verdict {
                Ok(_) => {
                    run.committed.fetch_max(number, Ordering::AcqRel);
                    run.account.add(records.iter().map(Record::stored_bytes).sum());
                }
                Err(Lost) => run.end.cancel(),
            }
            match records.last() {
                Some(Record::Close(_)) => self.watchers.ended(run.run_id, ended.remove(&run.run_id)),
                _ => self.watchers.changed(run.run_id),
            }
            reply(accepted, Accepted::Yes);
            reply(answer, verdict);
        }
    }
}

impl Submission {
    fn refuse(&mut self, verdicts: &[(Uuid, i16)]) {
        if verdicts.iter().any(|(run_id, _)| *run_id == self.run.run_id.0) {
            self.run.end.cancel();
            reply(self.accepted.take(), Accepted::Refused);
        }
    }
}

/// How many of these make one commit: all of them, unless that gets too big.
fn batch_length(queue: &[Submission]) -> usize {
    let (mut records, mut bytes) = (0, 0);
    let fits = |submission: &&Submission| {
        records += submission.records.len();
        bytes += submission.records.iter().map(Record::bytes).sum::<usize>();
        records <= RECORDS_MAX.0 && bytes <= RECORDS_MAX.1
    };
    queue.iter().take_while(fits).count().max(1)
}

/// A run that is lost stays lost: a later record without an earlier one would be a hole in its history.
fn drop_lost(submissions: Vec<Submission>) -> Vec<Submission> {
    let (lost, kept): (Vec<_>, Vec<_>) =
        submissions.into_iter().partition(|submission| submission.run.end.is_cancelled());
    lost.into_iter().for_each(|submission| reply(submission.answer, Err(Lost)));
    kept
}

fn lose(submissions: &[Submission], which: impl Fn(&Submission) -> bool) {
    submissions.iter().filter(|submission| which(submission)).for_each(|submission| submission.run.end.cancel());
}

fn reply<T>(asked: Option<oneshot::Sender<T>>, answer: T) {
    if let Some(asked) = asked {
        // Whoever asked may have stopped waiting.
        let _ = asked.send(answer);
    }
}
