//! Randomness that a replay repeats.

use crate::host;

/// A random number, the same on every replay. Not for secrets.
///
/// In a workflow, crates that draw from the system's randomness (`getrandom`, `rand`, `uuid`) replay as well.
///
/// ```
/// #[windlass::workflow]
/// async fn pick(names: Vec<String>) -> windlass::Result<String> {
///     let index = windlass::random() as usize % names.len();
///     Ok(names[index].clone())
/// }
/// ```
pub fn random() -> u64 {
    let bytes = random_bytes(8);
    bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// Random bytes, the same on every replay. At most 65,536. Not for secrets.
///
/// ```
/// #[windlass::workflow]
/// async fn token() -> windlass::Result<Vec<u8>> {
///     Ok(windlass::random_bytes(16))
/// }
/// ```
pub fn random_bytes(length: u32) -> Vec<u8> {
    host::random::bytes(length)
}
