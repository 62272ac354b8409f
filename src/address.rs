//! Where a running suite is, for the tools that talk to one: one option, one value.

use std::{fmt, str::FromStr};

use chassis::pool::{Pool, PoolConfig};
use clap::Args;
use minitwit_gateway::backend::Pools;
use minitwit_proto::{
    follower::v1::follower_service_server, message::v1::message_service_server,
    user::v1::user_service_server,
};

/// The services, each with the port that it has unless told otherwise.
const SERVICES: [(&str, u16); 3] = [("user", 5011), ("follower", 5012), ("message", 5013)];

/// What stands for a service's name in a pattern.
const NAME: &str = "{}";

/// Which suite a tool talks to.
#[derive(Args, Clone, Debug)]
pub struct SuiteArgs {
    /// The suite to talk to: a host for one in one process, a pattern such as `tasks.{}` for one in a
    /// Swarm, or the addresses USER,FOLLOWER,MESSAGE
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

/// The addresses of a suite's services, each `host:port`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SuiteAddress {
    /// The user service.
    pub user: String,
    /// The follower service.
    pub follower: String,
    /// The message service.
    pub message: String,
}

impl SuiteAddress {
    /// Opens a channel to each service; connections are made in the background.
    pub fn pools(&self) -> Pools {
        let pool = |service, address: &str| Pool::connect(PoolConfig::new(service, [address]));
        Pools {
            user: pool(user_service_server::SERVICE_NAME, &self.user),
            follower: pool(follower_service_server::SERVICE_NAME, &self.follower),
            message: pool(message_service_server::SERVICE_NAME, &self.message),
        }
    }
}

impl From<crate::ServiceListen> for SuiteAddress {
    fn from(listen: crate::ServiceListen) -> Self {
        Self {
            user: listen.user.to_string(),
            follower: listen.follower.to_string(),
            message: listen.message.to_string(),
        }
    }
}

impl FromStr for SuiteAddress {
    type Err = String;

    /// Reads a host, perhaps with the first of three ports in a row; a pattern of hosts; or three
    /// addresses.
    fn from_str(text: &str) -> Result<Self, String> {
        let parts: Vec<&str> = text.split(',').map(str::trim).collect();
        let [user, follower, message] = match parts.as_slice() {
            [one] if one.contains(NAME) => {
                SERVICES.map(|(name, port)| address(&one.replace(NAME, name), port))
            }
            [one] => {
                let (host, first) = split_port(one)?;
                let of = |place: u16| {
                    let port = first.map_or(Some(SERVICES[usize::from(place)].1), |first| {
                        first.checked_add(place)
                    });
                    let port =
                        port.ok_or_else(|| format!("{one:?} leaves no room for three ports"));
                    Ok(format!("{host}:{}", port?))
                };
                [of(0), of(1), of(2)]
            }
            [user, follower, message] => [
                address(user, SERVICES[0].1),
                address(follower, SERVICES[1].1),
                address(message, SERVICES[2].1),
            ],
            _ => {
                return Err(format!(
                    "a suite is a host, a pattern such as tasks.{NAME}, or three addresses \
                     USER,FOLLOWER,MESSAGE, not {}",
                    parts.len()
                ));
            }
        };
        Ok(Self {
            user: user?,
            follower: follower?,
            message: message?,
        })
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

fn address(text: &str, port: u16) -> Result<String, String> {
    let (host, given) = split_port(text)?;
    Ok(format!("{host}:{}", given.unwrap_or(port)))
}

/// The host as it stands before a port, and the port.
fn split_port(text: &str) -> Result<(String, Option<u16>), String> {
    // An IPv6 address without brackets has colons of its own.
    if text.parse::<std::net::Ipv6Addr>().is_ok() {
        return Ok((format!("[{text}]"), None));
    }
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !text.ends_with(']') => (host, Some(port)),
        _ => (text, None),
    };
    if host.is_empty() {
        return Err(format!("{text:?} names no host"));
    }
    let number = |port: &str| {
        port.parse::<u16>()
            .map_err(|_| format!("{text:?} has no valid port"))
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
    fn one_value_names_a_suite_wherever_it_is() {
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
    fn what_names_no_suite_is_refused_with_what_is_wrong() {
        for (text, expected) in [
            ("a,b", "not 2"),
            ("", "names no host"),
            ("a:b", "no valid port"),
            ("a:65535", "no room"),
        ] {
            let error = text.parse::<SuiteAddress>().unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }
}
