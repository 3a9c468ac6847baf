//! Rewinding runs and forking them, and what was part of a history before.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::batch::int;
use super::lines::RewindLine;
use super::rows::EventRow;
use super::runs::state;
use super::seals::sealed_among;
use super::{Result, Store};
use crate::model::{
    CallId, ChildOptions, Event, Lineage, Namespace, Payload, RunId, RunInfo, RunState, Timestamp, Who,
};

/// Where a run was before one of its events, as somebody has found out who delivered its history up to there.
#[derive(Clone, Debug)]
pub struct Point {
    /// The run, as it was then.
    pub info: RunInfo,
    /// The number of that event.
    pub before: u32,
    /// The number of the event that its history does not have yet.
    pub next_seq: u32,
    /// The number of the call that its guest makes next.
    pub next_call: CallId,
    /// The number of the line that it logs next.
    pub next_line: u32,
    /// The children that it waits for.
    pub children: Vec<(CallId, ChildOptions)>,
}

/// The state of a run that is paused, and that a host is still at, as [`Error::WrongState`](super::Error::WrongState) says it.
pub const ABOUT_TO_BE_PAUSED: &str = "about to be paused";

/// What a rewind has done.
#[derive(Clone, Copy, Debug)]
pub struct Rewound {
    /// Which one of the run it was: 1, 2, ….
    pub rewind: u32,
    /// Events that are no part of its history any more.
    pub dropped: u32,
    /// About how many bytes more are kept.
    pub bytes: i64,
}

/// A run that was forked.
#[derive(Clone, Copy, Debug)]
pub struct Forked {
    /// Whether it is a new one; there was one of that id if not.
    pub created: bool,
    /// About how many bytes it keeps.
    pub bytes: i64,
}

/// A rewind of a run.
#[derive(Clone, Debug)]
pub struct Rewind {
    /// Which: 1, 2, ….
    pub rewind: u32,
    /// The first event that it has dropped.
    pub before: u32,
    /// What the run was then.
    pub state: RunState,
    /// And what it had come to: its result, its failure, or why it was quarantined.
    pub result: Option<Payload>,
    /// Whoever rewound it.
    pub who: String,
    /// When.
    pub at: Timestamp,
}

#[derive(sqlx::FromRow)]
pub(super) struct RewindRow {
    pub(super) rewind: i32,
    pub(super) before_seq: i32,
    /// As of `run_state`.
    pub(super) state: i16,
    pub(super) result: Option<Vec<u8>>,
    pub(super) who: String,
    pub(super) at: DateTime<Utc>,
}

impl Store {
    /// Of the steps and signals to others whose outcome a rewind to this event would drop, those that are calls before
    /// `next_call`.
    pub async fn redone_calls(
        &self,
        namespace: &Namespace,
        run_id: RunId,
        before: u32,
        next_call: CallId,
    ) -> Result<Vec<CallId>> {
        let calls: Vec<i32> = sqlx::query_scalar("SELECT redone_calls($1, $2, $3, $4)")
            .bind(&**namespace)
            .bind(run_id.0)
            .bind(int(before))
            .bind(int(next_call))
            .fetch_all(&mut *self.tenant(namespace).await?)
            .await?;
        Ok(calls.into_iter().map(i32::unsigned_abs).collect())
    }

    /// Rewind a run that nobody is at, if it still is where somebody has looked. `lineage`: what is to become of its own.
    /// `pause`: it does not go on before it is resumed. `what`: the word for the audit log.
    pub async fn rewind_run(
        &self,
        namespace: &Namespace,
        point: &Point,
        lineage: &Lineage,
        pause: bool,
        (what, who): (&str, &Who),
    ) -> Result<Rewound> {
        let Point { info, before, next_seq, next_call, next_line, children } = point;
        let calls: Vec<_> = children.iter().map(|(call, _)| int(*call)).collect();
        let ids: Vec<_> = children.iter().map(|(call, _)| info.child_of(*call).0).collect();
        let abandon: Vec<_> = children.iter().map(|(_, options)| options.abandon).collect();
        let detached: Vec<_> = children.iter().map(|(_, options)| options.detached).collect();
        let rewound: (i32, i32, i64) = sqlx::query_as(
            "SELECT rewind, dropped, bytes \
             FROM rewind_run($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)",
        )
        .bind(&**namespace)
        .bind(info.run_id.0)
        .bind(int(*before))
        .bind(int(*next_seq))
        .bind(int(info.origin.generation))
        .bind(info.lineage.text())
        .bind(lineage.text())
        .bind(int(*next_call))
        .bind(int(*next_line))
        .bind(calls)
        .bind(ids)
        .bind(abandon)
        .bind(detached)
        .bind(pause)
        .bind(what)
        .bind(who.to_string())
        // A history is changed, which no tenant's session may.
        .fetch_one(&self.pool)
        .await?;
        Ok(Rewound { rewind: rewound.0.unsigned_abs(), dropped: rewound.1.unsigned_abs(), bytes: rewound.2 })
    }

