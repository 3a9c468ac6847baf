//! What a test says about the outside: steps, children of other components, and other runs.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;

use serde_json::Value;

use super::Script;
use crate::Result;

/// What a run of somebody else does with a signal.
pub(super) type Receiver = Rc<RefCell<dyn FnMut(&str, Value) -> Result<()>>>;

/// By name, and other runs by id.
#[derive(Default)]
pub(super) struct Scripts {
    pub(super) steps: BTreeMap<String, Script>,
    pub(super) children: BTreeMap<String, Script>,
    pub(super) runs: BTreeMap<String, Receiver>,
}

/// Shared by a test and its runs: what is said later counts as well.
pub(super) type SharedScripts = Rc<RefCell<Scripts>>;

impl fmt::Debug for Scripts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { steps, children, runs } = self;
        let runs: Vec<_> = runs.keys().collect();
        f.debug_struct("Scripts").field("steps", steps).field("children", children).field("runs", &runs).finish()
    }
}
