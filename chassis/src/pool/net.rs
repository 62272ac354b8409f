//! Where a pool touches the network: names and connections, both replaceable.

use std::{
    fmt::Debug,
    future::Future,
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use hickory_resolver::{
    TokioResolver,
    config::{LookupIpStrategy, ResolveHosts},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};

/// A future in a box, so that the traits here can be trait objects.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What a connection is made of.
pub trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// Opens connections; a simulated network has its own.
pub trait Connect: Debug + Send + Sync + 'static {
    /// Connects to one address. The pool limits the time.
    fn connect(&self, address: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Io>>>;
}

/// Looks names up; a simulated network and tests have their own.
pub trait Resolve: Debug + Send + Sync + 'static {
    /// All addresses of a host. The pool limits the time and asks again every second.
    fn resolve<'a>(&'a self, host: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>>;
}

/// TCP without Nagle's delay.
#[derive(Clone, Copy, Debug, Default)]
pub struct TcpConnector;

impl Connect for TcpConnector {
    fn connect(&self, address: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Io>>> {
        Box::pin(async move {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            Ok(Box::new(stream) as Box<dyn Io>)
        })
    }
}

/// The system's name servers (`/etc/resolv.conf`, `/etc/hosts`) without any cache.
///
/// Docker's name server promises ten minutes and changes its answers at once, so nothing may be
/// remembered. A name is first tried as it stands and only then with the system's search list:
/// `tasks.message` is complete. What was read from the system is used again only after a good
/// answer, because a laptop changes networks.
#[derive(Clone, Debug, Default)]
pub struct SystemResolver {
    proven: Arc<Mutex<Option<TokioResolver>>>,
}

impl SystemResolver {
    fn proven(&self) -> MutexGuard<'_, Option<TokioResolver>> {
        self.proven.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn build() -> io::Result<TokioResolver> {
        let mut builder = TokioResolver::builder_tokio().map_err(io::Error::other)?;
        let options = builder.options_mut();
        options.cache_size = 0;
        options.ndots = 0;
        options.attempts = 1;
        options.timeout = Duration::from_millis(500);
        options.ip_strategy = LookupIpStrategy::Ipv4thenIpv6;
        options.use_hosts_file = ResolveHosts::Always;
        builder.build().map_err(io::Error::other)
    }
}

impl Resolve for SystemResolver {
    fn resolve<'a>(&'a self, host: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        Box::pin(async move {
            let taken = self.proven().take();
            let resolver = taken.map_or_else(Self::build, Ok)?;
            let found = resolver.lookup_ip(host).await.map_err(io::Error::other)?;
            *self.proven() = Some(resolver);
            Ok(found.iter().collect())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn localhost_needs_no_name_server() {
        let addresses = SystemResolver::default()
            .resolve("localhost")
            .await
            .unwrap();
        assert!(!addresses.is_empty());
        assert!(addresses.iter().all(IpAddr::is_loopback));
    }
}
