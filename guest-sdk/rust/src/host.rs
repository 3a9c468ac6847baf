//! The wall between the SDK and its host: nothing else calls an import.
//!
//! In a component these are the imports as they are, at no cost. Natively they cannot be called: the world of the test that
//! runs on this thread takes their place. A new import is named here, and written once more in `testing/imports.rs`.

#[cfg(target_family = "wasm")]
pub(crate) use crate::bindings::windlass::workflow::{
    call, child, clock, event, heartbeat, log, random, run, signal, state, step, timer, update,
};
#[cfg(not(target_family = "wasm"))]
pub(crate) use crate::testing::imports::{
    call, child, clock, event, heartbeat, log, random, run, signal, state, step, timer, update,
};
