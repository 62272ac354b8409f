//! The server that every service uses: health, reflection, metrics, and a stop without loss.

mod observe;

use std::{io, pin::Pin, time::Duration};

use anyhow::Context as _;
use futures_util::{FutureExt as _, Stream, future::BoxFuture};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
};
use tokio_util::sync::CancellationToken;
use tonic::{
    service::Routes,
    transport::{
        Server,
        server::{Connected, TcpIncoming},
    },
};
use tonic_health::{ServingStatus, server::HealthReporter};

use crate::{admin::Readiness, shutdown::Drain};

/// The largest message accepted, in bytes: a batch of the largest posts with room to spare.
pub const MESSAGE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The header of a health check's answer in which a server says which version it is.
pub(crate) const VERSION_HEADER: &str = "x-minitwit-version";

/// How a server behaves beside what it answers.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// The full names of the services it is: what its callers check before they trust it.
    pub names: Vec<&'static str>,
    /// The file descriptors that reflection is answered from; without them it is not answered.
    pub reflection: Option<&'static [u8]>,
    /// How it stops.
    pub drain: Drain,
    /// Where it says that it is ready.
    pub readiness: Readiness,
}

/// Serves `routes` until `shutdown`, then drains.
///
/// # Errors
///
/// The listener failed.
///
/// The future is boxed, so that the HTTP/2 server is compiled once, in this crate, and not again in
/// each program.
pub fn serve(
    routes: Routes,
    options: ServerOptions,
    listener: TcpListener,
    shutdown: CancellationToken,
) -> BoxFuture<'static, anyhow::Result<()>> {
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    Box::pin(serve_incoming(routes, options, incoming, shutdown))
}

/// The same for connections from anywhere: a simulated network has its own.
///
/// # Errors
///
/// The stream of connections failed.
pub async fn serve_incoming<I, C>(
    routes: Routes,
    options: ServerOptions,
    incoming: I,
    shutdown: CancellationToken,
) -> anyhow::Result<()>
where
    I: Stream<Item = io::Result<C>>,
    C: AsyncRead + AsyncWrite + Connected + Unpin + Send + 'static,
{
    let (reporter, health) = tonic_health::server::health_reporter();
    report(&reporter, &options.names, ServingStatus::Serving).await;
    options.readiness.ready();

    let mut server = Server::builder()
        .layer(observe::Observe)
        .http2_keepalive_interval(Some(Duration::from_secs(30)))
        .http2_keepalive_timeout(Some(Duration::from_secs(20)))
        .initial_stream_window_size(1 << 20)
        .initial_connection_window_size(4 << 20)
        .add_routes(routes)
        .add_service(health);
    if let Some(descriptors) = options.reflection {
        let reflection = tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(descriptors)
            .build_v1()
            .context("the descriptors cannot be read")?;
        server = server.add_service(reflection);
    }

    let goaway = CancellationToken::new();
    let server = server.serve_with_incoming_shutdown(incoming, goaway.clone().cancelled_owned());
    let server = std::pin::pin!(server.fuse());
    run_until_drained(server, &options, &reporter, shutdown, goaway).await
}

async fn run_until_drained(
    mut server: Pin<&mut impl Future<Output = Result<(), tonic::transport::Error>>>,
    options: &ServerOptions,
    reporter: &HealthReporter,
    shutdown: CancellationToken,
    goaway: CancellationToken,
) -> anyhow::Result<()> {
    tokio::select! {
        ended = &mut server => return ended.context("the gRPC server failed"),
        () = shutdown.cancelled() => {}
    }
    let hard_stop = tokio::time::sleep(options.drain.hard_stop);
    options.readiness.draining();
    report(reporter, &options.names, ServingStatus::NotServing).await;
    tokio::select! {
        ended = &mut server => return ended.context("the gRPC server failed"),
        () = tokio::time::sleep(options.drain.lame_duck) => {}
    }
    goaway.cancel();
    tokio::select! {
        ended = &mut server => ended.context("the gRPC server failed"),
        () = hard_stop => {
            tracing::warn!("stopped with calls under way: the time to drain is over");
            Ok(())
        }
    }
}

async fn report(reporter: &HealthReporter, names: &[&'static str], status: ServingStatus) {
    for name in names.iter().copied().chain([""]) {
        reporter.set_service_status(name, status).await;
    }
}

/// A status code as the OpenTelemetry conventions write it.
pub fn code_name(code: tonic::Code) -> &'static str {
    use tonic::Code as C;
    match code {
        C::Ok => "OK",
        C::Cancelled => "CANCELLED",
        C::Unknown => "UNKNOWN",
        C::InvalidArgument => "INVALID_ARGUMENT",
        C::DeadlineExceeded => "DEADLINE_EXCEEDED",
        C::NotFound => "NOT_FOUND",
        C::AlreadyExists => "ALREADY_EXISTS",
        C::PermissionDenied => "PERMISSION_DENIED",
        C::ResourceExhausted => "RESOURCE_EXHAUSTED",
        C::FailedPrecondition => "FAILED_PRECONDITION",
        C::Aborted => "ABORTED",
        C::OutOfRange => "OUT_OF_RANGE",
        C::Unimplemented => "UNIMPLEMENTED",
        C::Internal => "INTERNAL",
        C::Unavailable => "UNAVAILABLE",
        C::DataLoss => "DATA_LOSS",
        C::Unauthenticated => "UNAUTHENTICATED",
    }
}
