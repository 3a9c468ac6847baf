//! Determinism: what a run has seen decides what it does.
//!
//! A run's history is the list of the events that were delivered to its guest, in the order of delivery, each with the
//! call that it answers. To replay is to deliver them again, one by one, and to check before each that the guest has asked
//! the call in the same way:
//!
//! ```text
//!            guest                          history                        cursor
//!   ask step `reserve`  → call 0                                           open: 0
//!   ask step `charge`   → call 1                                           open: 0 1
//!   pull                                    #0  call 1, step `charge`  ok  1 is open and the same: deliver   open: 0
//!   pull                                    #1  call 0, step `reserve` ok  0 is open and the same: deliver   open: -
//!   ask sleep 2 s       → call 2                                           open: 2
//!   pull                                    (end)                          live: what comes now is recorded as #2
//! ```
//!
//! Calls without an outcome are not recorded: a deterministic guest asks them again. Nothing here does I/O.

mod divergence;
mod replay;

pub use divergence::{Asked, Divergence};
pub use replay::{AskError, Delivery, Replay};
