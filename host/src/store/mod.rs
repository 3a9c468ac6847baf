//! Postgres behind a wall: every statement that the host runs is in this folder, and nearly all of them call a function of
//! `migrations/`. No transaction is held open by the host: a call is a transaction.

mod account;
mod archive;
mod archived;
mod audit;
mod batch;
mod clock;
mod columns;
mod components;
mod concurrency;
mod connect;
mod control;
mod error;
mod grants;
mod history;
mod inbox;
mod keys;
mod lease;
mod lines;
mod namespaces;
mod overview;
mod rate_limits;
mod record;
mod rewind;
mod rows;
mod run_writer;
mod runs;
mod schedule;
mod schedules;
mod seals;
mod search;
mod secrets;
mod start;
mod story;
mod tenant;
mod ticks;
mod versions;
mod waiting;
mod wake;
mod watch;
mod writer;

use std::sync::Arc;

use sqlx::PgPool;
use sqlx::postgres::PgConnectOptions;

pub use account::{Account, Accounts};
pub use archive::{Archived, ArchivedPart, Archivist, Place, RetentionStats, RipeDay};
pub use clock::DatabaseClock;
pub use components::{Deployment, Newest, Version};
pub use concurrency::Concurrency;
pub use connect::{ConnectError, connect_options};
pub use control::{Held, Pause};
pub use error::{Error, Result};
pub use history::{Attempt, LogRow, Published};
pub use inbox::{InboxMax, Letter, Sent, Update};
pub use keys::{KeyListing, KeyState, KnownKey, NewKey};
pub use lease::{Lease, LeaseTimes};
pub use lines::{ReadBack, UnreadableArchive, read_back};
pub use namespaces::NamespaceSummary;
pub use overview::{Quarantined, QueueDepth, RunContext, StepCounts, StepReadiness};
pub use rate_limits::{RATE_LIMITS_MAX, RateLimit, Turns};
pub use record::{Close, CloseState, NewChild, Park, Record, Source, Start};
pub use rewind::{ABOUT_TO_BE_PAUSED, Forked, Point, Rewind, Rewound};
pub use run_writer::{Accepted, Lost, RunWriter, Verdict};
pub use runs::RunSummary;
pub use schedule::{Claimed, Fired, Reaped, Standing};
pub use schedules::{PutSchedule, RunsOfTicks, ScheduleSummary, TickCounts, TickNote, TickOutcome};
use seals::Seals;
pub use search::{RunCount, RunFilter, RunListing, RunPlace, RunsFound};
pub use secrets::{SealedSecret, SecretListing, WrappedKey};
pub use start::{NewRun, NewSignal, Started};
pub use ticks::{Dealt, DueTick, DueTicks};
pub use versions::{LIVE_MAX, Standpoint, VersionListing};
pub use wake::{Hint, HintListener, Hints};
pub use watch::{Watcher, Watchers};
pub use writer::Writers;

/// One installation: a schema in a database.
#[derive(Clone, Debug)]
pub struct Store {
    /// As the owner of the tables: what hosts do by themselves.
    pool: PgPool,
    /// As somebody who sees one namespace: what is asked for at the API.
    tenants: tenant::Sessions,
    seals: Arc<Seals>,
    options: PgConnectOptions,
    schema: String,
}
