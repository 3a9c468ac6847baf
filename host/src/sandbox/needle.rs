//! Finding a text in what passes by, piece by piece.

use bytes::Bytes;
use zeroize::Zeroizing;

/// Looks for one text in a stream, byte by byte, with no step back (Knuth, Morris, Pratt).
pub(super) struct Needle {
    text: Zeroizing<Vec<u8>>,
    /// For each beginning of the text, how long the longest shorter beginning is that it ends with.
    shorter: Vec<usize>,
    /// How much of the text the stream ends with.
    matched: usize,
    /// Those bytes: what is behind them decides what becomes of them.
    held: Zeroizing<Vec<u8>>,
}

impl Needle {
    /// `text` must not be empty.
    pub(super) fn new(text: &[u8]) -> Self {
        let mut shorter = vec![0; text.len()];
        let mut length = 0;
        for at in 1..text.len() {
            while length > 0 && text[at] != text[length] {
                length = shorter[length - 1];
            }
            length += usize::from(text[at] == text[length]);
            shorter[at] = length;
        }
        Self { text: Zeroizing::new(text.to_vec()), shorter, matched: 0, held: Zeroizing::default() }
    }

    /// Whether the text ends here.
    fn feed(&mut self, byte: u8) -> bool {
        while self.matched > 0 && self.text[self.matched] != byte {
            self.matched = self.shorter[self.matched - 1];
        }
        self.matched += usize::from(self.text[self.matched] == byte);
        let found = self.matched == self.text.len();
        if found {
            self.matched = 0;
        }
        found
    }

    /// The next piece, with stars for the text; what may be the beginning of it is kept until it is known. The second: whether
    /// the text was there.
    pub(super) fn mask(&mut self, piece: &[u8]) -> (Bytes, bool) {
        let mut all = std::mem::take(&mut *self.held);
        let mut found = false;
        for byte in piece {
            all.push(*byte);
            if self.feed(*byte) {
                found = true;
                let from = all.len() - self.text.len();
                all[from..].fill(b'*');
            }
        }
        *self.held = all.split_off(all.len() - self.matched);
        (all.into(), found)
    }

    /// The stream has ended: what was kept.
    pub(super) fn finish(&mut self) -> Bytes {
        self.matched = 0;
        std::mem::take(&mut *self.held).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(needle: &str, pieces: &[&str]) -> String {
        let mut needle = Needle::new(needle.as_bytes());
        let mut all = Vec::new();
        for piece in pieces {
            all.extend_from_slice(&needle.mask(piece.as_bytes()).0);
        }
        all.extend_from_slice(&needle.finish());
        String::from_utf8(all).unwrap()
    }

    #[test]
    fn a_text_is_masked_wherever_it_is_cut() {
        let text = "x hunter2hunter2 y hunter hunter2";
        for first in 0..text.len() {
            for second in first..text.len() {
                let pieces = [&text[..first], &text[first..second], &text[second..]];
                assert_eq!(masked("hunter2", &pieces), "x ************** y hunter *******", "{first} {second}");
            }
        }
    }

    #[test]
    fn a_text_that_resembles_itself_is_found() {
        assert_eq!(masked("aab", &["aaaaab"]), "aaa***");
        assert_eq!(masked("abab", &["abaabab", "x"]), "aba****x");
        assert_eq!(masked("abcabd", &["abcabcab", "d"]), "abc******");
    }

    #[test]
    fn what_cannot_be_the_beginning_passes_at_once() {
        let mut needle = Needle::new(b"hunter2");
        assert_eq!(needle.mask(b"data: hu").0, "data: ");
        assert_eq!(needle.mask(b"mbug\n").0, "humbug\n");
        assert_eq!(needle.finish(), "");
    }
}
