//! Processes of a simulated world, with the same server as all services.

use std::{
    io,
    net::Ipv4Addr,
    pin::Pin,
    sync::{Arc, PoisonError, atomic::Ordering::Relaxed},
    task::{Context, Poll},
    time::Duration,
};

use chassis::{
    admin::Readiness,
    grpc::{ServerOptions, serve_incoming},
    shutdown::Drain,
};
use futures_util::stream;
use minitwit_proto::follower::v1::{
    CheckFollowsRequest, CheckFollowsResponse, CountFollowsRequest, CountFollowsResponse,
    ListFollowsRequest, ListFollowsResponse, SetFollowsRequest, SetFollowsResponse,
    follower_service_server::{FollowerService, FollowerServiceServer, SERVICE_NAME},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::sleep,
};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, service::Routes, transport::server::Connected};
use turmoil::net::{TcpListener, TcpStream};

use crate::world::World;

/// Port of all processes.
pub(crate) const PORT: u16 = 5012;

/// Processing time of a call without a fault.
const WORK: Duration = Duration::from_millis(3);

/// Times of an orderly stop, which are short because a simulated world is short.
const DRAIN: Drain = Drain {
    lame_duck: Duration::from_millis(1_500),
    hard_stop: Duration::from_secs(3),
};

/// Runs a replica of the service.
pub(crate) async fn replica(world: Arc<World>, number: usize) -> turmoil::Result {
    let stop = CancellationToken::new();
    world.stops.lock().unwrap_or_else(PoisonError::into_inner)[number] = stop.clone();
    serve(SERVICE_NAME, Follower { world: None }, stop).await
}

/// Runs a process of another service, which nevertheless implements the same protocol.
pub(crate) async fn other(world: Arc<World>) -> turmoil::Result {
    let follower = Follower { world: Some(world) };
    serve(
        "minitwit.message.v1.MessageService",
        follower,
        CancellationToken::new(),
    )
    .await
}

async fn serve(name: &'static str, follower: Follower, stop: CancellationToken) -> turmoil::Result {
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, PORT)).await?;
    let incoming = stream::unfold(listener, |listener| async move {
        let accepted = listener
            .accept()
            .await
            .map(|(stream, _)| Connection(stream));
        Some((accepted, listener))
    });
    let options = ServerOptions {
        names: vec![name],
        reflection: None,
        drain: DRAIN,
        readiness: Readiness::default(),
    };
    let routes = Routes::new(FollowerServiceServer::new(follower));
    // The stream is boxed because `unfold` returns a stream that cannot be moved.
    serve_incoming(routes, options, Box::pin(incoming), stop).await?;
    Ok(())
}

/// A service whose calls only take time.
struct Follower {
    /// The world of a process that must not receive a call.
    world: Option<Arc<World>>,
}

impl Follower {
    async fn work(&self) {
        if let Some(world) = &self.world {
            world.misdirected.fetch_add(1, Relaxed);
        }
        sleep(WORK).await;
    }
}

#[tonic::async_trait]
impl FollowerService for Follower {
    async fn set_follows(
        &self,
        _: Request<SetFollowsRequest>,
    ) -> Result<Response<SetFollowsResponse>, Status> {
        self.work().await;
        Ok(Response::new(SetFollowsResponse::default()))
    }

    async fn list_follows(
        &self,
        _: Request<ListFollowsRequest>,
    ) -> Result<Response<ListFollowsResponse>, Status> {
        Err(Status::unimplemented("no test calls this"))
    }

    async fn check_follows(
        &self,
        _: Request<CheckFollowsRequest>,
    ) -> Result<Response<CheckFollowsResponse>, Status> {
        self.work().await;
        Ok(Response::new(CheckFollowsResponse::default()))
    }

    async fn count_follows(
        &self,
        _: Request<CountFollowsRequest>,
    ) -> Result<Response<CountFollowsResponse>, Status> {
        Err(Status::unimplemented("no test calls this"))
    }
}

/// A simulated connection of tonic's server.
struct Connection(TcpStream);

impl Connected for Connection {
    type ConnectInfo = ();

    fn connect_info(&self) {}
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}
