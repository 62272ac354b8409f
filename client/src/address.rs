//! Address of a running suite, given as one option on the command line.

use std::{fmt, str::FromStr};

use clap::Args;

use crate::{PerService, Pools};

/// Default ports of the services.
const PORTS: PerService<u16> = PerService {
    user: 5011,
    follower: 5012,
    message: 5013,
};

/// Placeholder for the name of a service in a pattern.
const PLACEHOLDER: &str = "{}";

/// Option that selects the suite a tool calls.
#[derive(Args, Clone, Debug)]
pub struct SuiteArgs {
    /// Address of the suite, which is a host if all services run in one process, a pattern such as
    /// `tasks.{}` in a Swarm, or the three addresses USER,FOLLOWER,MESSAGE
    #[arg(
        long,
        env,
        global = true,
        default_value = "127.0.0.1",
        value_name = "WHERE",
        help_heading = "Suite"
    )]
    pub suite: SuiteAddress,
}

/// Address of each service of a suite, in the form `host:port`.
pub type SuiteAddress = PerService<String>;

/// Error for a text that is not the address of a suite.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BadAddress {
    /// The host is empty.
    NoHost(String),
    /// The port is not a number from 0 to 65535.
    BadPort(String),
    /// The services use three consecutive ports, and the last of them would be above 65535.
    PortTooLarge(String),
    /// The number of addresses is neither one nor three.
    WrongCount(usize),
}

impl fmt::Display for BadAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoHost(text) => write!(formatter, "{text:?} names no host"),
            Self::BadPort(text) => write!(formatter, "{text:?} has no valid port"),
            Self::PortTooLarge(text) => {
                write!(formatter, "{text:?} leaves no room for three ports")
            }
            Self::WrongCount(count) => write!(
                formatter,
                "a suite is a host, a pattern such as tasks.{PLACEHOLDER}, or three addresses \
                 USER,FOLLOWER,MESSAGE, not {count}"
            ),
        }
    }
}

impl std::error::Error for BadAddress {}

impl SuiteAddress {
    /// Opens a connection pool for each service. The pools connect in the background.
    ///
    /// Must be called from within a tokio runtime.
    pub fn pools(&self) -> Pools {
        Pools::connect(self.as_ref().map(|address| [address.as_str()]))
    }
}

impl FromStr for SuiteAddress {
    type Err = BadAddress;

    /// Parses a host with an optional port, a pattern of hosts, or three addresses. A port that follows
    /// a single host belongs to the user service, and the other services use the next two ports.
    fn from_str(text: &str) -> Result<Self, BadAddress> {
        let parts: Vec<&str> = text.split(',').map(str::trim).collect();
        match parts.as_slice() {
            [pattern] if pattern.contains(PLACEHOLDER) => {
                PerService::from_name(|name| pattern.replace(PLACEHOLDER, name))
                    .zip(PORTS)
                    .map(|(host, port)| with_port(&host, port))
                    .transpose()
            }
            [host] => consecutive(host),
            [user, follower, message] => {
                let addresses = PerService {
                    user: *user,
                    follower: *follower,
                    message: *message,
                };
                addresses
                    .zip(PORTS)
                    .map(|(address, port)| with_port(address, port))
                    .transpose()
            }
            _ => Err(BadAddress::WrongCount(parts.len())),
        }
    }
}

impl fmt::Display for SuiteAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{},{},{}",
            self.user, self.follower, self.message
        )
    }
}

/// Addresses of services that use consecutive ports of one host.
fn consecutive(text: &str) -> Result<SuiteAddress, BadAddress> {
    let (host, given) = split_port(text)?;
    let first = given.unwrap_or(PORTS.user);
    PORTS
        .map(|port| {
            let port = first.checked_add(port - PORTS.user);
            let port = port.ok_or_else(|| BadAddress::PortTooLarge(text.to_owned()))?;
            Ok(format!("{host}:{port}"))
        })
        .transpose()
}

/// Completes an address with `port` if it has no port of its own.
fn with_port(text: &str, port: u16) -> Result<String, BadAddress> {
    let (host, given) = split_port(text)?;
    Ok(format!("{host}:{}", given.unwrap_or(port)))
}

/// Splits an address into the host, in the form that precedes a port, and the port.
fn split_port(text: &str) -> Result<(String, Option<u16>), BadAddress> {
    // The colons of an IPv6 address without brackets do not separate a port.
    if text.parse::<std::net::Ipv6Addr>().is_ok() {
        return Ok((format!("[{text}]"), None));
    }
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !text.ends_with(']') => (host, Some(port)),
        _ => (text, None),
    };
    if host.is_empty() {
        return Err(BadAddress::NoHost(text.to_owned()));
    }
    let number = |port: &str| {
        port.parse::<u16>()
            .map_err(|_| BadAddress::BadPort(text.to_owned()))
    };
    Ok((host.to_owned(), port.map(number).transpose()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn services(text: &str) -> [String; 3] {
        let SuiteAddress {
            user,
            follower,
            message,
        } = text.parse().unwrap();
        [user, follower, message]
    }

    #[test]
    fn one_value_gives_the_address_of_each_service() {
        assert_eq!(
            services("127.0.0.1"),
            ["127.0.0.1:5011", "127.0.0.1:5012", "127.0.0.1:5013"]
        );
        assert_eq!(
            services("example.org:7000"),
            ["example.org:7000", "example.org:7001", "example.org:7002"]
        );
        assert_eq!(
            services("tasks.{}"),
            [
                "tasks.user:5011",
                "tasks.follower:5012",
                "tasks.message:5013"
            ]
        );
        assert_eq!(services("{}:1"), ["user:1", "follower:1", "message:1"]);
        assert_eq!(services("a:1, b,c:3"), ["a:1", "b:5012", "c:3"]);
        assert_eq!(services("::1"), ["[::1]:5011", "[::1]:5012", "[::1]:5013"]);
        assert_eq!(services("[::1]:8"), ["[::1]:8", "[::1]:9", "[::1]:10"]);
    }

    #[test]
    fn a_bad_address_is_refused_with_the_reason() {
        for (text, expected) in [
            ("a,b", "not 2"),
            ("", "names no host"),
            ("a:b", "no valid port"),
            ("a:65535", "no room"),
        ] {
            let error = text.parse::<SuiteAddress>().unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
