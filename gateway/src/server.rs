//! The HTTP server of both ports: bounded, quick to refuse, and without loss when it stops.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{Router, response::Response};
use chassis::{admin::Readiness, shutdown::Drain};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulShutdown},
};
use metrics::Counter;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use crate::{observe::Face, origin::Peer};

/// How long a client may take to send the head of a request; also how long an idle connection is
/// kept.
const HEAD_TIMEOUT: Duration = Duration::from_mins(1);

pub(crate) struct Server {
    pub(crate) face: Face,
    pub(crate) router: Router,
    /// How many requests may be under way; the next one is refused at once.
    pub(crate) requests_max: usize,
    /// What one that is refused is answered.
    pub(crate) busy: fn() -> Response,
}

/// When and how a server stops.
pub(crate) struct Stop {
    pub(crate) shutdown: CancellationToken,
    pub(crate) drain: Drain,
    pub(crate) readiness: Readiness,
}

impl Server {
    /// Serves until told to stop: then goes on for a while so that proxies can hear of it, lets
    /// what is under way finish, and ends at the latest when the time to drain is over.
    pub(crate) async fn serve(self, listener: TcpListener, stop: &Stop) -> anyhow::Result<()> {
        let connections = GracefulShutdown::new();
        let router = Arc::new(Gate {
            router: self.router,
            requests: AtomicUsize::new(0),
            requests_max: self.requests_max,
            busy: self.busy,
            shed: self.face.shed(),
        });
        let mut hard_stop = None;
        let lame_duck = async {
            stop.shutdown.cancelled().await;
            stop.readiness.set_draining();
            hard_stop = Some(tokio::time::sleep(stop.drain.hard_stop));
            tokio::time::sleep(stop.drain.lame_duck).await;
        };
        tokio::select! {
            () = accept(&listener, &router, &connections) => {}
            () = lame_duck => {}
        }
        drop(listener);
        let Some(hard_stop) = hard_stop else {
            return Ok(());
        };
        tokio::select! {
            () = connections.shutdown() => {}
            () = hard_stop => {
                tracing::warn!("stopped with requests under way: the time to drain is over");
            }
        }
        Ok(())
    }
}

async fn accept(listener: &TcpListener, gate: &Arc<Gate>, connections: &GracefulShutdown) {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(Duration::from_secs(30));
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                let connection = connect(&builder, stream, Peer(peer), Arc::clone(gate));
                let connection = connections.watch(connection);
                // An error here is the client's: it hung up, or does not speak HTTP.
                tokio::spawn(async move { drop(connection.await) });
            }
            Err(error) => rest_after(&error).await,
        }
    }
}

fn connect(
    builder: &auto::Builder<TokioExecutor>,
    stream: TcpStream,
    peer: Peer,
    gate: Arc<Gate>,
) -> impl hyper_util::server::graceful::GracefulConnection<
    Error = Box<dyn std::error::Error + Send + Sync>,
> + Send
+ 'static {
    // Without this a small answer may wait 40 ms for the client's acknowledgement.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection was gone before it began");
    }
    let service = hyper::service::service_fn(move |mut request: http::Request<_>| {
        request.extensions_mut().insert(peer);
        let gate = Arc::clone(&gate);
        async move { Ok::<_, std::convert::Infallible>(gate.answer(request).await) }
    });
    builder
        .serve_connection(TokioIo::new(stream), service)
        .into_owned()
}

/// Out of file descriptors: the next attempt would fail as well, and at full speed.
async fn rest_after(error: &io::Error) {
    if !matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset
    ) {
        tracing::error!(%error, "cannot accept connections");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Lets only so many requests in at once, and of those that read only three quarters: under overload
/// a write still finds a place, because nobody asks for what was never written.
struct Gate {
    router: Router,
    requests: AtomicUsize,
    requests_max: usize,
    busy: fn() -> Response,
    shed: Counter,
}

impl Gate {
    async fn answer(
        &self,
        request: http::Request<hyper::body::Incoming>,
    ) -> http::Response<axum::body::Body> {
        let reads = request.method().is_safe();
        let most = if reads {
            self.requests_max.div_ceil(4) * 3
        } else {
            self.requests_max
        };
        let _place = Place(&self.requests);
        if self.requests.fetch_add(1, Ordering::Relaxed) >= most.min(self.requests_max) {
            self.shed.increment(1);
            return (self.busy)();
        }
        match self
            .router
            .clone()
            .oneshot(request.map(axum::body::Body::new))
            .await
        {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }
}

/// One request's place, given back whatever becomes of the request.
struct Place<'a>(&'a AtomicUsize);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