    /// Start a run under this id with the history of another up to a point, if that one still is where somebody has looked.
    pub async fn fork_run(
        &self,
        namespace: &Namespace,
        point: &Point,
        (fork_id, key): (RunId, Option<&str>),
        lineage: &Lineage,
        pause: bool,
        who: &Who,
    ) -> Result<Forked> {
        let info = &point.info;
        let (created, bytes): (bool, i64) =
            sqlx::query_as("SELECT created, bytes FROM fork_run($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)")
                .bind(&**namespace)
                .bind(info.run_id.0)
                .bind(fork_id.0)
                .bind(key)
                .bind(int(point.before))
                .bind(int(info.origin.generation))
                .bind(info.lineage.text())
                .bind(lineage.text())
                .bind(pause)
                .bind(who.to_string())
                // As above, and as runs are started.
                .fetch_one(&self.pool)
                .await?;
        Ok(Forked { created, bytes })
    }

    /// The rewinds of a run, archived or not, the first one first.
    pub async fn rewinds(&self, namespace: &Namespace, run_id: RunId) -> Result<Vec<Rewind>> {
        let mut rows: Vec<RewindRow> = sqlx::query_as(
            "SELECT rewind, before_seq, CASE state WHEN 0 THEN 7 ELSE state + 2 END::smallint AS state, result, who, at \
             FROM rewinds WHERE shard = $1 AND run_id = $2 \
             AND EXISTS (SELECT 1 FROM runs r WHERE r.shard = $1 AND r.run_id = $2 AND r.namespace = $3) ORDER BY rewind",
        )
        .bind(run_id.shard())
        .bind(run_id.0)
        .bind(&**namespace)
        .fetch_all(&mut *self.tenant(namespace).await?)
        .await?;
        if rows.is_empty() {
            let rest = self.archived_rest(namespace, run_id).await?;
            rows = rest.rewinds.into_iter().map(RewindLine::into_row).collect();
        }
        self.open(namespace, sealed_among(rows.iter_mut().filter_map(|row| row.result.as_mut()))).await?;
        Ok(rows.into_iter().map(Rewind::from).collect())
    }

    /// Events that one of a run's rewinds has dropped, from number `first` on: at most `limit`, and only as many as it takes to
    /// have so many `bytes`; and the number of the next one, if there is one.
    pub async fn past_events(
        &self,
        namespace: &Namespace,
        (run_id, rewind): (RunId, u32),
        first: u32,
        limit: u32,
        bytes: u32,
    ) -> Result<(Vec<Event>, Option<u32>)> {
        let mut rows: Vec<EventRow> = sqlx::query_as(
            "SELECT seq, kind, call, name, input, attempt, failed, outcome, asked_at, at FROM ( \
                 SELECT *, sum(coalesce(octet_length(input), 0) + coalesce(octet_length(outcome), 0)) OVER ( \
                     ORDER BY seq ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before \
                 FROM (SELECT * FROM past_events WHERE shard = $1 AND run_id = $2 AND rewind = $3 AND seq >= $4 \
                       AND EXISTS (SELECT 1 FROM runs r WHERE r.shard = $1 AND r.run_id = $2 AND r.namespace = $7) \
                       ORDER BY seq LIMIT $5 + 1) rest \
             ) page WHERE coalesce(before, 0) < $6 ORDER BY seq",
        )
        .bind(run_id.shard())
        .bind(run_id.0)
        .bind(int(rewind))
        .bind(int(first))
        .bind(i64::from(limit))
        .bind(i64::from(bytes))
        .bind(&**namespace)
        .fetch_all(&mut *self.tenant(namespace).await?)
        .await?;
        if rows.is_empty() {
            let past = self.archived_rest(namespace, run_id).await?.past;
            rows = past.into_iter().filter(|line| line.is_of(rewind, first)).map(|line| line.event).collect();
        }
        // A page that is full may be the last one: whoever asks again is told.
        let more = rows.len() > limit as usize || total(&rows) >= u64::from(bytes);
        rows.truncate(limit as usize);
        let events = self.events(namespace, rows).await?;
        let next = events.last().filter(|_| more).map(|event| event.seq + 1);
        Ok((events, next))
    }
}

fn total(rows: &[EventRow]) -> u64 {
    let payloads = rows.iter().flat_map(|row| [&row.input, &row.outcome]).flatten();
    payloads.map(|payload| payload.len() as u64).sum()
}

impl From<RewindRow> for Rewind {
    fn from(row: RewindRow) -> Self {
        Self {
            rewind: row.rewind.unsigned_abs(),
            before: row.before_seq.unsigned_abs(),
            state: state(row.state),
            result: row.result.map(Payload::stored),
            who: row.who,
            at: row.at.into(),
        }
    }
}

/// Those of these runs that were rewound in so long a time until now.
pub(super) async fn rewound_runs(
    connection: &mut sqlx::PgConnection,
    run_ids: Vec<Uuid>,
    ago: std::time::Duration,
) -> Result<Vec<Uuid>> {
    // An interval has microseconds, and no less.
    let ago = std::time::Duration::from_micros(u64::try_from(ago.as_micros()).unwrap_or(u64::MAX));
    let asked = sqlx::query_scalar("SELECT rewound_runs($1, $2)").bind(run_ids).bind(ago);
    Ok(asked.fetch_all(connection).await?)
}
