//! One request and its whole answer on one connection.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
    vec,
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode, response};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Full};
use tonic::{Code, Status};

use super::replica::Sender;

/// How tonic's servers word the end of a deadline, which they report as `CANCELLED`.
const TIMEOUT_EXPIRED: [&[u8]; 2] = [b"Timeout%20expired", b"Timeout expired"];

/// An answer that arrived in full, so that nothing can go wrong with it any more.
#[derive(Debug)]
pub(super) struct Answer {
    head: response::Parts,
    frames: Vec<Bytes>,
    trailers: Option<HeaderMap>,
    pub(super) code: Code,
}

/// Why there is none.
#[derive(Debug)]
pub(super) enum Broken {
    /// The connection was closed before anything of the request was sent.
    Unsent(hyper::Error),
    /// The connection or the stream broke later.
    Lost(hyper::Error),
}

/// Sends a request and reads the answer to its end. Dropped, it resets the stream.
pub(super) async fn exchange(
    sender: &mut Sender,
    request: Request<Full<Bytes>>,
) -> Result<Answer, Broken> {
    let answered = sender.try_send_request(request).await;
    let (head, mut body) = answered
        .map_err(|error| match error.message() {
            Some(_) => Broken::Unsent(error.into_error()),
            None => Broken::Lost(error.into_error()),
        })?
        .into_parts();
    let mut frames = Vec::with_capacity(1);
    let mut trailers = None;
    while let Some(frame) = body.frame().await {
        match frame.map_err(Broken::Lost)?.into_data() {
            Ok(data) => frames.push(data),
            Err(frame) => trailers = frame.into_trailers().ok(),
        }
    }
    let code = code_of(&head, trailers.as_ref());
    Ok(Answer {
        head,
        frames,
        trailers,
        code,
    })
}

fn code_of(head: &response::Parts, trailers: Option<&HeaderMap>) -> Code {
    let in_trailers = trailers.and_then(|trailers| trailers.get(Status::GRPC_STATUS));
    if let Some(code) = in_trailers.or_else(|| head.headers.get(Status::GRPC_STATUS)) {
        return Code::from_bytes(code.as_bytes());
    }
    // As gRPC translates what is not gRPC, such as a proxy's refusal.
    match head.status {
        StatusCode::TOO_MANY_REQUESTS
        | StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT => Code::Unavailable,
        _ => Code::Unknown,
    }
}

impl Answer {
    /// Whether the server's transport cut the call off because its time was over. A handler that
    /// is well says so itself, a moment earlier ([`Code::DeadlineExceeded`]); this one is stuck.
    pub(super) fn is_cut_off(&self) -> bool {
        let worded = |headers: &HeaderMap| {
            headers
                .get(Status::GRPC_MESSAGE)
                .is_some_and(|message| TIMEOUT_EXPIRED.contains(&message.as_bytes()))
        };
        self.code == Code::Cancelled
            && (worded(&self.head.headers) || self.trailers.as_ref().is_some_and(worded))
    }

    /// The answer as the generated clients expect it.
    pub(super) fn into_response(self) -> Response<tonic::body::Body> {
        let body = Replay {
            frames: self.frames.into_iter(),
            trailers: self.trailers,
        };
        Response::from_parts(self.head, tonic::body::Body::new(body))
    }
}

/// A body that has arrived already.
struct Replay {
    frames: vec::IntoIter<Bytes>,
    trailers: Option<HeaderMap>,
}

impl Body for Replay {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let data = self.frames.next().map(Frame::data);
        let frame = data.or_else(|| self.trailers.take().map(Frame::trailers));
        Poll::Ready(frame.map(Ok))
    }

    fn is_end_stream(&self) -> bool {
        self.frames.as_slice().is_empty() && self.trailers.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        let bytes: usize = self.frames.as_slice().iter().map(Bytes::len).sum();
        SizeHint::with_exact(bytes as u64)
    }
}
