//! How a run has come to where it is, if not in one go: where it was rewound, and what it was forked from.
//!
//! ```text
//!   calls   0  1  2  3  4  5          made by the run
//!                 └──2'─3'─4'         rewound: from call 2 on, they are made anew
//!                       └──3"─4"─5"   forked: from call 3 on, another run makes them
//! ```
//!
//! What a replay of the kept history sees must be what the first time has seen: the ids of children that were started by then, and what
//! the run is called. What is made anew must not be taken for what was made before: not by a service that drops duplicates, not by the
//! database that knows the child of the old call.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{CallId, RunId, RunInfo, Timestamp};

/// Nothing of the kind, for nearly all runs. Kept as `runs.lineage`, as JSON.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Lineage {
    /// As whom its guest knows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub began: Option<Began>,
    /// The run that it is a fork of, and the event before which it goes another way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forked_from: Option<Fork>,
    /// Where calls were made anew; of two, the later one counts.
    pub branches: Vec<Branch>,
}

/// What a guest was told of its run when it began: it must not change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Began {
    /// The run's id, or that of the run that it was forked from.
    #[schema(value_type = String, format = Uuid)]
    pub run_id: RunId,
    /// When it was accepted.
    #[schema(value_type = String, format = DateTime)]
    pub started_at: Timestamp,
    /// The deadline that it had.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub deadline: Option<Timestamp>,
}

/// Where a run was forked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Fork {
    /// The other run.
    #[schema(value_type = String, format = Uuid)]
    pub run_id: RunId,
    /// The first of its events that the fork does not have.
    pub before: u32,
}

/// Calls that were made anew.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Branch {
    /// By which run.
    #[schema(value_type = String, format = Uuid)]
    pub run_id: RunId,
    /// After which rewind of that run, from 1 on; 0 is when it began as a fork.
    pub rewind: u32,
    /// All from this one on.
    pub from: CallId,
    /// And of those before, the steps and signals to others whose outcome was dropped.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub redone: Vec<CallId>,
}

impl Lineage {
    /// As the database keeps it.
    pub fn text(&self) -> Option<String> {
        (*self != Self::default()).then(|| serde_json::to_string(self).expect("plain values can be said in JSON"))
    }

    /// From what the database keeps.
    pub fn from_text(text: Option<&str>) -> Result<Self, serde_json::Error> {
        text.map_or_else(|| Ok(Self::default()), serde_json::from_str)
    }

    /// How often a run was rewound.
    pub fn rewinds(&self, run_id: RunId) -> u32 {
        self.branches.iter().filter(|branch| branch.run_id == run_id).map(|branch| branch.rewind).max().unwrap_or(0)
    }
}

impl RunInfo {
    /// As whom its guest knows it.
    pub fn began(&self) -> Began {
        let began = || Began { run_id: self.run_id, started_at: self.started_at, deadline: self.deadline };
        self.lineage.began.clone().unwrap_or_else(began)
    }

    /// The id of the child that a call starts: a parent that asks again asks for the same child, unless the call is made anew.
    pub fn child_of(&self, call: CallId) -> RunId {
        match self.lineage.branches.iter().rfind(|branch| branch.from <= call) {
            Some(branch) => RunId::of_child(branch.run_id, call, branch.rewind),
            None => RunId::of_child(self.began().run_id, call, 0),
        }
    }

    /// `RUN/CALL`, and where the call was made anew, after which rewind: `RUN/CALL~REWIND`. What a call does outside is known by it.
    pub fn key_of(&self, call: CallId) -> String {
        let is_anew = |branch: &&Branch| {
            branch.run_id == self.run_id && branch.rewind > 0 && (branch.from <= call || branch.redone.contains(&call))
        };
        match self.lineage.branches.iter().rev().find(is_anew) {
            Some(branch) => format!("{}/{call}~{}", self.run_id, branch.rewind),
            None => format!("{}/{call}", self.run_id),
        }
    }

    /// What becomes of its lineage when it is rewound so that it makes calls anew from this one on, and those of `redone`.
    pub fn rewound(&self, from: CallId, redone: Vec<CallId>) -> Lineage {
        let mut lineage = self.lineage.clone();
        let (run_id, rewind) = (self.run_id, lineage.rewinds(self.run_id) + 1);
        // What does not count any more goes: however often a run is rewound, this is no longer than its history.
        let is_anew = |call: CallId| call >= from || redone.contains(&call);
        lineage.branches.iter_mut().for_each(|branch| branch.redone.retain(|call| !is_anew(*call)));
        lineage.branches.retain(|branch| branch.from < from || !branch.redone.is_empty());
        lineage.branches.push(Branch { run_id, rewind, from, redone });
        Lineage { began: Some(self.began()), ..lineage }
    }

