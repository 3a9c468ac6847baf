//! The first looks at uploaded bytes: cheap, before anything is compiled.

use wasmparser::{Encoding, Parser, Payload, Validator};

use super::structure::check_structure;
use super::{Limits, engine};

/// Why a component is not accepted. Each stage of the inspection has its own code.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct Rejection {
    /// A stable word for the stage.
    pub code: &'static str,
    /// What is wrong and where.
    pub message: String,
}

impl Rejection {
    pub(crate) fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// Not valid, and where.
    pub(super) fn invalid(offset: usize, message: &str) -> Self {
        Self::new("invalid-component", format!("at byte {offset:#x}: {message}"))
    }
}

/// All stages before compiling: what costs no more than to read the bytes once, then whether they are valid.
pub fn inspect(bytes: &[u8], limits: &Limits) -> Result<(), Rejection> {
    look_over(bytes, limits)?;
    validate(bytes)
}

/// Stages 1 to 3, which cost no more than reading the bytes once: not too large (`component-too-large`), bytes that are a
/// component (`not-wasm`, `not-a-component`), of a shape that can be dealt with (`component-too-complex`).
pub(super) fn look_over(bytes: &[u8], limits: &Limits) -> Result<(), Rejection> {
    if bytes.len() > limits.component_bytes {
        let (length, most) = (bytes.len(), limits.component_bytes);
        return Err(Rejection::new("component-too-large", format!("it has {length} bytes, and {most} are the most")));
    }
    match Parser::new(0).parse_all(bytes).next() {
        Some(Ok(Payload::Version { encoding: Encoding::Component, .. })) => {}
        Some(Ok(Payload::Version { encoding: Encoding::Module, .. })) => {
            let message = "it is a core WebAssembly module, not a component; build it for the target `wasm32-wasip2`, \
                           or wrap it with `wasm-tools component new`";
            return Err(Rejection::new("not-a-component", message));
        }
        _ => {
            let message =
                "its first bytes are not those of WebAssembly (`\\0asm`); upload the `.wasm` that the build made";
            return Err(Rejection::new("not-wasm", message));
        }
    }
    check_structure(bytes, limits)
}

/// Stage 4: valid, with the features that are allowed (`invalid-component`). Takes longer than its bytes let one expect; what
/// was not looked over can make it overflow its stack.
pub(super) fn validate(bytes: &[u8]) -> Result<(), Rejection> {
    let validated = Validator::new_with_features(engine::FEATURES).validate_all(bytes);
    validated.map(|_types| ()).map_err(|error| Rejection::invalid(error.offset(), error.message()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(bytes: &[u8]) -> &'static str {
        inspect(bytes, &Limits { component_bytes: 100, ..Limits::default() }).map_or_else(|error| error.code, |()| "ok")
    }

    #[test]
    fn each_stage_has_its_code() {
        let component = b"\0asm\x0d\0\x01\0";
        let module = b"\0asm\x01\0\0\0";
        assert_eq!(code(&[0; 101]), "component-too-large");
        assert_eq!(code(b""), "not-wasm");
        assert_eq!(code(b"#!/bin/sh"), "not-wasm");
        assert_eq!(code(module), "not-a-component");
        assert_eq!(code(&[component, &b"\xff\x01\0"[..]].concat()), "invalid-component");
        assert_eq!(code(component), "ok");
    }
}
