//! Machine code as bytes: between the process that compiles and the one that runs it, and back into a component.
//!
//! A compiler reads from its standard input and writes to its standard output:
//!
//! ```text
//! in    length (u64)  the component     then nothing more; that it closes means that nobody waits any longer
//! out   0  compatibility (u64)  length (u64)  machine code         for workflows, then the same for steps
//!       1  length (u64)  code of a rejection, a line feed, its message
//! ```
//!
//! Numbers are little-endian.

use std::io::{self, Read, Write};

use wasmtime::component::Component;
use wasmtime::{Engine, Result};

use super::Rejection;

/// Machine code that a compiler of this host made, as a component.
pub(super) fn deserialize(engine: &Engine, code: &[u8]) -> Result<Component> {
    #[expect(unsafe_code, reason = "the one way to load machine code")]
    // SAFETY: `Engine::precompile_component` made these bytes, for an engine of the same compatibility, which both callers have
    // compared: in a process that this one has started and that runs the same code as this one, over a pipe of its own; or
    // earlier in the life of this host, and the HMAC of the cache shows that they are the same.
    unsafe {
        Component::deserialize(engine, code)
    }
}

/// What a compiler says to one role.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// Machine code.
    Code {
        /// Of the engine that it is for.
        compatibility: u64,
        /// The bytes.
        code: Vec<u8>,
    },
    /// Why there is none.
    Rejected(Rejection),
}

const CODE: u8 = 0;
const REJECTED: u8 = 1;

/// Bytes of the longest rejection: messages of the compiler quote names of the component.
const REJECTION_BYTES_MAX: usize = 4 << 10;

impl Answer {
    pub(super) fn write(&self, to: &mut impl Write) -> io::Result<()> {
        match self {
            Self::Code { compatibility, code } => {
                to.write_all(&[CODE])?;
                to.write_all(&compatibility.to_le_bytes())?;
                write_bytes(code, to)?;
            }
            Self::Rejected(Rejection { code, message }) => {
                let message = &message[..message.floor_char_boundary(REJECTION_BYTES_MAX / 2)];
                to.write_all(&[REJECTED])?;
                write_bytes(format!("{code}\n{message}").as_bytes(), to)?;
            }
        }
        to.flush()
    }

    /// `code_bytes`: of machine code, at most. Nothing is believed of what the other side says.
    pub(super) fn read(from: &mut impl Read, code_bytes: usize) -> io::Result<Self> {
        let mut kind = [0];
        from.read_exact(&mut kind)?;
        match kind[0] {
            CODE => {
                let (compatibility, length) = (read_number(from)?, read_number(from)?);
                if length > code_bytes as u64 {
                    let message = format!(
                        "its machine code takes {length} bytes, and {code_bytes} are the most; strip it, and optimise for size"
                    );
                    return Ok(Self::Rejected(Rejection::new("compile-too-large", message)));
                }
                Ok(Self::Code { compatibility, code: read_exact(from, length)? })
            }
            REJECTED => {
                let length = read_number(from)?;
                if length > REJECTION_BYTES_MAX as u64 {
                    return Err(invalid("a rejection that is too long"));
                }
                let text = String::from_utf8(read_exact(from, length)?).map_err(|_| invalid("a rejection"))?;
                let (code, message) = text.split_once('\n').ok_or_else(|| invalid("a rejection"))?;
                Ok(Self::Rejected(match code {
                    "invalid-component" => Rejection::new("invalid-component", message),
                    "compile-failed" => Rejection::new("compile-failed", message),
                    "compile-too-large" => Rejection::new("compile-too-large", message),
                    _ => return Err(invalid("a rejection of another kind")),
                }))
            }
            _ => Err(invalid("something else than an answer")),
        }
    }
}

/// A length and so many bytes.
pub(super) fn write_bytes(bytes: &[u8], to: &mut impl Write) -> io::Result<()> {
    to.write_all(&(bytes.len() as u64).to_le_bytes())?;
    to.write_all(bytes)
}

/// A component, from a host, which has looked at its length.
pub(super) fn read_bytes(from: &mut impl Read) -> io::Result<Vec<u8>> {
    let length = read_number(from)?;
    read_exact(from, length)
}

fn read_number(from: &mut impl Read) -> io::Result<u64> {
    let mut number = [0; 8];
    from.read_exact(&mut number)?;
    Ok(u64::from_le_bytes(number))
}

fn read_exact(from: &mut impl Read, length: u64) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(length).map_err(|_| invalid("a length"))?];
    from.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("its compiler said {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn again(answer: &Answer, code_bytes: usize) -> io::Result<Answer> {
        let mut bytes = Vec::new();
        answer.write(&mut bytes)?;
        Answer::read(&mut &bytes[..], code_bytes)
    }

    #[test]
    fn what_is_written_is_read() {
        let code = Answer::Code { compatibility: 7, code: vec![1, 2, 3] };
        assert_eq!(again(&code, 3).unwrap(), code);
        let rejected = Answer::Rejected(Rejection::new("compile-failed", "why\nand where"));
        assert_eq!(again(&rejected, 3).unwrap(), rejected);
    }

    #[test]
    fn too_much_code_is_not_read_and_too_long_a_message_is_cut() {
        let code = Answer::Code { compatibility: 7, code: vec![1, 2, 3] };
        let Answer::Rejected(rejection) = again(&code, 2).unwrap() else { panic!("read") };
        assert_eq!(rejection.code, "compile-too-large");
        let rejected = Answer::Rejected(Rejection::new("compile-failed", "ä".repeat(1 << 20)));
        let Answer::Rejected(rejection) = again(&rejected, 3).unwrap() else { panic!("code") };
        assert_eq!(rejection.message, "ä".repeat(REJECTION_BYTES_MAX / 4));
    }

    #[test]
    fn what_is_no_answer_is_an_error() {
        let mut lies = vec![vec![2], vec![CODE], [&[REJECTED][..], &u64::MAX.to_le_bytes()].concat()];
        let mut other = vec![REJECTED];
        write_bytes(b"internal\nno", &mut other).unwrap();
        lies.push(other);
        for lie in lies {
            assert!(Answer::read(&mut &lie[..], 100).is_err(), "{lie:?}");
        }
    }
}
