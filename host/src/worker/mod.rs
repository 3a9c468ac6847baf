//! The loops of a host, one actor a file, each at its own pace.
//!
//! | actor | does | woken by |
//! |---|---|---|
//! | `heartbeat` | renews the lease; without it everything stops | time |
//! | `adopt` | takes up runs that it owns and does not know of | answers that were lost, time |
//! | `claim` | takes ready runs as far as there is room | nudges, time |
//! | `fire_timers` | makes parked runs ready whose time has come | the next time that is due |
//! | `cancel_released` | asks children to stop that nobody waits for any more | time |
//! | `pass_on` | tells runs what the commits of this host mean to them | commits |
//! | `reap` | frees the runs of dead hosts | time |
//! | `vacuum` | keeps the small tables small | time |
//! | `listen` | passes on hints of other hosts | NOTIFY |
//! | `notify` | sends hints to other hosts | what happened here |
//!
//! A host serves under one lease at a time (`session`). When it loses the lease, all that belongs to it ends, and it takes
//! another.

mod adopt;
mod cancel_released;
mod claim;
mod fire_timers;
mod heartbeat;
mod host;
mod listen;
mod notify;
mod pass_on;
mod reap;
mod session;
mod vacuum;

pub use host::{Host, HostConfig, Waited};
