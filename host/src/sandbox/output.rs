//! Where guests' lines go: what they log, and what they print.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

use crate::model::{GuestLimits, Level, LogLine};

/// Collects the lines of one source (a run, or an attempt of a step), numbered and bounded. Shared by its clones.
#[derive(Clone, Debug)]
pub struct LogBuffer(Arc<Mutex<Lines>>);

#[derive(Debug)]
struct Lines {
    line_bytes_max: usize,
    lines_max: u32,
    /// What is left of the bytes of all lines together.
    bytes_left: usize,
    next: u32,
    /// The last line was written, which says that it is the last.
    is_full: bool,
    /// While a workflow replays, its lines are counted and not kept: they were kept the first time.
    muted: bool,
    kept: Vec<LogLine>,
    last_error: Option<String>,
}

impl LogBuffer {
    /// Empty.
    pub fn new(limits: &GuestLimits) -> Self {
        let lines = Lines {
            line_bytes_max: limits.log_line_bytes,
            lines_max: limits.log_lines,
            bytes_left: limits.log_bytes,
            next: 0,
            is_full: false,
            muted: false,
            kept: Vec::new(),
            last_error: None,
        };
        Self(Arc::new(Mutex::new(lines)))
    }

    /// Add a line: cut if it is too long, dropped if there are too many.
    pub fn write(&self, level: Level, message: &str) {
        self.with(|lines| lines.write(level, message));
    }

    /// Whether lines are counted only.
    pub fn mute(&self, muted: bool) {
        self.with(|lines| lines.muted = muted);
    }

    /// The lines since the last time.
    pub fn take(&self) -> Vec<LogLine> {
        self.with(|lines| std::mem::take(&mut lines.kept))
    }

    /// How many lines there were, muted or not: the number of the next one.
    pub fn count(&self) -> u32 {
        self.with(|lines| lines.next)
    }

    /// The last line of the level `error`, muted or not: where SDKs put the message of a panic.
    pub fn last_error(&self) -> Option<String> {
        self.with(|lines| lines.last_error.clone())
    }

    fn with<R>(&self, work: impl FnOnce(&mut Lines) -> R) -> R {
        // A panic between two fields leaves lines that are still lines.
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Lines {
    fn write(&mut self, level: Level, message: &str) {
        let mut line = (level, cut(message, self.line_bytes_max));
        if level == Level::Error {
            self.last_error = Some(line.1.to_owned());
        }
        if self.is_full {
            return;
        }
        let number = self.next;
        self.next += 1;
        // The same lines are the last on every replay.
        self.is_full = number == self.lines_max || line.1.len() > self.bytes_left;
        if self.is_full {
            line = (Level::Warn, FULL);
        } else {
            self.bytes_left -= line.1.len();
        }
        if !self.muted {
            let (level, message) = (line.0, line.1.to_owned());
            self.kept.push(LogLine { number, level, message });
        }
    }
}

/// The last line of a log that is full.
const FULL: &str = "the log is full: the lines after this one are not kept";

/// The longest beginning that fits and ends between two characters.
fn cut(text: &str, bytes_max: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_max)]
}

/// Standard output or standard error of a guest.
pub(super) struct Output {
    buffer: LogBuffer,
    level: Level,
}

impl Output {
    pub(super) fn new(buffer: LogBuffer, level: Level) -> Self {
        Self { buffer, level }
    }
}

impl IsTerminal for Output {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Output {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(Writer { buffer: self.buffer.clone(), level: self.level, line: Vec::new() })
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(Writer { buffer: self.buffer.clone(), level: self.level, line: Vec::new() })
    }
}

/// Puts together lines out of what a guest writes. Never blocks.
struct Writer {
    buffer: LogBuffer,
    level: Level,
    line: Vec<u8>,
}

/// Most that a guest may write at once, and the longest line that is waited for.
const WRITE_BYTES_MAX: usize = 16 << 10;

impl Writer {
    fn push(&mut self, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.line.extend_from_slice(piece);
            if piece.ends_with(b"\n") || self.line.len() >= WRITE_BYTES_MAX {
                self.end_line();
            }
        }
    }

    fn end_line(&mut self) {
        let line = std::mem::take(&mut self.line);
        self.buffer.write(self.level, String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']));
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if !self.line.is_empty() {
            self.end_line();
        }
    }
}

impl OutputStream for Writer {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.push(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(WRITE_BYTES_MAX)
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Writer {
    async fn ready(&mut self) {}
}

impl AsyncWrite for Writer {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.push(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buffer(lines_max: u32) -> LogBuffer {
        LogBuffer::new(&GuestLimits {
            log_line_bytes: 8,
            log_lines: lines_max,
            log_bytes: 40,
            ..GuestLimits::default()
        })
    }

    #[test]
    fn lines_are_numbered_cut_and_bounded() {
        let buffer = buffer(2);
        for text in ["a", "123456789", "b", "c"] {
            buffer.write(Level::Info, text);
        }
        let lines: Vec<_> = buffer.take().into_iter().map(|line| (line.number, line.message)).collect();
        assert_eq!(lines[0], (0, "a".to_owned()));
        assert_eq!(lines[1], (1, "12345678".to_owned()));
        assert_eq!(lines[2].0, 2);
        assert!(lines[2].1.contains("full"));
        assert_eq!(lines.len(), 3);
    }

    #[test]
    fn the_bytes_of_all_lines_are_bounded_and_the_last_error_is_known_all_the_same() {
        let buffer = buffer(100);
        (0..10).for_each(|_| buffer.write(Level::Info, "12345678"));
        buffer.write(Level::Error, "a panic");
        let lines = buffer.take();
        assert_eq!((lines.len(), &*lines[4].message, &*lines[5].message), (6, "12345678", FULL));
        assert_eq!(buffer.last_error().as_deref(), Some("a panic"));
    }

    #[test]
    fn a_line_that_is_replayed_keeps_its_number_and_is_not_kept_again() {
        let buffer = buffer(10);
        buffer.mute(true);
        buffer.write(Level::Info, "old");
        buffer.mute(false);
        buffer.write(Level::Info, "new");
        let lines = buffer.take();
        assert_eq!((lines.len(), lines[0].number), (1, 1));
    }

    #[test]
    fn printed_text_is_cut_into_lines() {
        let buffer = buffer(10);
        let mut writer = Writer { buffer: buffer.clone(), level: Level::Info, line: Vec::new() };
        writer.push(b"one\ntw");
        writer.push(b"o\r\nrest");
        drop(writer);
        let lines: Vec<_> = buffer.take().into_iter().map(|line| line.message).collect();
        assert_eq!(lines, ["one", "two", "rest"]);
    }
}
