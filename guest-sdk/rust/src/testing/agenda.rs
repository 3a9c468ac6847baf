//! What will happen, in the order in which it will.

use std::collections::BTreeMap;

use super::attempt::Attempt;

/// One thing that will happen. Times are in microseconds since 1970.
pub(super) enum Entry {
    /// A timer is over.
    Due { call: u32 },
    /// An attempt of a step begins.
    Begin { call: u32, attempt: u32 },
    /// An attempt of a step ends.
    End(Attempt),
    /// Somebody sends a signal.
    Send { name: String, payload: Vec<u8> },
    /// A signal may be there for a call that waits for one.
    Receive,
    /// Somebody asks the run to stop.
    Cancel,
}

/// By time; what is due at the same time happens in the order in which it was put down.
#[derive(Default)]
pub(super) struct Agenda {
    entries: BTreeMap<(u64, u64), Entry>,
    next: u64,
}

impl Agenda {
    pub(super) fn put(&mut self, at: u64, entry: Entry) {
        self.entries.insert((at, self.next), entry);
        self.next += 1;
    }

    /// Take the next entry that is due at `until` or before, and is still `wanted`.
    pub(super) fn take(&mut self, until: u64, wanted: impl Fn(&Entry) -> bool) -> Option<(u64, Entry)> {
        while let Some(first) = self.entries.first_entry() {
            let (at, _) = *first.key();
            // Dropped wherever it stands: nothing happens then, so time need not pass for it.
            let unwanted = !wanted(first.get());
            if at > until && !unwanted {
                return None;
            }
            let entry = first.remove();
            if !unwanted {
                return Some((at, entry));
            }
        }
        None
    }
}
