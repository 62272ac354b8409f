//! One request and its complete answer on one connection.

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

/// The status messages of tonic's servers for an expired `grpc-timeout`, which they report as
/// `CANCELLED`.
const TIMEOUT_EXPIRED: [&[u8]; 2] = [b"Timeout%20expired", b"Timeout expired"];

/// An answer that has arrived completely, so reading it cannot fail.
#[derive(Debug)]
pub(super) struct Answer {
    head: response::Parts,
    frames: Vec<Bytes>,
    trailers: Option<HeaderMap>,
    pub(super) code: Code,
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum ExchangeError {
    /// The connection was closed before any byte of the request was sent.
    Unsent(hyper::Error),
    /// The connection or the stream broke after the request may have been sent.
    Broken(hyper::Error),
}

/// Sends a request and reads the complete answer. Dropping the future resets the HTTP/2 stream.
pub(super) async fn exchange(
    sender: &mut Sender,
    request: Request<Full<Bytes>>,
) -> Result<Answer, ExchangeError> {
    let response = sender.try_send_request(request).await;
    let (head, mut body) = response
        .map_err(|error| match error.message() {
            Some(_) => ExchangeError::Unsent(error.into_error()),
            None => ExchangeError::Broken(error.into_error()),
        })?
        .into_parts();
    let mut frames = Vec::with_capacity(1);
    let mut trailers = None;
    while let Some(frame) = body.frame().await {
        match frame.map_err(ExchangeError::Broken)?.into_data() {
            Ok(data) => frames.push(data),
            Err(frame) => trailers = frame.into_trailers().ok(),
        }
    }
    let code = status_code(&head, trailers.as_ref());
    Ok(Answer {
        head,
        frames,
        trailers,
        code,
    })
}

fn status_code(head: &response::Parts, trailers: Option<&HeaderMap>) -> Code {
    let in_trailers = trailers.and_then(|trailers| trailers.get(Status::GRPC_STATUS));
    if let Some(code) = in_trailers.or_else(|| head.headers.get(Status::GRPC_STATUS)) {
        return Code::from_bytes(code.as_bytes());
    }
    // An answer without a gRPC status, such as one of a proxy. The HTTP codes that mean
    // `UNAVAILABLE` are those of gRPC's http-grpc-status-mapping.md.
    match head.status {
        StatusCode::TOO_MANY_REQUESTS
        | StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT => Code::Unavailable,
        _ => Code::Unknown,
    }
}

impl Answer {
    /// Whether the server's transport ended the call because its time was over. A working handler
    /// reports [`Code::DeadlineExceeded`] a little earlier, so such a server's handler is stuck.
    pub(super) fn is_cut_off(&self) -> bool {
        let says_expired = |headers: &HeaderMap| {
            headers
                .get(Status::GRPC_MESSAGE)
                .is_some_and(|message| TIMEOUT_EXPIRED.contains(&message.as_bytes()))
        };
        self.code == Code::Cancelled
            && (says_expired(&self.head.headers)
                || self.trailers.as_ref().is_some_and(says_expired))
    }

    /// The answer in the form that generated clients expect.
    pub(super) fn into_response(self) -> Response<tonic::body::Body> {
        let body = BufferedBody {
            frames: self.frames.into_iter(),
            trailers: self.trailers,
        };
        Response::from_parts(self.head, tonic::body::Body::new(body))
    }
}

/// A body whose frames are all in memory.
struct BufferedBody {
    frames: vec::IntoIter<Bytes>,
    trailers: Option<HeaderMap>,
}

impl Body for BufferedBody {
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
