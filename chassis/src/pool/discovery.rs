//! Discovery of replicas through DNS. Names add replicas, and only failed health checks remove them.

use std::{io, net::SocketAddr, sync::Arc};

use futures_util::future::join_all;
use tokio::time::{sleep, timeout};

use super::{connection, set::Shared};

/// One configured target.
#[derive(Debug)]
enum Target {
    /// An IP address and port, which need no resolution.
    Address(SocketAddr),
    /// A host name and port.
    Name(Name),
}

/// A host name, and the addresses of its last successful resolution.
#[derive(Debug)]
struct Name {
    host: String,
    port: u16,
    /// Addresses of the last successful resolution. They stay in use while the name server is unavailable
    /// or denies the name, because after a network partition Docker's name server does so for a while
    /// although the replicas work.
    last_good: Vec<SocketAddr>,
    /// Whether the last resolution failed.
    failing: bool,
}

/// Resolves the targets periodically, until the pool is dropped.
pub(super) async fn discover(shared: Arc<Shared>) {
    let mut targets: Vec<_> = shared
        .config
        .targets
        .iter()
        .filter_map(|target| {
            let parsed = Target::parse(target);
            if parsed.is_none() {
                tracing::error!(target, "a target is ignored: not of the form host:port");
            }
            parsed
        })
        .collect();
    loop {
        let listed = join_all(targets.iter_mut().map(|target| target.resolve(&shared))).await;
        for replica in shared.update(&listed.concat()) {
            tokio::spawn(connection::maintain(Arc::clone(&shared), replica));
        }
        sleep(shared.config.resolve_interval).await;
    }
}

impl Target {
    fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if let Ok(address) = text.parse() {
            return Some(Self::Address(address));
        }
        let (host, port) = text.rsplit_once(':')?;
        (!host.is_empty() && !host.contains(':')).then_some(())?;
        Some(Self::Name(Name {
            host: host.to_owned(),
            port: port.parse().ok()?,
            last_good: Vec::new(),
            failing: false,
        }))
    }

    /// Resolves the target. Returns the last known addresses if that fails.
    async fn resolve(&mut self, shared: &Shared) -> Vec<SocketAddr> {
        let name = match self {
            Self::Address(address) => return vec![*address],
            Self::Name(name) => name,
        };
        let lookup = shared.config.resolver.resolve(&name.host);
        let result = match timeout(shared.config.connect_timeout, lookup).await {
            Ok(Ok(addresses)) if addresses.is_empty() => Err(io::Error::other("no address")),
            Ok(result) => result,
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        };
        let service = shared.meter.service();
        match result {
            Ok(addresses) => {
                if name.failing {
                    tracing::info!(service, host = name.host, "a name resolves again");
                }
                name.failing = false;
                name.last_good = addresses
                    .into_iter()
                    .map(|address| SocketAddr::new(address, name.port))
                    .collect();
            }
            Err(error) => {
                if !name.failing {
                    tracing::warn!(
                        service, host = name.host, %error,
                        "a name cannot be resolved: its last addresses stay in use",
                    );
                }
                name.failing = true;
            }
        }
        name.last_good.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_an_address_or_a_name_and_a_port() {
        let name = |text| match Target::parse(text) {
            Some(Target::Name(name)) => Some((name.host, name.port)),
            _ => None,
        };
        assert_eq!(
            name("tasks.message:5021"),
            Some(("tasks.message".into(), 5021))
        );
        for address in ["127.0.0.1:80", "[::1]:80"] {
            assert!(matches!(Target::parse(address), Some(Target::Address(_))));
        }
        for invalid in ["", "host", "host:", ":80", "host:http", "::1:80"] {
            assert!(Target::parse(invalid).is_none(), "{invalid:?}");
        }
    }
}
