//! The gRPC server that every service uses, with health checks, reflection, metrics and graceful
//! shutdown.

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

// `trace` and `observe` import these names from here.
pub(crate) use crate::protocol::{VERSION_HEADER, code_name};
use crate::{admin::Readiness, shutdown::Drain};

/// Maximum size of a message in bytes. It exceeds a batch of the longest posts.
pub const MESSAGE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Options of a server.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// Full names of the server's services. The health service reports them, and callers check them
    /// before their first call.
    pub names: Vec<&'static str>,
    /// Encoded file descriptor set for gRPC reflection. `None` disables reflection.
    pub reflection: Option<&'static [u8]>,
    /// Times of the graceful shutdown.
    pub drain: Drain,
    /// The readiness that the server updates.
    pub readiness: Readiness,
}

/// Serves `routes` until `shutdown` is cancelled, then drains.
///
/// # Errors
///
/// The listener failed, or the descriptors for reflection are not valid.
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

/// Serves `routes` on a stream of connections, which may come from a simulated network. Drains when
/// `shutdown` is cancelled.
///
/// # Errors
///
/// The stream of connections failed, or the descriptors for reflection are not valid.
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
    set_health(&reporter, &options.names, ServingStatus::Serving).await;
    options.readiness.set_ready();

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
            .context("the file descriptor set for reflection is not valid")?;
        server = server.add_service(reflection);
    }

    let goaway = CancellationToken::new();
    let server = server.serve_with_incoming_shutdown(incoming, goaway.clone().cancelled_owned());
    let server = std::pin::pin!(server.fuse());
    run_until_drained(server, &options, &reporter, shutdown, goaway).await
}

/// Runs the server until `shutdown`. Then reports `NOT_SERVING`, waits for the lame-duck time, sends
/// GOAWAY, and waits for the calls in flight until the hard stop.
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
    options.readiness.set_draining();
    set_health(reporter, &options.names, ServingStatus::NotServing).await;
    tokio::select! {
        ended = &mut server => return ended.context("the gRPC server failed"),
        () = tokio::time::sleep(options.drain.lame_duck) => {}
    }
    goaway.cancel();
    tokio::select! {
        ended = &mut server => ended.context("the gRPC server failed"),
        () = hard_stop => {
            tracing::warn!("stopped with calls in flight: the hard stop was reached");
            Ok(())
        }
    }
}

/// Sets the health status of all `names` and of the whole server, whose name is empty.
async fn set_health(reporter: &HealthReporter, names: &[&'static str], status: ServingStatus) {
    for name in names.iter().copied().chain([""]) {
        reporter.set_service_status(name, status).await;
    }
}
