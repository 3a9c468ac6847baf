//! What will happen, in the order in which it will. All runs of a test that can meet share one, and with it the time.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use super::attempt::Attempt;
use super::inbox::Letter;
use crate::{CancelReason, Result};

/// One thing that will happen to a run.
pub(super) enum Entry {
    /// A call has its outcome.
    Complete { call: u32, outcome: Result<Vec<u8>> },
    /// An attempt of a step begins.
    Begin { call: u32, attempt: u32 },
    /// An attempt of a step ends.
    End(Attempt),
    /// A step has taken too long, all attempts together.
    TotalTimeout { call: u32 },
    /// A child is started.
    StartChild { call: u32 },
    /// A signal to another run goes out.
    Send { call: u32 },
    /// Something comes from outside.
    Letter(Letter),
    /// A letter may be there for a call that waits for one.
    Receive,
    /// The run is asked to stop.
    Cancel(CancelReason),
}

/// By time; what is due at the same time happens in the order in which it was put down. Times are in microseconds since 1970.
pub(super) struct Agenda {
    /// How far time has come.
    pub(super) clock: u64,
    entries: BTreeMap<(u64, u64), (usize, Entry)>,
    next: u64,
}

/// Shared by the runs that live on it.
pub(super) type SharedAgenda = Rc<RefCell<Agenda>>;

/// Added to the place of what comes after all else of its time.
const LAST: u64 = 1 << 63;

impl Agenda {
    pub(super) fn new(clock: u64) -> SharedAgenda {
        Rc::new(RefCell::new(Self { clock, entries: BTreeMap::new(), next: 0 }))
    }

    /// `run`: its place among the runs.
    pub(super) fn put(&mut self, at: u64, run: usize, entry: Entry) {
        // What is over exactly at its limit has not outlived it.
        let order = if matches!(entry, Entry::TotalTimeout { .. }) { LAST + self.next } else { self.next };
        self.entries.insert((at, order), (run, entry));
        self.next += 1;
    }

    /// Put it down for now.
    pub(super) fn put_now(&mut self, run: usize, entry: Entry) {
        self.put(self.clock, run, entry);
    }

    /// Take the next entry that is due at `until` or before, and is still `wanted`. Time has come that far then.
    pub(super) fn take(&mut self, until: u64, wanted: impl Fn(usize, &Entry) -> bool) -> Option<(usize, Entry)> {
        while let Some(first) = self.entries.first_entry() {
            let (at, _) = *first.key();
            let (run, entry) = first.get();
            // Dropped wherever it stands: nothing happens then, so time need not pass for it.
            let unwanted = !wanted(*run, entry);
            if at > until && !unwanted {
                return None;
            }
            let taken = first.remove();
            if !unwanted {
                self.clock = self.clock.max(at);
                return Some(taken);
            }
        }
        None
    }
}
