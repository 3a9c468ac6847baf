//! What waits for a writer. Each account has a queue of its own, and whoever has had least of late is next: who writes much
//! waits for itself, and others do not wait for it. (Start-time fair queueing: P. Goyal, H. Vin and H. Cheng, 1996.)

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::{Duration, Instant};

/// How long somebody counts as there who has put in something.
const CROWDED: Duration = Duration::from_secs(5);

/// Queues, by account.
pub(super) struct Waiting<T> {
    queues: HashMap<usize, Queue<T>>,
    /// Those that are not empty, by what they have had.
    next: BTreeSet<(u64, usize)>,
    /// What whoever was served last had had: who comes anew begins there, and has nothing saved up.
    now: u64,
    length: usize,
    /// Who came last, and when somebody else than the last came.
    last: Option<usize>,
    alternated: Option<Instant>,
}

struct Queue<T> {
    had: u64,
    items: VecDeque<(Weight, T)>,
}

/// What something costs to commit.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Weight {
    pub(super) records: usize,
    /// Of documents.
    pub(super) bytes: usize,
}

/// How much makes one commit.
#[derive(Clone, Copy, Debug)]
pub(super) struct Most {
    pub(super) items: usize,
    pub(super) records: usize,
    pub(super) bytes: usize,
}

impl Weight {
    /// A record costs some microseconds, and so do some hundred bytes.
    fn cost(self) -> u64 {
        (1 + self.records + self.bytes / 256) as u64
    }

    /// Bytes that it takes while it waits, about.
    pub(super) fn memory(self) -> usize {
        self.bytes + self.records * 256
    }
}

impl<T> Default for Waiting<T> {
    fn default() -> Self {
        Self { queues: HashMap::new(), next: BTreeSet::new(), now: 0, length: 0, last: None, alternated: None }
    }
}

impl<T> Waiting<T> {
    pub(super) fn is_empty(&self) -> bool {
        self.length == 0
    }

    pub(super) fn len(&self) -> usize {
        self.length
    }

    /// Whether several accounts have come of late: whoever comes next then finds no long commit under way.
    pub(super) fn is_crowded(&self, now: Instant) -> bool {
        self.alternated.is_some_and(|at| now.duration_since(at) < CROWDED)
    }

    pub(super) fn push(&mut self, account: usize, weight: Weight, item: T, now: Instant) {
        let last = self.last.replace(account);
        if last.is_some_and(|last| last != account) {
            self.alternated = Some(now);
        }
        let queue = self.queues.entry(account).or_insert_with(|| {
            self.next.insert((self.now, account));
            Queue { had: self.now, items: VecDeque::new() }
        });
        queue.items.push_back((weight, item));
        self.length += 1;
    }

    /// The next commit: as much as there may be in one, and at least one item if there is any. What is of one account comes in the
    /// order in which it was put in.
    pub(super) fn take(&mut self, most: Most) -> Vec<T> {
        let (mut taken, mut all) = (Vec::new(), Weight::default());
        while let Some((had, account)) = self.next.first().copied() {
            let queue = self.queues.get_mut(&account).expect("it has something");
            let (weight, _) = queue.items.front().expect("it is not empty");
            let with = Weight { records: all.records + weight.records, bytes: all.bytes + weight.bytes };
            let is_too_much = taken.len() == most.items || with.records > most.records || with.bytes > most.bytes;
            if is_too_much && !taken.is_empty() {
                break;
            }
            let (weight, item) = queue.items.pop_front().expect("it is not empty");
            (all, self.now) = (with, had);
            queue.had += weight.cost();
            taken.push(item);
            self.length -= 1;
            self.next.remove(&(had, account));
            if queue.items.is_empty() {
                self.queues.remove(&account);
            } else {
                self.next.insert((queue.had, account));
            }
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: Most = Most { items: 4, records: 100, bytes: 1_000 };

    const LIGHT: Weight = Weight { records: 1, bytes: 0 };

    #[test]
    fn who_has_put_in_much_does_not_stand_before_who_has_put_in_little() {
        let mut waiting = Waiting::default();
        (0..1_000).for_each(|number| waiting.push(1, LIGHT, (1, number), Instant::now()));
        waiting.take(MOST);
        (0..3).for_each(|number| waiting.push(2, LIGHT, (2, number), Instant::now()));
        let taken = [waiting.take(MOST), waiting.take(MOST)].concat();
        let of_second: Vec<_> = taken.iter().filter(|(account, _)| *account == 2).map(|(_, number)| *number).collect();
        assert_eq!(of_second, [0, 1, 2], "all of it, in order, within two commits: {taken:?}");
        let rest: Vec<_> =
            std::iter::from_fn(|| Some(waiting.take(MOST)).filter(|taken| !taken.is_empty())).flatten().collect();
        let first: Vec<_> =
            taken.into_iter().chain(rest).filter(|(account, _)| *account == 1).map(|(_, number)| number).collect();
        assert_eq!(first, (4..1_000).collect::<Vec<_>>(), "the other's as well");
        assert!(waiting.is_empty() && waiting.queues.is_empty() && waiting.next.is_empty());
    }

    #[test]
    fn who_writes_heavily_has_fewer_turns() {
        let mut waiting = Waiting::default();
        for _ in 0..100 {
            waiting.push(1, Weight { records: 39, bytes: 0 }, "heavy", Instant::now());
            waiting.push(2, LIGHT, "light", Instant::now());
        }
        let taken: Vec<_> = (0..10).flat_map(|_| waiting.take(MOST)).collect();
        let heavy = taken.iter().filter(|item| **item == "heavy").count();
        assert!(heavy * 10 <= taken.len(), "{heavy} of {}", taken.len());
    }

    #[test]
    fn a_commit_has_its_bounds_and_what_exceeds_them_goes_alone() {
        let mut waiting = Waiting::default();
        for bytes in [600, 600, 5_000, 10] {
            waiting.push(1, Weight { records: 1, bytes }, bytes, Instant::now());
        }
        assert!(!waiting.is_crowded(Instant::now()), "nobody else has come");
        let commits: Vec<_> = (0..4).map(|_| waiting.take(MOST)).collect();
        assert_eq!(commits, [vec![600], vec![600], vec![5_000], vec![10]]);
    }

    #[test]
    fn whoever_has_come_counts_for_a_while() {
        let (mut waiting, now) = (Waiting::default(), Instant::now());
        waiting.push(1, LIGHT, 1, now);
        waiting.push(2, LIGHT, 2, now);
        waiting.push(1, LIGHT, 1, now + CROWDED / 2);
        waiting.push(1, LIGHT, 1, now + CROWDED);
        assert!(waiting.is_crowded(now + CROWDED), "the other was there half of it ago");
        assert!(!waiting.is_crowded(now + CROWDED * 2));
    }

    #[test]
    fn who_was_away_has_nothing_saved_up() {
        let mut waiting = Waiting::default();
        (0..50).for_each(|_| waiting.push(1, LIGHT, 1, Instant::now()));
        (0..5).for_each(|_| drop(waiting.take(MOST)));
        (0..50).for_each(|_| waiting.push(2, LIGHT, 2, Instant::now()));
        let taken: Vec<_> = (0..4).flat_map(|_| waiting.take(MOST)).collect();
        assert_eq!(taken.iter().filter(|account| **account == 1).count(), 8, "{taken:?}");
    }
}
