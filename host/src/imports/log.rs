//! `windlass:workflow/log`

use wasmtime::component::HasData;

use super::bindings::log::{Host, Level};
use crate::model;
use crate::sandbox::LogBuffer;

/// Both roles log; what they have in common is the buffer.
pub(super) struct Log;

impl HasData for Log {
    type Data<'a> = LogBuffer;
}

impl Host for LogBuffer {
    fn write(&mut self, level: Level, message: String) -> wasmtime::Result<()> {
        let level = match level {
            Level::Debug => model::Level::Debug,
            Level::Info => model::Level::Info,
            Level::Warn => model::Level::Warn,
            Level::Error => model::Level::Error,
        };
        LogBuffer::write(self, level, &message);
        Ok(())
    }
}
