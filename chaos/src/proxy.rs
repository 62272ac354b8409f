//! A TCP proxy that can be slow, deaf, or cut: a network on demand.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use minitwit_postgres::free_port;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{mpsc, watch},
    time::{Instant, sleep_until},
};
use tokio_util::sync::{CancellationToken, DropGuard};

/// What the network does at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weather {
    /// Everything goes through at once.
    Fair,
    /// Everything takes so much longer, in each direction.
    Slow(Duration),
    /// Nothing gets through, and nobody is told; it is delivered when the weather is fair again.
    Held,
    /// Every connection is reset, and new ones are as soon as they are made.
    Cut,
}

/// A proxy in front of one address; it ends when this is dropped.
#[derive(Debug)]
pub struct Proxy {
    /// Where to connect instead.
    pub address: SocketAddr,
    weather: watch::Sender<Weather>,
    _stop: DropGuard,
}

impl Proxy {
    /// A proxy with fair weather in front of `target`.
    pub async fn start(target: SocketAddr) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, free_port()?)).await?;
        let address = listener.local_addr()?;
        let (weather, seen) = watch::channel(Weather::Fair);
        let stop = CancellationToken::new();
        let accepting = accept(listener, target, seen, stop.clone());
        tokio::spawn(stop.clone().run_until_cancelled_owned(accepting));
        Ok(Self {
            address,
            weather,
            _stop: stop.drop_guard(),
        })
    }

    /// Changes the weather, for connections that are open as well.
    pub fn set(&self, weather: Weather) {
        self.weather.send_replace(weather);
    }
}

async fn accept(
    listener: TcpListener,
    target: SocketAddr,
    weather: watch::Receiver<Weather>,
    stop: CancellationToken,
) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        let pass = pass(stream, target, weather.clone());
        tokio::spawn(stop.clone().run_until_cancelled_owned(pass));
    }
}

async fn pass(client: TcpStream, target: SocketAddr, mut weather: watch::Receiver<Weather>) {
    if *weather.borrow_and_update() == Weather::Cut {
        return;
    }
    let Ok(server) = TcpStream::connect(target).await else {
        return;
    };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (client_in, client_out) = client.into_split();
    let (server_in, server_out) = server.into_split();
    let there = carry(client_in, server_out, weather.clone());
    let back = carry(server_in, client_out, weather.clone());
    tokio::select! {
        // One direction may end before the other: what is on its way still arrives.
        ((), ()) = async { tokio::join!(there, back) } => {}
        _ = weather.wait_for(|weather| *weather == Weather::Cut) => {}
    }
}

/// Carries one direction: what is read is stamped with its time of arrival, and written when due.
async fn carry(
    mut from: impl AsyncReadExt + Unpin,
    mut to: impl AsyncWriteExt + Unpin,
    mut weather: watch::Receiver<Weather>,
) {
    let (sender, mut queue) = mpsc::channel::<(Instant, Vec<u8>)>(64);
    let seen = weather.clone();
    let read = async move {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(count @ 1..) = from.read(&mut buffer).await {
            let delay = match *seen.borrow() {
                Weather::Slow(delay) => delay,
                Weather::Fair | Weather::Held | Weather::Cut => Duration::ZERO,
            };
            if sender
                .send((Instant::now() + delay, buffer[..count].to_vec()))
                .await
                .is_err()
            {
                return;
            }
        }
    };
    let write = async move {
        while let Some((due, bytes)) = queue.recv().await {
            sleep_until(due).await;
            // The guard of what is seen must not be held while something is written.
            let passes = weather
                .wait_for(|weather| *weather != Weather::Held)
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
