#![doc = include_str!("../README.md")]

#[doc(hidden)]
pub mod bindings;
mod call;
mod cancel;
mod child;
mod clock;
mod event;
mod failure;
pub mod heartbeat;
mod host;
pub mod http;
pub mod log;
#[doc(hidden)]
pub mod payload;
#[doc(hidden)]
pub mod program;
mod race;
mod random;
#[doc(hidden)]
pub mod registry;
pub mod run;
mod saga;
mod signal;
mod state;
pub mod step;
#[cfg(not(target_family = "wasm"))]
pub mod testing;
mod timer;
mod update;

pub use cancel::{CancelReason, cancel_reason, cancel_requested, cancellable, shield};
pub use child::{Child, child};
pub use clock::now;
pub use failure::{Failure, Result};
pub use futures_util::future::{join_all, try_join_all};
pub use futures_util::stream::{FuturesUnordered, StreamExt};
pub use futures_util::{join, try_join};
pub use race::{Either, race};
pub use random::{random, random_bytes, uuid};
pub use run::continue_as_new;
pub use saga::{Saga, saga};
pub use signal::{SendSignal, Signal, send_signal, signal};
pub use state::publish;
pub use timer::{Sleep, sleep};
pub use update::{Receive, Update, update};
pub use windlass_macros::{step, workflow};

/// What the macros write. Not for people.
#[doc(hidden)]
pub mod __private {
    pub use inventory;

    pub use crate::bindings;
    pub use crate::payload::{decode, encode, schema};
    pub use crate::program::Named;
    pub use crate::registry::{Returned, Step, Workflow};
    pub use crate::step::RetryPolicy;
    #[cfg(not(target_family = "wasm"))]
    pub use crate::testing::type_id;
}
