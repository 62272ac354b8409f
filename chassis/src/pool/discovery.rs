//! Names add replicas, health removes them.

use std::{io, net::SocketAddr, sync::Arc};

use futures_util::future::join_all;
use tokio::time::{sleep, timeout};

use super::set::Shared;

/// One of the configured places to look.
#[derive(Debug)]
enum Target {
    /// An address needs no name server.
    Address(SocketAddr),
    Name(Name),
}

/// A host and what it stood for when it was last found.
#[derive(Debug)]
struct Name {
    host: String,
    port: u16,
    /// Kept while the name server is away or denies the name: after a network partition Docker's
    /// does so for a while although the replicas are well.
    last_good: Vec<SocketAddr>,
    failing: bool,
}

/// Looks the targets up until the pool is dropped.
pub(super) async fn discover(shared: Arc<Shared>) {
    let mut targets: Vec<_> = shared
        .config
        .targets
        .iter()
        .filter_map(|target| {
            let parsed = Target::parse(target);
            if parsed.is_none() {
                tracing::error!(target, "a target is not of the form host:port");
            }
            parsed
        })
        .collect();
    loop {
        let listed = join_all(targets.iter_mut().map(|target| target.look_up(&shared))).await;
        shared.update(&listed.concat());
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

    async fn look_up(&mut self, shared: &Shared) -> Vec<SocketAddr> {
        let name = match self {
            Self::Address(address) => return vec![*address],
            Self::Name(name) => name,
        };
        let lookup = shared.config.resolver.resolve(&name.host);
        let found = match timeout(shared.config.connect_timeout, lookup).await {
            Ok(Ok(addresses)) if addresses.is_empty() => Err(io::Error::other("no address")),
            Ok(found) => found,
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        };
        let service = shared.meter.service();
        match found {
            Ok(addresses) => {
                if name.failing {
                    tracing::info!(service, host = name.host, "a name is found again");
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
                        "a name cannot be looked up; its last addresses are kept",
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
        for nonsense in ["", "host", "host:", ":80", "host:http", "::1:80"] {
            assert!(Target::parse(nonsense).is_none(), "{nonsense:?}");
        }
    }
}
