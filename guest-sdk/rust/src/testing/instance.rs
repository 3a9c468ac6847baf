//! What a guest keeps between events. In a component one run has it to itself; in tests, runs take turns on a thread.

use std::cell::RefCell;
use std::rc::Rc;

use super::world::{self, World};
use crate::{call, cancel, event};

/// The guest of one run, put aside.
pub(super) struct Instance {
    world: Option<Rc<RefCell<World>>>,
    calls: call::Calls,
    scopes: cancel::Scopes,
    waiting: Option<event::Workflow>,
}

impl Instance {
    pub(super) fn new(world: Rc<RefCell<World>>) -> Self {
        Self { world: Some(world), calls: call::Calls::new(), scopes: cancel::Scopes::default(), waiting: None }
    }

    /// Run `what` as this guest.
    pub(super) fn enter<T>(&mut self, what: impl FnOnce() -> T) -> T {
        /// Changes back even if the guest panics.
        struct Entered<'a>(&'a mut Instance);

        impl Drop for Entered<'_> {
            fn drop(&mut self) {
                self.0.swap();
            }
        }

        self.swap();
        let _entered = Entered(self);
        what()
    }

    fn swap(&mut self) {
        world::swap(&mut self.world);
        call::swap(&mut self.calls);
        self.scopes.swap();
        event::swap(&mut self.waiting);
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        // Its destructors may call imports.
        self.enter(|| {
            let mut waiting = None;
            event::swap(&mut waiting);
            drop(waiting);
        });
    }
}
