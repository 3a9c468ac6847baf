//! What a run has open and what it leaves behind, counted against its limits.
//!
//! Counted on every replay, and refused only to a guest that is live: what was allowed once is replayed, whatever the operator
//! allows by now.

use std::collections::BTreeMap;

use crate::model::{Ask, Event, EventKind, Failure, GuestLimits, Name, Outcome};
use crate::sandbox::Violation;

/// The counts of a run, since it was accepted or last continued as new.
#[derive(Debug, Default)]
pub(super) struct Usage {
    open_bytes: usize,
    open_timers: usize,
    open_children: usize,
    children: u32,
    history_bytes: usize,
    published: BTreeMap<Name, usize>,
    published_bytes: usize,
}

impl Usage {
    /// The guest asks: whether it may, and the call is open.
    pub(super) fn ask(&mut self, ask: &Ask, limits: &GuestLimits, is_live: bool) -> Result<(), Violation> {
        self.open_bytes += held_bytes(ask);
        match ask {
            Ask::Sleep { .. } => self.open_timers += 1,
            Ask::Child { .. } => {
                self.open_children += 1;
                self.children += 1;
            }
            _ => {}
        }
        if is_live { self.check(limits) } else { Ok(()) }
    }

    fn check(&self, limits: &GuestLimits) -> Result<(), Violation> {
        let GuestLimits { open_call_bytes, open_timers, open_children, children, .. } = *limits;
        if self.open_bytes > open_call_bytes {
            let message = format!(
                "the calls that are open hand over {} bytes, and {open_call_bytes} are the most (open_call_bytes); keep the data \
                 elsewhere and pass references",
                self.open_bytes
            );
            return Err(Violation::new("open-calls-too-large", message));
        }
        if self.open_timers > open_timers {
            let message = format!("more than {open_timers} timers are open at once (open_timers)");
            return Err(Violation::new("too-many-timers", message));
        }
        if self.open_children > open_children {
            let message = format!("the run waits for more than {open_children} children at once (open_children)");
            return Err(Violation::new("too-many-children", message));
        }
        if self.children > children {
            let message = format!(
                "the run has started more than {children} children (children): it has to continue as new before that"
            );
            return Err(Violation::new("too-many-children", message));
        }
        Ok(())
    }

    /// The call is no longer open.
    pub(super) fn closed(&mut self, ask: &Ask) {
        self.open_bytes = self.open_bytes.saturating_sub(held_bytes(ask));
        match ask {
            Ask::Sleep { .. } => self.open_timers = self.open_timers.saturating_sub(1),
            Ask::Child { .. } => self.open_children = self.open_children.saturating_sub(1),
            _ => {}
        }
    }

    /// The event was delivered.
    pub(super) fn delivered(&mut self, event: &Event) {
        self.history_bytes += event_bytes(event);
        if let EventKind::Completed { call, .. } = &event.kind {
            self.closed(&call.ask);
        }
    }

    /// Whether the history, of this many events, may have one more.
    pub(super) fn check_history(&self, length: u32, limits: &GuestLimits) -> Result<(), Violation> {
        let what = if length >= limits.events {
            format!("{length} events (events)")
        } else if self.history_bytes >= limits.history_bytes {
            format!(
                "{} bytes in its events, and {} are the most (history_bytes)",
                self.history_bytes, limits.history_bytes
            )
        } else {
            return Ok(());
        };
        let message = format!(
            "the history has {what}: no event more is recorded. A run that is long has to continue as new before that"
        );
        Err(Violation::new("history-too-long", message))
    }

    /// What earlier generations of the run have published, by the length of the values.
    pub(super) fn set_published(&mut self, published: BTreeMap<Name, usize>) {
        self.published_bytes = published.iter().map(|(key, length)| key.len() + length).sum();
        self.published = published;
    }

    /// The guest publishes a value. Returns the bytes of the one that it replaces.
    pub(super) fn publish(
        &mut self,
        key: &Name,
        length: usize,
        limits: &GuestLimits,
        is_live: bool,
    ) -> Result<usize, Violation> {
        let replaced = self.published.insert(key.clone(), length);
        let before = replaced.map_or(0, |before| key.len() + before);
        self.published_bytes = self.published_bytes + key.len() + length - before;
        let GuestLimits { published_keys, published_bytes, .. } = *limits;
        if is_live && self.published.len() > published_keys {
            let message = format!("the guest published more than {published_keys} keys (published_keys)");
            return Err(Violation::new("too-many-keys", message));
        }
        if is_live && self.published_bytes > published_bytes {
            let message = format!(
                "all that the guest published has more than {published_bytes} bytes together (published_bytes)"
            );
            return Err(Violation::new("published-too-large", message));
        }
        Ok(replaced.unwrap_or_default())
    }
}

