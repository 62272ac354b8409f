//! HTTP server of the pages and of the API, with a limit of concurrent requests and a drain.

use std::{
    io,
    sync::{
        Arc, OnceLock,
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
use tokio::{
    net::{TcpListener, TcpStream},
    time::{Instant, sleep, sleep_until},
};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use crate::{observe::Surface, origin::Peer};

/// Timeout of the head of a request, and of an idle connection.
const HEAD_TIMEOUT: Duration = Duration::from_mins(1);

/// Server of one surface.
pub(crate) struct Server {
    pub(crate) surface: Surface,
    pub(crate) router: Router,
    /// Maximum number of concurrent requests.
    pub(crate) requests_max: usize,
    /// Creates the response to a request that exceeds the maximum.
    pub(crate) busy: fn() -> Response,
}

/// Stop signal and drain settings. Both servers share it.
pub(crate) struct Stop {
    shutdown: CancellationToken,
    drain: Drain,
    pub(crate) readiness: Readiness,
    began: OnceLock<Instant>,
}

impl Stop {
    /// A drain that begins when `shutdown` is cancelled.
    pub(crate) fn new(shutdown: CancellationToken, drain: Drain, readiness: Readiness) -> Self {
        Self {
            shutdown,
            drain,
            readiness,
            began: OnceLock::new(),
        }
    }

    /// Instant at which the gateway stops although requests are in flight. The first call is the begin
    /// of the drain.
    pub(crate) fn hard_stop(&self) -> Instant {
        *self.began.get_or_init(Instant::now) + self.drain.hard_stop
    }

    /// Waits for the signal to stop, and then for the end of the time in which the server still accepts
    /// connections, so that proxies can notice that the gateway is not ready.
    async fn end_of_lame_duck(&self) {
        self.shutdown.cancelled().await;
        self.hard_stop();
        self.readiness.set_draining();
        sleep(self.drain.lame_duck).await;
    }
}

impl Server {
    /// Serves until the signal to stop. Then accepts connections for the lame duck time, and waits for
    /// the requests in flight, at most until the hard stop.
    pub(crate) async fn serve(self, listener: TcpListener, stop: &Stop) -> anyhow::Result<()> {
        let connections = GracefulShutdown::new();
        let shedder = Arc::new(LoadShedder {
            router: self.router,
            requests: AtomicUsize::new(0),
            requests_max: self.requests_max,
            busy: self.busy,
            shed: self.surface.shed(),
        });
        tokio::select! {
            () = accept(&listener, &shedder, &connections) => {}
            () = stop.end_of_lame_duck() => {}
        }
        drop(listener);
        tokio::select! {
            () = connections.shutdown() => {}
            () = sleep_until(stop.hard_stop()) => {
                tracing::warn!("stopped with requests in flight: the drain has reached its hard stop");
            }
        }
        Ok(())
    }
}

async fn accept(
    listener: &TcpListener,
    shedder: &Arc<LoadShedder>,
    connections: &GracefulShutdown,
) {
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
                let connection = connect(&builder, stream, Peer(peer), Arc::clone(shedder));
                let connection = connections.watch(connection);
                // An error means that the client closed the connection, or does not speak HTTP.
                tokio::spawn(async move { drop(connection.await) });
            }
            Err(error) => pause_after(&error).await,
        }
    }
}

fn connect(
    builder: &auto::Builder<TokioExecutor>,
    stream: TcpStream,
    peer: Peer,
    shedder: Arc<LoadShedder>,
) -> impl hyper_util::server::graceful::GracefulConnection<
    Error = Box<dyn std::error::Error + Send + Sync>,
> + Send
+ 'static {
    // Without this option, a small response may wait 40 ms for the client's acknowledgement.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a client closed its connection before the first request");
    }
    let service = hyper::service::service_fn(move |mut request: http::Request<_>| {
        request.extensions_mut().insert(peer);
        let shedder = Arc::clone(&shedder);
        async move { Ok::<_, std::convert::Infallible>(shedder.answer(request).await) }
    });
    builder
        .serve_connection(TokioIo::new(stream), service)
        .into_owned()
}

/// Pauses after an error of the listener. Without file descriptors, the next attempts would fail too, and
/// would occupy the processor.
async fn pause_after(error: &io::Error) {
    if !matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset
    ) {
        tracing::error!(%error, "cannot accept connections");
        sleep(Duration::from_millis(100)).await;
    }
}

/// Limits the number of concurrent requests. Reads may use three quarters of the limit, so writes are
/// still accepted when reads overload the gateway. A lost read can be repeated, but a write that was
/// refused is missing.
struct LoadShedder {
    router: Router,
    requests: AtomicUsize,
    requests_max: usize,
    busy: fn() -> Response,
    shed: Counter,
}

impl LoadShedder {
    async fn answer(
        &self,
        request: http::Request<hyper::body::Incoming>,
    ) -> http::Response<axum::body::Body> {
        let is_read = request.method().is_safe();
        let requests_max = if is_read {
            self.requests_max.div_ceil(4) * 3
        } else {
            self.requests_max
        };
        let _permit = Permit(&self.requests);
        if self.requests.fetch_add(1, Ordering::Relaxed) >= requests_max.min(self.requests_max) {
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

/// Permit of one request. A drop returns the permit, also if the request was cancelled.
struct Permit<'a>(&'a AtomicUsize);

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
