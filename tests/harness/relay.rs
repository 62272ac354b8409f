//! A wire that can be cut, and an address that stands for several.

use std::net::SocketAddr;

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
};
use tokio_util::sync::{CancellationToken, DropGuard};

/// Passes each connection on to the next of its targets, for as long as it is kept.
pub struct Relay {
    pub address: SocketAddr,
    stop: DropGuard,
}

impl Relay {
    pub async fn to<const N: usize>(targets: [SocketAddr; N]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let accept = pass_on(listener, targets.to_vec(), stop.clone());
        tokio::spawn(stop.clone().run_until_cancelled_owned(accept));
        let stop = stop.drop_guard();
        Self { address, stop }
    }

    /// Breaks every connection and takes no more.
    pub fn cut(self) {
        drop(self.stop);
    }
}

async fn pass_on(listener: TcpListener, targets: Vec<SocketAddr>, stop: CancellationToken) {
    for target in targets.into_iter().cycle() {
        let (mut near, _) = listener.accept().await.unwrap();
        let passed = async move {
            // Either end may hang up whenever it likes.
            if let Ok(mut far) = TcpStream::connect(target).await {
                let _ = copy_bidirectional(&mut near, &mut far).await;
            }
        };
        tokio::spawn(stop.clone().run_until_cancelled_owned(passed));
    }
}