/// Bytes that the host holds for a call while it is open.
fn held_bytes(ask: &Ask) -> usize {
    match ask {
        Ask::Step { input, .. } | Ask::Child { input, .. } => input.len(),
        Ask::Send { payload, .. } => payload.len(),
        Ask::Sleep { .. } | Ask::Receive { .. } | Ask::ReceiveUpdate { .. } => 0,
    }
}

fn event_bytes(event: &Event) -> usize {
    let EventKind::Completed { call, outcome, .. } = &event.kind else { return 0 };
    let outcome = match outcome {
        Outcome::Ok(result) => result.len(),
        Outcome::Failed(Failure { message, details, cause, .. }) => {
            message.len() + [details, cause].into_iter().flatten().map(|payload| payload.len()).sum::<usize>()
        }
    };
    held_bytes(&call.ask) + outcome
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::model::{Call, ChildOptions, Payload, StepOptions, Timestamp};

    fn name(text: &str) -> Name {
        Name::new(text).unwrap()
    }

    fn step(input: &str) -> Ask {
        let input = Payload::stored(input.as_bytes().to_vec());
        Ask::Step { name: name("s"), input, options: StepOptions::default() }
    }

    fn code(result: Result<impl Sized, Violation>) -> &'static str {
        result.err().map_or("", |violation| violation.code)
    }

    #[test]
    fn what_is_open_is_counted_until_it_is_closed_and_refused_only_to_a_guest_that_is_live() {
        let limits =
            GuestLimits { open_call_bytes: 4, open_timers: 1, open_children: 1, children: 2, ..GuestLimits::default() };
        let sleep = Ask::Sleep { duration: Duration::ZERO };
        let child = Ask::Child { workflow: name("w"), input: Payload::stored("1"), options: ChildOptions::default() };
        for (ask, expected) in
            [(step("123"), "open-calls-too-large"), (sleep, "too-many-timers"), (child.clone(), "too-many-children")]
        {
            let mut usage = Usage::default();
            assert_eq!(code(usage.ask(&ask, &limits, true)), "");
            assert_eq!(code(usage.ask(&ask, &limits, false)), "", "a replay");
            usage.closed(&ask);
            usage.closed(&ask);
            assert_eq!(
                code(usage.ask(&ask, &limits, true)),
                if expected == "too-many-children" { expected } else { "" }
            );
            assert_eq!(code(usage.ask(&ask, &limits, true)), expected);
        }
    }

    #[test]
    fn a_history_ends_by_its_events_or_by_their_bytes() {
        let limits = GuestLimits { events: 3, history_bytes: 10, ..GuestLimits::default() };
        let mut usage = Usage::default();
        assert_eq!(code(usage.check_history(2, &limits)), "");
        assert_eq!(code(usage.check_history(3, &limits)), "history-too-long");
        let call = Call { id: 0, asked_at: Timestamp::default(), ask: step("12345") };
        let outcome = Outcome::Ok(Payload::stored("12345"));
        let kind = EventKind::Completed { call, outcome, attempt: 1, inbox: None };
        usage.delivered(&Event { seq: 0, at: Timestamp::default(), kind });
        assert_eq!(code(usage.check_history(1, &limits)), "history-too-long");
    }

    #[test]
    fn published_values_count_with_their_keys_and_once() {
        let limits = GuestLimits { published_keys: 2, published_bytes: 10, ..GuestLimits::default() };
        let mut usage = Usage::default();
        usage.set_published(BTreeMap::from([(name("a"), 3)]));
        assert_eq!(usage.publish(&name("a"), 4, &limits, true).unwrap(), 3);
        assert_eq!(usage.publish(&name("b"), 4, &limits, true).unwrap(), 0);
        assert_eq!(code(usage.publish(&name("b"), 5, &limits, true)), "published-too-large");
        assert_eq!(code(usage.publish(&name("c"), 0, &limits, false)), "");
        assert_eq!(code(usage.publish(&name("c"), 0, &limits, true)), "too-many-keys");
    }
}
