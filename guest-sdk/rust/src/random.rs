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

/// A UUID of version 7, the same on every replay: ordered by the run's own time, the rest random. Not for secrets.
///
/// ```
/// #[windlass::workflow]
/// async fn ticket() -> windlass::Result<String> {
///     Ok(windlass::uuid())
/// }
///
/// let uuid = windlass::testing::Test::new().start(ticket, ()).result()?;
/// assert_eq!((uuid.len(), &uuid[14..15]), (36, "7"));
/// # Ok::<(), windlass::Failure>(())
/// ```
pub fn uuid() -> String {
    let millis = u128::from(host::clock::now() / 1_000) & ((1 << 48) - 1);
    let random = random_bytes(10).iter().fold(0_u128, |number, byte| number << 8 | u128::from(*byte));
    // RFC 9562, section 5.7: 48 bits of time, the version, 12 random bits, the variant, 62 random bits.
    let bits = millis << 80 | 7 << 76 | (random >> 68) << 64 | 0b10 << 62 | random & ((1 << 62) - 1);
    let hex = format!("{bits:032x}");
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}
