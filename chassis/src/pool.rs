//! The resilient channel: one logical connection to a service, however many replicas it has.
//!
//! A [`Pool`] is what a generated client stands on in place of tonic's `Channel`, whose balancer
//! sends calls to replicas that are dead and waits for ever when there is none. The pool looks its
//! targets up every second, keeps one HTTP/2 connection to each replica, asks each for its health
//! and identity, and gives a call to the less busy of two. A call that fails for its replica's sake
//! is repeated on another within a budget; a late read is sent to a second one.
//!
//! Invariants: a replica gets calls only after it has vouched for the service's name; a call ends
//! within its deadline whatever the replicas do; every rpc may be sent more than once, because
//! writes carry a key (all services here promise that); an answer is handed on only when it has
//! arrived in full.

mod budget;
mod call;
mod chance;
mod config;
mod discovery;
mod exchange;
mod latency;
mod link;
mod meter;
mod net;
mod replica;
mod set;
pub(crate) mod timeout;

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

pub use config::{PoolConfig, is_read};
pub use net::{BoxFuture, Connect, Io, Resolve, SystemResolver, TcpConnector};
pub use replica::ReplicaState;
use set::Shared;

/// A service behind all its replicas. Clones share everything; the last one dropped ends its tasks.
#[derive(Clone, Debug)]
pub struct Pool {
    shared: Arc<Shared>,
    _stop: Arc<DropGuard>,
}

/// One replica, for a status page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaStatus {
    /// Its address.
    pub address: SocketAddr,
    /// Where it stands.
    pub state: ReplicaState,
    /// For how long.
    pub since: Duration,
    /// How many attempts it works on for this pool.
    pub in_flight: usize,
    /// Whether a name still lists it.
    pub listed: bool,
    /// The version that it calls itself, once it has been asked.
    pub version: Option<String>,
    /// What 99 of 100 of its answers take at most, once there were enough.
    pub p99: Option<Duration>,
}

impl Pool {
    /// Begins to look for replicas and answers at once; the first calls wait a moment for one.
    ///
    /// Needs a tokio runtime around it.
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

    /// All known replicas, by address.
    pub fn snapshot(&self) -> Vec<ReplicaStatus> {
        let mut replicas: Vec<_> = self
            .shared
            .replicas()
            .iter()
            .map(|replica| ReplicaStatus {
                address: replica.address,
                state: replica.state(),
                since: replica.since(),
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

    /// Always ready: what there is to wait for has the call's deadline.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let pool = self.clone();
        Box::pin(async move {
            // The clone keeps the connections alive until the answer is here.
            let answer = call::call(Arc::clone(&pool.shared), request).await;
            drop(pool);
            answer
        })
    }
}
