//! The resilient channel. It is one logical connection to all replicas of a service.
//!
//! Generated clients use a [`Pool`] in place of tonic's `Channel`. The balancer of `Channel` sends
//! calls to stopped replicas, and waits without limit when there is no replica.
//!
//! The pool resolves its targets every second and keeps one HTTP/2 connection to each replica. It checks
//! the health and the service name of each replica. A call goes to the less busy of two random replicas
//! (Envoy calls this "power of two choices"). A call that fails because of its replica is retried on
//! another replica, within a retry budget. A slow read is also sent to a second replica (a hedge, gRFC
//! A6).
//!
//! Invariants:
//!
//! - A replica gets calls only after its health service has confirmed the service name.
//! - A call ends within its deadline, whatever the replicas do.
//! - Every rpc may be sent more than once. This is safe because all writes of all services carry an
//!   idempotency key.
//! - The caller gets an answer only when the answer has arrived completely.

mod budget;
mod call;
mod config;
mod connection;
mod discovery;
mod exchange;
mod latency;
mod meter;
mod net;
mod replica;
mod set;
mod shared_rng;

use std::{
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use http::{Request, Response};
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::{Status, body::Body};
use tower_service::Service;

pub use config::PoolConfig;
pub use net::{BoxFuture, Connect, Io, Resolve, SystemResolver, TcpConnector};
pub use replica::ReplicaState;
use set::Shared;

/// A channel to all replicas of one service. Clones share the connections. The tasks of the pool end when
/// its last clone is dropped.
#[derive(Clone, Debug)]
pub struct Pool {
    shared: Arc<Shared>,
    _stop: Arc<DropGuard>,
}

/// State of one replica, for a status page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaStatus {
    /// Address of the replica.
    pub address: SocketAddr,
    /// State of the replica.
    pub state: ReplicaState,
    /// Time since the replica entered its state.
    pub state_age: Duration,
    /// Attempts of this pool that the replica has not answered yet.
    pub in_flight: usize,
    /// Whether the name of a target still resolves to the address.
    pub listed: bool,
    /// Version that the replica reported. `None` before the first health check.
    pub version: Option<String>,
    /// 99th percentile of its recent latencies. `None` until enough answers were measured.
    pub p99: Option<Duration>,
}

impl Pool {
    /// Creates a pool and starts its tasks. Does not wait for a replica, so the first calls may have to
    /// wait for one.
    ///
    /// # Panics
    ///
    /// There is no current tokio runtime.
    pub fn connect(config: PoolConfig) -> Self {
        let stop = CancellationToken::new();
        let shared = Arc::new(Shared::new(config, stop.clone()));
        let discovery = discovery::discover(Arc::clone(&shared));
        tokio::spawn(stop.clone().run_until_cancelled_owned(discovery));
        Self {
            shared,
            _stop: Arc::new(stop.drop_guard()),
        }
    }

    /// All known replicas, sorted by address.
    pub fn replicas(&self) -> Vec<ReplicaStatus> {
        let mut replicas: Vec<_> = self
            .shared
            .replicas()
            .iter()
            .map(|replica| ReplicaStatus {
                address: replica.address,
                state: replica.state(),
                state_age: replica.state_age(),
                in_flight: replica.in_flight(),
                listed: replica.is_listed(),
                version: replica.version(),
                p99: replica.latency.p99(),
            })
            .collect();
        replicas.sort_by_key(|replica| replica.address);
        replicas
    }
}

impl Service<Request<Body>> for Pool {
    type Response = Response<Body>;
    type Error = Status;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Status>> + Send>>;

    /// Always ready, because waiting for a replica is part of the call and bounded by its deadline.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let pool = self.clone();
        Box::pin(async move {
            // The clone keeps the connections alive until the answer has arrived.
            let answer = call::call(Arc::clone(&pool.shared), request).await;
            drop(pool);
            answer
        })
    }
}
