//! The ids of the runs of a test.

use sha2::{Digest as _, Sha256};

/// Of the run that a test starts.
pub(super) const FIRST: &str = "00000000-0000-7000-8000-000000000000";

/// In the usual form of 36 characters, in lower case; `None` if it is no id.
pub(super) fn parse(text: &str) -> Option<String> {
    let is_hyphen = |place: usize| [8, 13, 18, 23].contains(&place);
    let fits = |(place, c): (usize, u8)| if is_hyphen(place) { c == b'-' } else { c.is_ascii_hexdigit() };
    (text.len() == 36 && text.bytes().enumerate().all(fits)).then(|| text.to_ascii_lowercase())
}

/// Of the child that a call starts, as a host makes it: what a parent says to its child is the same in the history of both.
pub(super) fn of_child(parent: &str, call: u32) -> String {
    let digits: String = parent.chars().filter(|c| *c != '-').collect();
    let parent = u128::from_str_radix(&digits, 16).unwrap_or_default();
    let mut hash = Sha256::new();
    hash.update(b"windlass/child/");
    hash.update(parent.to_be_bytes());
    hash.update(call.to_be_bytes());
    let bits = hash.finalize().iter().take(16).fold(0_u128, |bits, byte| bits << 8 | u128::from(*byte));
    // RFC 9562, section 5.8: the version is 8, the rest is ours but for the variant.
    let bits = bits & !(0xf << 76) & !(0b11 << 62) | 8 << 76 | 0b10 << 62;
    let hex = format!("{bits:032x}");
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

/// What the randomness of a child comes from: each has its own.
pub(super) fn seed(parent: u64, child: &str) -> u64 {
    let digits: String = child.chars().filter(|c| *c != '-').take(16).collect();
    parent.wrapping_add(u64::from_str_radix(&digits, 16).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_has_the_id_that_a_host_would_give_it() {
        assert_eq!(of_child(FIRST, 0), "1bf5789e-5518-8f66-9b5f-013a62044c67");
    }

    #[test]
    fn an_id_is_a_uuid_in_its_usual_form() {
        assert_eq!(parse(&FIRST.replace('7', "F")).as_deref(), Some("00000000-0000-f000-8000-000000000000"));
        for text in ["", "00000000-0000-7000-8000-00000000000", "00000000000-0-7000-8000-000000000000", "é"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
