//! Relay of TCP connections, which can be interrupted, and which can stand for several addresses.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
};
use tokio_util::sync::{CancellationToken, DropGuard};

/// Relays each connection to the next of its targets, until it is dropped.
pub struct Relay {
    pub address: SocketAddr,
    connections: Arc<Connections>,
    _stop: DropGuard,
}

/// Tokens that end the connections.
struct Connections {
    /// Cancelled when the relay is dropped.
    stop: CancellationToken,
    /// Cancelled while the relay is paused.
    current: Mutex<CancellationToken>,
}

impl Connections {
    fn token(&self) -> MutexGuard<'_, CancellationToken> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Relay {
    pub async fn to<const N: usize>(targets: [SocketAddr; N]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let connections = Arc::new(Connections {
            current: Mutex::new(stop.child_token()),
            stop: stop.clone(),
        });
        let accept = accept(listener, targets.to_vec(), Arc::clone(&connections));
        tokio::spawn(stop.clone().run_until_cancelled_owned(accept));
        Self {
            address,
            connections,
            _stop: stop.drop_guard(),
        }
    }

    /// Breaks all connections and stops listening.
    pub fn cut(self) {
        self.pause();
    }

    /// Breaks all connections. Closes new connections at once, until [`resume`](Self::resume).
    pub fn pause(&self) {
        self.connections.token().cancel();
    }

    /// Relays new connections again.
    pub fn resume(&self) {
        *self.connections.token() = self.connections.stop.child_token();
    }
}

async fn accept(listener: TcpListener, targets: Vec<SocketAddr>, connections: Arc<Connections>) {
    for target in targets.into_iter().cycle() {
        let (mut near, _) = listener.accept().await.unwrap();
        let relayed = async move {
            // Either end may close the connection at any time.
            if let Ok(mut far) = TcpStream::connect(target).await {
                let _ = copy_bidirectional(&mut near, &mut far).await;
            }
        };
        let token = connections.token().clone();
        tokio::spawn(token.run_until_cancelled_owned(relayed));
    }
}
