//! The gateway's options, shared by its own process and the suite.

use std::{net::SocketAddr, path::PathBuf};

use chassis::args::secret;
use clap::Args;
use http::Uri;
use ipnet::IpNet;
use minitwit_client::{PerService, Pools};
use secrecy::SecretString;

use crate::{
    credentials::Credentials,
    pages::{PageOptions, avatar::Avatars},
    session::CookieKeys,
};

/// The course's own credentials of its simulator.
const COURSE_CREDENTIALS: &str = "simulator:super_safe!";

/// Where the gateway listens.
#[derive(Args, Clone, Copy, Debug)]
pub struct ListenArgs {
    /// Where the pages listen
    #[arg(long, env, default_value = "127.0.0.1:5000", value_name = "ADDRESS")]
    pub listen_pages: SocketAddr,
    /// Where the simulator's API listens
    #[arg(long, env, default_value = "127.0.0.1:5001", value_name = "ADDRESS")]
    pub listen_api: SocketAddr,
    /// Where metrics and health listen
    #[arg(long, env, default_value = "127.0.0.1:5009", value_name = "ADDRESS")]
    pub listen_admin: SocketAddr,
}

/// Where the services are: each a list of `host:port`, a name standing for all its addresses.
#[derive(Args, Clone, Debug)]
pub struct ServiceAddressArgs {
    /// Where the user service is: host:port, several separated by commas
    #[arg(
        long,
        env,
        default_value = "127.0.0.1:5011",
        value_delimiter = ',',
        value_name = "LIST"
    )]
    pub user_service: Vec<String>,
    /// Where the follower service is
    #[arg(
        long,
        env,
        default_value = "127.0.0.1:5012",
        value_delimiter = ',',
        value_name = "LIST"
    )]
    pub follower_service: Vec<String>,
    /// Where the message service is
    #[arg(
        long,
        env,
        default_value = "127.0.0.1:5013",
        value_delimiter = ',',
        value_name = "LIST"
    )]
    pub message_service: Vec<String>,
}

impl ServiceAddressArgs {
    /// Opens a channel to each service; connections are made in the background.
    pub fn pools(&self) -> Pools {
        Pools::connect(PerService {
            user: &self.user_service,
            follower: &self.follower_service,
            message: &self.message_service,
        })
    }
}

/// Whom the gateway believes what.
#[derive(Args, Clone, Debug)]
pub struct TrustArgs {
    /// Who may use the simulator's API: a list of `name:password` [default: the course's]
    #[arg(long, env, hide_env_values = true, value_name = "LIST")]
    pub simulator_credentials: Option<SecretString>,
    /// A file that holds the list
    #[arg(long, env, value_name = "FILE")]
    pub simulator_credentials_file: Option<PathBuf>,
    /// Proxies whose X-Request-Id, X-Request-Start and X-Forwarded-For are believed: addresses or
    /// networks such as 10.0.0.0/8
    #[arg(long, env, value_delimiter = ',', value_parser = parse_network, value_name = "LIST")]
    pub trusted_proxies: Vec<IpNet>,
    /// How many bytes of rendered answers are kept to be validated instead of made again
    #[arg(long, env, default_value_t = 64 << 20, value_name = "BYTES")]
    pub rendered_bytes_max: u64,
    /// How long a request of the API may take before it is answered 504, in milliseconds
    #[arg(long, env, default_value_t = 250, value_name = "MS")]
    pub api_budget_ms: u64,
    /// How many requests of the API may be under way, reads at most three quarters of them, and a
    /// quarter as many of the pages; the next one is refused at once
    #[arg(long, env, default_value_t = crate::REQUESTS_MAX, value_name = "N")]
    pub requests_max: usize,
}

impl TrustArgs {
    /// Who may use the simulator's API.
    ///
    /// # Errors
    ///
    /// The list is given twice, cannot be read, or is not valid.
    pub fn credentials(&self) -> anyhow::Result<Credentials> {
        let given = secret(
            "SIMULATOR_CREDENTIALS",
            self.simulator_credentials.as_ref(),
            self.simulator_credentials_file.as_ref(),
        )?;
        Credentials::parse(&given.unwrap_or_else(|| COURSE_CREDENTIALS.into()))
    }
}

/// How the pages behave.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Pages")]
pub struct PageArgs {
    /// What cookies are signed with: a list of keys, the first one signs, all of them verify
    /// [default: a random key]
    #[arg(long, env, hide_env_values = true, value_name = "LIST")]
    pub cookie_keys: Option<SecretString>,
    /// A file that holds the list
    #[arg(long, env, value_name = "FILE")]
    pub cookie_keys_file: Option<PathBuf>,
    /// Where pictures of people come from
    #[arg(long, env, value_enum, default_value_t, value_name = "SOURCE")]
    pub avatars: Avatars,
    /// Where Prometheus is, such as `http://prometheus:9090`: the status page shows the error budget
    /// that it has recorded
    #[arg(long, env, value_parser = parse_prometheus, value_name = "URL")]
    pub prometheus_url: Option<Uri>,
}

impl PageArgs {
    /// How the pages behave.
    ///
    /// # Errors
    ///
    /// The keys are given twice, cannot be read, or are not valid.
    pub fn options(&self) -> anyhow::Result<PageOptions> {
        let (keys, file) = (self.cookie_keys.as_ref(), self.cookie_keys_file.as_ref());
        let cookie_keys = if let Some(list) = secret("COOKIE_KEYS", keys, file)? {
            CookieKeys::parse(&list)?
        } else {
            tracing::warn!("no COOKIE_KEYS: a restart signs everybody out, and replicas disagree");
            CookieKeys::default()
        };
        Ok(PageOptions {
            cookie_keys,
            avatars: self.avatars,
        })
    }
}

fn parse_prometheus(text: &str) -> Result<Uri, String> {
    let url: Uri = text.parse().map_err(|error| format!("{error}"))?;
    match (url.scheme_str(), url.host()) {
        (Some("http"), Some(_)) => Ok(url),
        _ => Err(format!("{text:?} is not like http://prometheus:9090")),
    }
}

fn parse_network(text: &str) -> Result<IpNet, String> {
    let text = text.trim();
    text.parse::<IpNet>()
        .or_else(|_| text.parse::<std::net::IpAddr>().map(IpNet::from))
        .map_err(|_| format!("{text:?} is neither an address nor a network such as 10.0.0.0/8"))
}
