//! Bodies on their way through the host: counted, and searched for what must not pass.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::{Body, Frame};
use tokio::runtime::Handle;
use wasmtime_wasi_http::{Error, WasiBody};

use super::Allowance;
use super::allowance::Way;
use super::needle::Needle;
use super::placeholder::BEGINNING;
use super::refusal::{Refusal, Rule};
use crate::model::Secret;

/// A body that a guest writes, which can be given up at any moment: the request is refused, the service has answered already, or
/// the body is empty by its length. What the guest still writes is taken all the same, until it ends: it would hear that it cannot
/// write, and not what came of its request.
pub(super) fn patient(body: WasiBody) -> WasiBody {
    Patient(Some(body)).boxed_unsync()
}

struct Patient(Option<WasiBody>);

impl Body for Patient {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let Some(body) = &mut self.0 else { return Poll::Ready(None) };
        let frame = ready!(Pin::new(body).poll_frame(context));
        if !matches!(frame, Some(Ok(_))) {
            self.0 = None;
        }
        Poll::Ready(frame)
    }
}

impl Drop for Patient {
    fn drop(&mut self) {
        let Some(mut body) = self.0.take() else { return };
        // Outside of a runtime the guest is gone as well.
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(async move { while let Some(Ok(_)) = body.frame().await {} });
        }
    }
}

/// A body that a guest sends. Trailers are not sent: nobody asks for them, and they would be headers that nobody checks.
pub(super) fn outgoing(body: WasiBody, allowance: &Arc<Allowance>) -> WasiBody {
    let needle = Needle::new(BEGINNING.as_bytes());
    Checked::boxed(body, Way::Out, allowance, Some((needle, Finds::Refuses)))
}

/// A body that a guest receives. What it holds of the secrets that went out with its request is masked.
pub(super) fn incoming(body: WasiBody, allowance: &Arc<Allowance>, secrets: &[Secret]) -> WasiBody {
    secrets.iter().fold(Checked::boxed(body, Way::In, allowance, None), |body, secret| {
        let needle = Needle::new(secret.value.reveal());
        Checked::boxed(body, Way::In, allowance, Some((needle, Finds::Masks)))
    })
}

/// What happens when the text is found.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Finds {
    Masks,
    Refuses,
}

struct Checked {
    body: WasiBody,
    way: Way,
    allowance: Arc<Allowance>,
    finds: Option<(Needle, Finds)>,
    over: bool,
}

impl Checked {
    fn boxed(body: WasiBody, way: Way, allowance: &Arc<Allowance>, finds: Option<(Needle, Finds)>) -> WasiBody {
        Self { body, way, allowance: allowance.clone(), finds, over: false }.boxed_unsync()
    }

    /// What passes of a piece.
    fn pass(&mut self, piece: Bytes) -> Result<Bytes, Refusal> {
        let Some((needle, finds)) = &mut self.finds else {
            self.allowance.take_bytes(self.way, piece.len())?;
            return Ok(piece);
        };
        if *finds == Finds::Masks {
            // Counted by the body within.
            return Ok(needle.mask(&piece).0);
        }
        self.allowance.take_bytes(self.way, piece.len())?;
        let (passed, found) = needle.mask(&piece);
        if found {
            let message = "the body holds a placeholder of a secret: a secret goes into the header that it is bound to";
            return Err(Refusal::new(Rule::Secret, message));
        }
        Ok(passed)
    }

    fn finish(&mut self) -> Bytes {
        self.over = true;
        self.finds.as_mut().map(|(needle, _)| needle.finish()).unwrap_or_default()
    }
}

impl Body for Checked {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        loop {
            if self.over {
                return Poll::Ready(None);
            }
            let passed = match ready!(Pin::new(&mut self.body).poll_frame(context)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(piece) => match self.pass(piece) {
                        Ok(passed) => passed,
                        Err(refusal) => {
                            self.over = true;
                            return Poll::Ready(Some(Err(self.allowance.refuse(refusal))));
                        }
                    },
                    Err(trailers) if self.way == Way::In && self.finds.is_none() => {
                        return Poll::Ready(Some(Ok(trailers)));
                    }
                    // Nobody looks for secrets in these.
                    Err(_trailers) => Bytes::new(),
                },
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => self.finish(),
            };
            if !passed.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(passed))));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt as _;
    use http_body_util::StreamBody;
    use tokio::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn a_guest_can_write_a_body_to_its_end_though_nobody_wants_it_any_more() {
        let (guest, mut pieces) = mpsc::channel::<Bytes>(1);
        let pieces = futures_util::stream::poll_fn(move |context| pieces.poll_recv(context));
        let body = StreamBody::new(pieces.map(|piece| Ok::<_, Error>(Frame::data(piece)))).boxed_unsync();
        drop(patient(body));
        // More than the channel holds: somebody takes it.
        for _ in 0..10 {
            guest.send(Bytes::from_static(b"x")).await.expect("it can be written");
        }
    }
}
