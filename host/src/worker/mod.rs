//! The loops of a host, one actor a file, each at its own pace.
//!
//! | actor | does | woken by |
//! |---|---|---|
//! | `heartbeat` | renews the lease; without it everything stops | time |
//! | `adopt` | takes up runs that it owns and does not know of | answers that were lost, time |
//! | `claim` | takes ready runs as far as there is room | nudges, time |
//! | `fire_timers` | makes parked runs ready whose time has come | the next time that is due |
//! | `fire_schedules` | deals with the ticks of schedules that are due | the next one, changes of schedules, time |
//! | `cancel_released` | asks children to stop that nobody waits for any more | time |
//! | `pass_on` | tells runs what the commits of this host mean to them | commits |
//! | `reap` | frees the runs of dead hosts | time |
//! | `release_paused` | makes runs ready that were resumed by somebody who died over it | time |
//! | `settle_concurrency` | ends what somebody has begun who changed a limit on runs at once and died over it | time |
//! | `note_key_use` | writes down which API keys were used | time |
//! | `count_storage` | says how much was written for each namespace | time |
//! | `try_suspects` | takes up runs that hosts have died of, one at a time | time |
//! | `watch_others` | hears of the ends of runs that are waited for here and that are at other hosts | time, while somebody waits |
//! | `archive` | puts runs that have ended into the archive, and drops days of it that are over | time |
//! | `vacuum` | keeps the small tables small | time |
//! | `listen` | passes on hints of other hosts | NOTIFY |
//! | `notify` | sends hints to other hosts | what happened here |
//!
//! A host serves under one lease at a time (`session`). When it loses the lease, all that belongs to it ends, and it takes
//! another.

mod adopt;
mod archive;
mod archive_store;
mod authenticate;
mod cancel_released;
mod claim;
mod concurrency;
mod config;
mod control;
mod count_storage;
mod depths;
mod fire_schedules;
mod fire_timers;
mod heartbeat;
mod host;
mod listen;
mod namespaces;
mod note_key_use;
mod notify;
mod pass_on;
mod reap;
mod release_paused;
mod rewind;
mod schedules;
mod session;
mod settle_concurrency;
mod try_suspects;
mod vacuum;
mod versions;
mod watch_others;

pub use archive_store::{ArchiveStore, ArchiveStoreError};
pub use authenticate::{Authenticator, KEY_KEPT, Unauthenticated};
pub use config::{ArchiveConfig, Authentication, HostConfig, Resolver};
pub use depths::Standing;
pub use host::{Host, Waited};
pub use namespaces::NamespaceError;
pub use rewind::ForkedRun;
pub use schedules::{BACKFILL_MAX, BackfillError, Backfilled, PutScheduleError, TriggerError};
