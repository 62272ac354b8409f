//! Options of the gateway, shared by its own process and the suite in one process.

use std::{net::SocketAddr, path::PathBuf};

use chassis::args::secret;
use clap::Args;
use http::Uri;
use ipnet::IpNet;
use minitwit_client::{PerService, Pools};
use secrecy::SecretString;

use crate::{
    credentials::Credentials,
    pages::{Avatars, PageOptions},
    session::CookieKeys,
};

/// Credentials of the course's simulator.
const COURSE_CREDENTIALS: &str = "simulator:super_safe!";

/// Addresses of the gateway.
#[derive(Args, Clone, Copy, Debug)]
pub struct ListenArgs {
    /// Address of the pages
    #[arg(long, env, default_value = "127.0.0.1:5000", value_name = "ADDRESS")]
    pub listen_pages: SocketAddr,
    /// Address of the simulator's API
    #[arg(long, env, default_value = "127.0.0.1:5001", value_name = "ADDRESS")]
    pub listen_api: SocketAddr,
    /// Address of metrics and health
    #[arg(long, env, default_value = "127.0.0.1:5009", value_name = "ADDRESS")]
    pub listen_admin: SocketAddr,
}

/// Addresses of the services, each a list of `host:port`. A host name stands for all addresses that it
/// resolves to.
#[derive(Args, Clone, Debug)]
pub struct ServiceAddressArgs {
    /// Addresses of the user service, each host:port, separated by commas
    #[arg(
        long,
        env,
        default_value = "127.0.0.1:5011",
        value_delimiter = ',',
        value_name = "LIST"
    )]
    pub user_service: Vec<String>,
    /// Addresses of the follower service
    #[arg(
        long,
        env,
        default_value = "127.0.0.1:5012",
        value_delimiter = ',',
        value_name = "LIST"
    )]
    pub follower_service: Vec<String>,
    /// Addresses of the message service
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
    /// Opens a connection pool for each service. The pools connect in the background.
    pub fn pools(&self) -> Pools {
        Pools::connect(PerService {
            user: &self.user_service,
            follower: &self.follower_service,
            message: &self.message_service,
        })
    }
}

/// Credentials, trusted proxies and limits of the gateway.
#[derive(Args, Clone, Debug)]
pub struct TrustArgs {
    /// Credentials for the simulator's API, a list of `name:password` [default: the course's]
    #[arg(long, env, hide_env_values = true, value_name = "LIST")]
    pub simulator_credentials: Option<SecretString>,
    /// File that contains the list
    #[arg(long, env, value_name = "FILE")]
    pub simulator_credentials_file: Option<PathBuf>,
    /// Proxies whose X-Request-Id, X-Request-Start and X-Forwarded-For are trusted, given as addresses or
    /// networks such as 10.0.0.0/8
    #[arg(long, env, value_delimiter = ',', value_parser = parse_network, value_name = "LIST")]
    pub trusted_proxies: Vec<IpNet>,
    /// Maximum size of the cache of rendered lists, in bytes
    #[arg(long, env, default_value_t = 64 << 20, value_name = "BYTES")]
    pub rendered_bytes_max: u64,
    /// Timeout of a request to the API, after which the response is 504, in milliseconds
    #[arg(long, env, default_value_t = 250, value_name = "MS")]
    pub api_budget_ms: u64,
    /// Maximum number of concurrent requests to the API, of which reads may use three quarters (the pages
    /// have a quarter as many, and further requests are refused at once)
    #[arg(long, env, default_value_t = crate::REQUESTS_MAX, value_name = "N")]
    pub requests_max: usize,
}

impl TrustArgs {
    /// Reads the credentials for the simulator's API.
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

/// Options of the pages.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Pages")]
pub struct PageArgs {
    /// Keys of cookies, separated by commas, of which the first signs and all verify [default: a random
    /// key]
    #[arg(long, env, hide_env_values = true, value_name = "LIST")]
    pub cookie_keys: Option<SecretString>,
    /// File that contains the list
    #[arg(long, env, value_name = "FILE")]
    pub cookie_keys_file: Option<PathBuf>,
    /// Source of the avatars
    #[arg(long, env, value_enum, default_value_t, value_name = "SOURCE")]
    pub avatars: Avatars,
    /// URL of Prometheus, such as `http://prometheus:9090`, whose recorded error budget the status page
    /// shows
    #[arg(long, env, value_parser = parse_prometheus, value_name = "URL")]
    pub prometheus_url: Option<Uri>,
}

impl PageArgs {
    /// Creates the options of the pages.
    ///
    /// # Errors
    ///
    /// The keys are given twice, cannot be read, or are not valid.
    pub fn options(&self) -> anyhow::Result<PageOptions> {
        let (keys, file) = (self.cookie_keys.as_ref(), self.cookie_keys_file.as_ref());
        let cookie_keys = if let Some(list) = secret("COOKIE_KEYS", keys, file)? {
            CookieKeys::parse(&list)?
        } else {
            tracing::warn!(
                "COOKIE_KEYS is not set: a restart ends all sessions, and other replicas do not accept them"
            );
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
        _ => Err(format!("{text:?} is not a URL like http://prometheus:9090")),
    }
}

fn parse_network(text: &str) -> Result<IpNet, String> {
    let text = text.trim();
    text.parse::<IpNet>()
        .or_else(|_| text.parse::<std::net::IpAddr>().map(IpNet::from))
        .map_err(|_| format!("{text:?} is neither an address nor a network such as 10.0.0.0/8"))
}
