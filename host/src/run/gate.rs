//! What must be so before anything of a run leaves the host.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use crate::sandbox::{Gate, GateClosed};
use crate::store::{Lease, RunWriter};

/// Output commit, and no effect by a host whose lease may have run out.
pub(super) struct RunGate {
    pub(super) lease: Arc<Lease>,
    pub(super) writer: RunWriter,
}

impl Gate for RunGate {
    fn pass(&self) -> Pin<Box<dyn Future<Output = Result<(), GateClosed>> + Send + '_>> {
        Box::pin(async {
            // Everything that led here was handed to the writer before the step began.
            self.writer.commit(Vec::new()).await.map_err(|_lost| GateClosed)?;
            if self.is_open() { Ok(()) } else { Err(GateClosed) }
        })
    }

    /// By this host's own clock. A quarter of the lease is kept for what the request takes to arrive.
    fn is_open(&self) -> bool {
        self.lease.remaining() > self.lease.times().ttl / 4
    }
}
