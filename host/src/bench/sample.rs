//! Runs and histories that are made up, for what is measured without a database.

use std::sync::Arc;
use std::time::Duration;

use crate::model::{
    Ask, Call, Durability, Event, EventKind, Lineage, Name, Namespace, Origin, Outcome, Payload, Priority, RunId,
    RunInfo, Seed, Timestamp,
};

/// An event of the load `naps`: the nap of this number is over.
pub fn nap(number: u32) -> Event {
    let at = |number: u32| Timestamp::from_micros(i64::from(number) * 10 + 1);
    let call = Call { id: number, asked_at: at(number), ask: Ask::Sleep { duration: Duration::from_micros(1) } };
    let kind = EventKind::Completed { call, outcome: Outcome::Ok(Payload::null()), attempt: 0, inbox: None };
    Event { seq: number, at: at(number + 1), kind }
}

/// A run of one of the loads that nobody has started.
pub fn run_of(workflow: &str) -> Arc<RunInfo> {
    let began_at = Timestamp::from_micros(1);
    Arc::new(RunInfo {
        run_id: RunId::new(),
        namespace: Namespace::new("default").expect("a namespace"),
        workflow: Name::new(workflow).expect("a name"),
        component: Name::new("bench").expect("a name"),
        version: 1,
        started_at: began_at,
        seed: Seed([1; 16]),
        durability: Durability::Output,
        priority: Priority::default(),
        deadline: None,
        parent: None,
        origin: Origin::new(began_at),
        lineage: Lineage::default(),
    })
}
