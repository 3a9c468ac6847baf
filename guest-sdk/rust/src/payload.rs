//! Values to JSON documents and back.

use schemars::{JsonSchema, SchemaGenerator};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Failure, Result};

/// A value as a payload.
///
/// Fails with the code `invalid-payload` for what JSON cannot say, such as a map whose keys are not strings.
pub fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(|error| Failure::new("invalid-payload", error).fatal())
}

/// A payload as a value; `what` says in the failure whose payload it was.
///
/// Fails with the code `invalid-payload` if the document has another shape than `T`.
pub fn decode<T: DeserializeOwned>(what: &str, payload: &[u8]) -> Result<T> {
    serde_json::from_slice(payload).map_err(|error| Failure::new("invalid-payload", format!("{what}: {error}")).fatal())
}

/// The JSON Schema of `T`.
pub fn schema<T: JsonSchema>() -> Vec<u8> {
    SchemaGenerator::default().into_root_schema_for::<T>().to_value().to_string().into_bytes()
}
