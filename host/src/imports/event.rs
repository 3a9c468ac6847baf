//! `windlass:workflow/event`

use wasmtime::component::Linker;
use wasmtime::{Result, StoreContextMut};

use super::WorkflowContext;
use super::bindings::event::{CancelReason, Completion, Event, Outcome};
use super::bindings::types::Failure;
use crate::model::{self, EventKind};

/// By hand: the generated trait does not reach the store, whose fuel is refilled here.
pub(super) fn add_to_linker(linker: &mut Linker<WorkflowContext>) -> Result<()> {
    linker.instance("windlass:workflow/event@0.1.0")?.func_wrap("next", next)
}

fn next(mut store: StoreContextMut<'_, WorkflowContext>, (): ()) -> Result<(Option<Event>,)> {
    let event = store.data_mut().next()?;
    if event.is_some() {
        let fuel = store.data().limits.event_fuel;
        store.set_fuel(fuel)?;
    }
    Ok((event.map(|event| tell(event.kind)),))
}

fn tell(kind: EventKind) -> Event {
    match kind {
        EventKind::Completed { call, outcome, .. } => {
            let outcome = match outcome {
                model::Outcome::Ok(payload) => Outcome::Ok(payload.as_bytes().to_vec()),
                model::Outcome::Failed(failure) => Outcome::Failed(Failure::from(failure)),
            };
            Event::Completed(Completion { call: call.id, outcome })
        }
        EventKind::CancelRequested { reason, .. } => Event::CancelRequested(match reason {
            model::CancelReason::Requested => CancelReason::Requested,
            model::CancelReason::Deadline => CancelReason::Deadline,
            model::CancelReason::ParentClosed => CancelReason::ParentClosed,
        }),
    }
}
