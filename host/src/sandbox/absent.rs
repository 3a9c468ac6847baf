//! What a role does not have: it is there, because a component holds code for both roles, and it traps.

use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, Linker, LinkerInstance, ResourceType};
use wasmtime::{Result, StoreContextMut};
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, DynPollable, IoError};

use super::Violation;

/// A role, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Workflow,
    Step,
}

impl Role {
    /// Whether the role has nothing of an interface, such as `wasi:http/types@0.2.4`.
    fn lacks(self, interface: &str) -> bool {
        let name = interface.split('@').next().unwrap_or_default();
        match self {
            Self::Workflow => {
                name.starts_with("wasi:http/")
                    || name.starts_with("wasi:sockets/")
                    || name == "windlass:workflow/heartbeat"
            }
            Self::Step => {
                let shared =
                    ["windlass:workflow/log", "windlass:workflow/heartbeat", "windlass:workflow/types"].contains(&name);
                name.starts_with("wasi:sockets/") || (name.starts_with("windlass:workflow/") && !shared)
            }
        }
    }

    fn explain(self, interface: &str, function: &str) -> String {
        match self {
            Self::Workflow => format!(
                "`{interface}#{function}` does not exist in a workflow, which touches nothing but its own run: call it in a step"
            ),
            Self::Step => format!(
                "`{interface}#{function}` does not exist in a step: only a workflow can run steps, start children, \
                 sleep, receive, send, publish and tag; and there are no sockets, only `wasi:http`"
            ),
        }
    }
}

/// Define what the component imports and the role lacks.
pub(super) fn define_absent<T: 'static>(linker: &mut Linker<T>, role: Role, component: &Component) -> Result<()> {
    let engine = component.engine();
    for (interface, item) in component.component_type().imports(engine) {
        let ComponentItem::ComponentInstance(instance_type) = item.ty else { continue };
        if !role.lacks(interface) {
            continue;
        }
        let mut instance = linker.instance(interface)?;
        for (name, item) in instance_type.exports(engine) {
            match item.ty {
                ComponentItem::ComponentFunc(_) => define_function(&mut instance, role, interface, name)?,
                ComponentItem::Resource(_) => instance.resource(name, resource_type(name), |_, _| Ok(()))?,
                _ => {}
            }
        }
    }
    Ok(())
}

fn define_function<T: 'static>(
    instance: &mut LinkerInstance<'_, T>,
    role: Role,
    interface: &str,
    function: &str,
) -> Result<()> {
    let message = role.explain(interface, function);
    instance.func_new(function, move |_: StoreContextMut<'_, T>, _, _, _| {
        Err(Violation::new("not-in-this-role", &message).into())
    })
}

/// Interfaces pass on each other's resources: those of `wasi:io` must be the real ones. Nothing can make any of the others.
fn resource_type(name: &str) -> ResourceType {
    match name {
        "pollable" => ResourceType::host::<DynPollable>(),
        "input-stream" => ResourceType::host::<DynInputStream>(),
        "output-stream" => ResourceType::host::<DynOutputStream>(),
        "error" | "io-error" => ResourceType::host::<IoError>(),
        _ => ResourceType::host::<()>(),
    }
}
