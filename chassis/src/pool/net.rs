//! Name resolution and connections of a pool, behind traits that tests replace.

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

/// A boxed future, so that [`Connect`] and [`Resolve`] can be trait objects.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A byte stream that carries one connection.
pub trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// Opens connections. Simulations implement this for a network of their own.
pub trait Connect: Debug + Send + Sync + 'static {
    /// Connects to one address. The pool bounds the time with
    /// [`connect_timeout`](super::PoolConfig::connect_timeout).
    ///
    /// # Errors
    ///
    /// The address cannot be reached.
    fn connect(&self, address: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Io>>>;
}

/// Resolves host names. Simulations and tests implement this for names of their own.
pub trait Resolve: Debug + Send + Sync + 'static {
    /// Resolves a host to all its addresses. The pool bounds the time with
    /// [`connect_timeout`](super::PoolConfig::connect_timeout), and resolves again every
    /// [`resolve_interval`](super::PoolConfig::resolve_interval).
    ///
    /// # Errors
    ///
    /// The host has no address, or the name server does not answer.
    fn resolve<'a>(&'a self, host: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>>;
}

/// Opens TCP connections with `TCP_NODELAY`.
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

/// Resolves names with the name servers of the system (`/etc/resolv.conf`, `/etc/hosts`), without a
/// cache.
///
/// Docker's name server returns a time to live of ten minutes but changes its answers at once, so answers
/// must not be cached. A name is first resolved without the system's search list, because names such as
/// `tasks.message` are complete. The system's configuration is read again after each failure, because a
/// laptop may have changed networks.
#[derive(Clone, Debug, Default)]
pub struct SystemResolver {
    /// The resolver whose last lookup succeeded.
    working: Arc<Mutex<Option<TokioResolver>>>,
}

impl SystemResolver {
    fn working(&self) -> MutexGuard<'_, Option<TokioResolver>> {
        self.working.lock().unwrap_or_else(PoisonError::into_inner)
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
            let working = self.working().take();
            let resolver = working.map_or_else(Self::build, Ok)?;
            let found = resolver.lookup_ip(host).await.map_err(io::Error::other)?;
            *self.working() = Some(resolver);
            Ok(found.iter().collect())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn localhost_resolves_without_a_name_server() {
        let addresses = SystemResolver::default()
            .resolve("localhost")
            .await
            .unwrap();
        assert!(!addresses.is_empty());
        assert!(addresses.iter().all(IpAddr::is_loopback));
    }
}
