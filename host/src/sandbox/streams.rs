//! Streams and pollables of the workflow role. There, nothing waits: what is not done at once would hold a thread that the host
//! needs, and traps.

use futures_util::FutureExt as _;
use wasmtime::Result;
use wasmtime::component::{HasData, Resource, ResourceTable};
use wasmtime_wasi::p2::bindings::io::poll as poll_in_time;
use wasmtime_wasi::p2::bindings::io::streams as in_time;
use wasmtime_wasi::p2::bindings::sync::io::poll::{self, Pollable};
use wasmtime_wasi::p2::bindings::sync::io::streams::{self, InputStream, OutputStream};
use wasmtime_wasi::p2::{StreamError, StreamResult};

use super::Violation;

/// Handles of a workflow's guest.
pub(super) struct AtOnce<'a>(pub(super) &'a mut ResourceTable);

/// What the linker gives its functions.
pub(super) struct HasStreams;

impl HasData for HasStreams {
    type Data<'a> = AtOnce<'a>;
}

/// A workflow waits.
pub(super) fn blocked() -> wasmtime::Error {
    let message = "a workflow cannot block its thread (thread::sleep, waiting for I/O): wait with `timer.sleep` or \
                   `signal.receive` (in Rust, `windlass::sleep` or `windlass::signal`), and touch the outside in a step";
    Violation::new("blocked", message).into()
}

fn at_once<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    work.now_or_never().unwrap_or_else(|| Err(blocked()))
}

fn stream_at_once<T>(work: impl Future<Output = StreamResult<T>>) -> StreamResult<T> {
    work.now_or_never().unwrap_or_else(|| Err(StreamError::Trap(blocked())))
}

impl streams::Host for AtOnce<'_> {
    fn convert_stream_error(&mut self, error: StreamError) -> Result<streams::StreamError> {
        streams::Host::convert_stream_error(self.0, error)
    }
}

impl streams::HostOutputStream for AtOnce<'_> {
    fn drop(&mut self, stream: Resource<OutputStream>) -> Result<()> {
        at_once(in_time::HostOutputStream::drop(self.0, stream))
    }

    fn check_write(&mut self, stream: Resource<OutputStream>) -> StreamResult<u64> {
        in_time::HostOutputStream::check_write(self.0, stream)
    }

    fn write(&mut self, stream: Resource<OutputStream>, bytes: Vec<u8>) -> StreamResult<()> {
        in_time::HostOutputStream::write(self.0, stream, bytes)
    }

    fn blocking_write_and_flush(&mut self, stream: Resource<OutputStream>, bytes: Vec<u8>) -> StreamResult<()> {
        stream_at_once(in_time::HostOutputStream::blocking_write_and_flush(self.0, stream, bytes))
    }

    fn blocking_write_zeroes_and_flush(&mut self, stream: Resource<OutputStream>, length: u64) -> StreamResult<()> {
        stream_at_once(in_time::HostOutputStream::blocking_write_zeroes_and_flush(self.0, stream, length))
    }

    fn subscribe(&mut self, stream: Resource<OutputStream>) -> Result<Resource<Pollable>> {
        in_time::HostOutputStream::subscribe(self.0, stream)
    }

    fn write_zeroes(&mut self, stream: Resource<OutputStream>, length: u64) -> StreamResult<()> {
        in_time::HostOutputStream::write_zeroes(self.0, stream, length)
    }

    fn flush(&mut self, stream: Resource<OutputStream>) -> StreamResult<()> {
        in_time::HostOutputStream::flush(self.0, stream)
    }

    fn blocking_flush(&mut self, stream: Resource<OutputStream>) -> StreamResult<()> {
        stream_at_once(in_time::HostOutputStream::blocking_flush(self.0, stream))
    }

    fn splice(&mut self, to: Resource<OutputStream>, from: Resource<InputStream>, length: u64) -> StreamResult<u64> {
        in_time::HostOutputStream::splice(self.0, to, from, length)
    }

    fn blocking_splice(
        &mut self,
        to: Resource<OutputStream>,
        from: Resource<InputStream>,
        length: u64,
    ) -> StreamResult<u64> {
        stream_at_once(in_time::HostOutputStream::blocking_splice(self.0, to, from, length))
    }
}

impl streams::HostInputStream for AtOnce<'_> {
    fn drop(&mut self, stream: Resource<InputStream>) -> Result<()> {
        at_once(in_time::HostInputStream::drop(self.0, stream))
    }

    fn read(&mut self, stream: Resource<InputStream>, length: u64) -> StreamResult<Vec<u8>> {
        in_time::HostInputStream::read(self.0, stream, length)
    }

    fn blocking_read(&mut self, stream: Resource<InputStream>, length: u64) -> StreamResult<Vec<u8>> {
        stream_at_once(in_time::HostInputStream::blocking_read(self.0, stream, length))
    }

    fn skip(&mut self, stream: Resource<InputStream>, length: u64) -> StreamResult<u64> {
        in_time::HostInputStream::skip(self.0, stream, length)
    }

    fn blocking_skip(&mut self, stream: Resource<InputStream>, length: u64) -> StreamResult<u64> {
        stream_at_once(in_time::HostInputStream::blocking_skip(self.0, stream, length))
    }

    fn subscribe(&mut self, stream: Resource<InputStream>) -> Result<Resource<Pollable>> {
        in_time::HostInputStream::subscribe(self.0, stream)
    }
}

impl poll::Host for AtOnce<'_> {
    fn poll(&mut self, _: Vec<Resource<Pollable>>) -> Result<Vec<u32>> {
        Err(blocked())
    }
}

impl poll::HostPollable for AtOnce<'_> {
    fn ready(&mut self, pollable: Resource<Pollable>) -> Result<bool> {
        at_once(poll_in_time::HostPollable::ready(self.0, pollable))
    }

    fn block(&mut self, _: Resource<Pollable>) -> Result<()> {
        Err(blocked())
    }

    fn drop(&mut self, pollable: Resource<Pollable>) -> Result<()> {
        poll_in_time::HostPollable::drop(self.0, pollable)
    }
}