    /// The lineage of a fork of it that makes the calls from this one on by itself.
    pub fn forked(&self, run_id: RunId, before: u32, from: CallId) -> Lineage {
        let mut branches = self.lineage.branches.clone();
        branches.iter_mut().for_each(|branch| branch.redone.clear());
        branches.push(Branch { run_id, rewind: 0, from, redone: Vec::new() });
        Lineage { began: Some(self.began()), forked_from: Some(Fork { run_id: self.run_id, before }), branches }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;
    use crate::model::{Durability, Name, Namespace, Origin, Priority, Seed};

    fn run(run_id: RunId) -> RunInfo {
        let started_at = Timestamp::from_micros(7);
        let name = Name::new("w").unwrap();
        RunInfo {
            run_id,
            namespace: Namespace::new("default").unwrap(),
            workflow: name.clone(),
            component: name,
            version: 1,
            started_at,
            seed: Seed([0; 16]),
            durability: Durability::Output,
            priority: Priority::default(),
            deadline: None,
            parent: None,
            origin: Origin::new(started_at),
            lineage: Lineage::default(),
        }
    }

    #[test]
    fn a_run_that_went_in_one_go_has_plain_keys_and_children_and_no_lineage_to_keep() {
        let info = run(RunId::new());
        assert_eq!(info.key_of(3), format!("{}/3", info.run_id));
        assert_eq!(info.child_of(3), RunId::of_child(info.run_id, 3, 0));
        assert_eq!(info.lineage.text(), None);
        assert_eq!(Lineage::from_text(None).unwrap(), info.lineage);
    }

    #[test]
    fn what_is_made_anew_has_another_key_and_another_child_and_what_stays_has_not() {
        let mut info = run(RunId::new());
        let (id, first) = (info.run_id, info.clone());
        info.lineage = info.rewound(3, vec![1]);
        let keys: Vec<_> = (0..5).map(|call| info.key_of(call)).collect();
        assert_eq!(keys, ["0", "1~1", "2", "3~1", "4~1"].map(|suffix| format!("{id}/{suffix}")));
        let is_same: Vec<_> = (0..5).map(|call| info.child_of(call) == first.child_of(call)).collect();
        assert_eq!(is_same, [true, true, true, false, false]);
        info.lineage = info.rewound(4, Vec::new());
        assert_eq!(
            (info.key_of(1), info.key_of(3), info.key_of(4)),
            (format!("{id}/1~1"), format!("{id}/3~1"), format!("{id}/4~2"))
        );
    }

    #[test]
    fn a_fork_knows_the_children_from_before_by_the_other_s_id_and_makes_all_keys_its_own() {
        let (mut info, id) = (run(RunId::new()), RunId::new());
        let original = info.run_id;
        info.lineage = info.forked(id, 4, 2);
        info.run_id = id;
        assert_eq!(info.began().run_id, original);
        assert_eq!(info.child_of(1), RunId::of_child(original, 1, 0));
        assert_eq!(info.child_of(2), RunId::of_child(id, 2, 0));
        assert_eq!((info.key_of(1), info.key_of(2)), (format!("{id}/1"), format!("{id}/2")));
        info.lineage = info.rewound(3, vec![1]);
        assert_eq!(
            (info.key_of(1), info.key_of(2), info.key_of(3)),
            (format!("{id}/1~1"), format!("{id}/2"), format!("{id}/3~1"))
        );
        assert_eq!(info.lineage.rewinds(id), 1);
        assert_eq!(Lineage::from_text(info.lineage.text().as_deref()).unwrap(), info.lineage);
    }

    proptest! {
        #[test]
        fn what_is_made_anew_has_a_key_and_a_child_that_it_never_had_and_all_else_keeps_its_own(
            rewinds in prop::collection::vec((0u32..8, prop::collection::vec(0u32..8, 0..3)), 1..40)
        ) {
            let mut info = run(RunId::new());
            let mut keys: Vec<HashSet<String>> = (0..8).map(|call| HashSet::from([info.key_of(call)])).collect();
            let mut children: Vec<HashSet<RunId>> = (0..8).map(|call| HashSet::from([info.child_of(call)])).collect();
            for (from, redone) in rewinds {
                let before = info.clone();
                info.lineage = before.rewound(from, redone.clone());
                for call in 0..8 {
                    let is_anew = call >= from || redone.contains(&call);
                    prop_assert_eq!(keys[call as usize].insert(info.key_of(call)), is_anew, "key of {}", call);
                    prop_assert!(is_anew || info.key_of(call) == before.key_of(call));
                    // Its guest may have been told the child's id.
                    prop_assert_eq!(children[call as usize].insert(info.child_of(call)), call >= from, "child of {}", call);
                    prop_assert!(call >= from || info.child_of(call) == before.child_of(call));
                }
                prop_assert!(info.lineage.branches.len() <= 16);
            }
        }
    }
}
