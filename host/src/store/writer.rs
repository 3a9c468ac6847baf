//! Group commit: everything that came while the last commit was under way is the next one.
//!
//! ```text
//! activations ──records──→ queue ──all of it──→ commit_batch ──→ verdicts ──→ those who wait for them
//! ```
//!
//! Of what has come, each namespace has its share in the next commit (`waiting.rs`). A host has a few writers, each with a
//! connection of its own. All records of one run go through the same writer, so they are committed in the order in which they
//! were made.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use sqlx::PgConnection;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::batch::Batch;
use super::rewind::rewound_runs;
use super::run_writer::{Accepted, Lost, RunWriter, Submission, Verdict, reply};
use super::waiting::{Most, Waiting};
use super::{Account, Error, Hint, Lease, Record, Start, Store, Watchers};
use crate::model::RunId;

/// Most in one commit. Of more bytes than this, each takes as long in a commit of its own.
const MOST: Most = Most { items: 1_000, records: 5_000, bytes: 4 << 20 };

/// The same when several namespaces write: nobody waits long for a commit of others.
const MOST_OF_SEVERAL: Most = Most { items: 1_000, records: 1_000, bytes: 1 << 20 };

/// Submissions that may wait for a writer; then their makers wait.
const QUEUE_MAX: usize = 8_192;

/// The verdict of `commit_batch` about a run that has ended as asked, and that somebody has asked to stop.
const ASKED_TO_STOP: i16 = 0;

/// From this verdict of `commit_batch` on, it is about other runs: this one can be told; any other can be claimed.
const TOLD: i16 = 3;

/// Between attempts to reach a database that is away: from, to.
const RECONNECT: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

/// A rewind that is older than the first attempt to send by so much, or less, is taken for a younger one: whoever is lost over it is
/// adopted again.
const REWIND_MARGIN: Duration = Duration::from_secs(1);

/// From this one on, nothing was written: the run cannot be accepted as it is.
const REFUSED: i16 = 5;

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
        RunWriter::new(run_id, account, end, None, self.queue(run_id))
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
        (RunWriter::new(run_id, account, end, Some((start, accepted)), self.queue(run_id)), is_accepted)
    }

    fn queue(&self, run_id: RunId) -> mpsc::Sender<Submission> {
        // The low bits choose the shard: the next ones choose the writer.
        self.queues[usize::from(run_id.0.as_bytes()[14]) % self.queues.len()].clone()
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
        let (mut waiting, mut came) = (Waiting::default(), Vec::new());
        loop {
            if waiting.is_empty() && submissions.recv_many(&mut came, QUEUE_MAX).await == 0 {
                return;
            }
            // What has come during the last commit takes its place among what waits.
            while waiting.len() + came.len() < QUEUE_MAX
                && let Ok(submission) = submissions.try_recv()
            {
                came.push(submission);
            }
            let now = Instant::now();
            for submission in came.drain(..) {
                waiting.push(Arc::as_ptr(&submission.run.account).addr(), submission.weight(), submission, now);
            }
            self.commit(waiting.take(if waiting.is_crowded(now) { MOST_OF_SEVERAL } else { MOST })).await;
        }
    }

    /// Commit all of these, however often it takes; only the loss of the lease ends it earlier.
    async fn commit(&mut self, mut submissions: Vec<Submission>) {
        let mut wait = RECONNECT.0;
        let begun = Instant::now();
        loop {
            submissions = drop_lost(submissions);
            if submissions.is_empty() {
                return;
            }
            match self.send(&submissions).await {
                Ok(verdicts) if verdicts.iter().any(|(_, verdict)| *verdict == REFUSED) => {
                    submissions.iter_mut().for_each(|submission| submission.refuse(&verdicts));
                }
                Ok(verdicts) => return self.answer(submissions, &verdicts),
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
                    if !self.come_back(&submissions, &mut wait, begun).await {
                        return lose(&submissions, |_| true);
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

    /// Wait until the database is there again. Returns whether what was sent since `begun` can be sent again: all but what is about runs
    /// that are lost by then.
    async fn come_back(&mut self, submissions: &[Submission], wait: &mut Duration, begun: Instant) -> bool {
        loop {
            self.connection = None;
            tokio::select! {
                () = self.lease.lost.cancelled() => return false,
                () = tokio::time::sleep(*wait) => *wait = (*wait * 2).min(RECONNECT.1),
            }
            match self.lose_rewound(submissions, begun).await {
                Ok(()) => return true,
                Err(Error::Unavailable(_)) => {}
                Err(error) => {
                    tracing::error!(%error, "it cannot be found out which runs were rewound; what was to be written is given up");
                    return false;
                }
            }
        }
    }

    /// What was sent may have been committed, with the end or the pause of a run, and somebody may have rewound the run since: sent
    /// again, it would bring back events that were dropped.
    async fn lose_rewound(&mut self, submissions: &[Submission], begun: Instant) -> Result<(), Error> {
        let runs = submissions.iter().map(|submission| submission.run.run_id.0).collect();
        let rewound = rewound_runs(self.connection().await?, runs, begun.elapsed() + REWIND_MARGIN).await?;
        lose(submissions, |submission| rewound.contains(&submission.run.run_id.0));
        Ok(())
    }

    async fn connection(&mut self) -> Result<&mut PgConnection, Error> {
        Ok(match &mut self.connection {
            Some(connection) => connection,
            none => none.insert(self.store.connection().await?),
        })
    }

    async fn send(&mut self, submissions: &[Submission]) -> Result<Vec<(Uuid, i16)>, Error> {
        let mut batch = Batch::default();
        for submission in submissions {
            let (run, key) = (&submission.run, submission.run.account.key()?);
            submission.records.iter().try_for_each(|record| batch.add(run.run_id, key.as_deref(), record))?;
        }
        let lease = self.lease.clone();
        batch.send(self.connection().await?, &lease).await
    }

    fn answer(&self, submissions: Vec<Submission>, verdicts: &[(Uuid, i16)]) {
        let (own, others): (Vec<_>, Vec<_>) = verdicts.iter().partition(|(_, verdict)| *verdict < TOLD);
        for (run_id, verdict) in others {
            let hint = if verdict == TOLD { Hint::Mail(RunId(run_id)) } else { Hint::Ready };
            // A host that stops needs no hints.
            let _ = self.hints.send(hint);
        }
        let verdicts: HashMap<_, _> = own.into_iter().collect();
        for Submission { run, number, records, accepted, answer, .. } in submissions {
            let said = verdicts.get(&run.run_id.0);
            let verdict = match said {
                None | Some(&ASKED_TO_STOP) => Ok(Verdict::Done),
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
            let has_ended = matches!(records.last(), Some(Record::Close(_)));
            // If there was a word of others, only its row says all.
            let summary = run.goes_on(records).filter(|_| said.is_none());
            if has_ended {
                self.watchers.ended(run.run_id, summary);
            } else {
                self.watchers.changed(run.run_id);
            }
            reply(accepted, Accepted::Yes);
            reply(answer, verdict);
        }
    }
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
