//! A TCP proxy that simulates faults of a network.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{mpsc, watch},
    time::{Instant, sleep_until},
};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::free_address;

/// State of the network between a proxy and its target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NetworkFault {
    /// All bytes are forwarded without delay.
    None,
    /// All bytes are delayed by this time, in each direction.
    Delay(Duration),
    /// No bytes pass until the fault ends. Connections stay open.
    Blocked,
}

/// A proxy for one target address. Dropping it stops the proxy.
#[derive(Debug)]
pub(crate) struct Proxy {
    /// Address of the proxy.
    pub(crate) address: SocketAddr,
    fault: watch::Sender<NetworkFault>,
    _stop: DropGuard,
}

impl Proxy {
    /// Starts a proxy without a fault.
    pub(super) async fn start(target: SocketAddr) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(free_address()?).await?;
        let address = listener.local_addr()?;
        let (fault, receiver) = watch::channel(NetworkFault::None);
        let stop = CancellationToken::new();
        let accepting = accept(listener, target, receiver, stop.clone());
        tokio::spawn(stop.clone().run_until_cancelled_owned(accepting));
        Ok(Self {
            address,
            fault,
            _stop: stop.drop_guard(),
        })
    }

    /// Changes the fault, also for open connections.
    pub(crate) fn set(&self, fault: NetworkFault) {
        self.fault.send_replace(fault);
    }
}

async fn accept(
    listener: TcpListener,
    target: SocketAddr,
    fault: watch::Receiver<NetworkFault>,
    stop: CancellationToken,
) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        let forwarding = forward(stream, target, fault.clone());
        tokio::spawn(stop.clone().run_until_cancelled_owned(forwarding));
    }
}

async fn forward(client: TcpStream, target: SocketAddr, fault: watch::Receiver<NetworkFault>) {
    let Ok(server) = TcpStream::connect(target).await else {
        return;
    };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (client_in, client_out) = client.into_split();
    let (server_in, server_out) = server.into_split();
    let requests = copy(client_in, server_out, fault.clone());
    let responses = copy(server_in, client_out, fault);
    // If one direction is closed first, the other direction is still forwarded to its end.
    tokio::join!(requests, responses);
}

/// Copies one direction. Each piece is written when its delay has passed.
async fn copy(
    mut from: impl AsyncReadExt + Unpin,
    mut to: impl AsyncWriteExt + Unpin,
    mut fault: watch::Receiver<NetworkFault>,
) {
    let (sender, mut queue) = mpsc::channel::<(Instant, Vec<u8>)>(64);
    let fault_of_reader = fault.clone();
    let read = async move {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(count @ 1..) = from.read(&mut buffer).await {
            let delay = match *fault_of_reader.borrow() {
                NetworkFault::Delay(delay) => delay,
                NetworkFault::None | NetworkFault::Blocked => Duration::ZERO,
            };
            let piece = (Instant::now() + delay, buffer[..count].to_vec());
            if sender.send(piece).await.is_err() {
                return;
            }
        }
    };
    let write = async move {
        while let Some((due, bytes)) = queue.recv().await {
            sleep_until(due).await;
            // The guard of the watched value must not be held during a write.
            let passes = fault
                .wait_for(|fault| *fault != NetworkFault::Blocked)
                .await
                .is_ok();
            if !passes || to.write_all(&bytes).await.is_err() {
                return;
            }
        }
        let _ = to.shutdown().await;
    };
    tokio::join!(read, write);
}
