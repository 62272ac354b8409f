//! `HAProxy` in front of the gateways. The edge gives each request an id, so it can repeat any request.

use std::{fmt::Write as _, fs, net::SocketAddr, process::Command, sync::Arc, time::Duration};

use anyhow::Context;
use tokio::net::TcpStream;

use super::{Fleet, Process, free_address, suite::Replica};

const START_TIMEOUT: Duration = Duration::from_secs(10);

/// A gateway answers within its budget of 250 ms, whatever happens to the services. An edge with a shorter
/// timeout never sees the gateway's refusals and multiplies the load of a slow suite. The health check
/// finds a frozen gateway within a second.
const CONFIG: &str = "\
global
    nbthread 1
    maxconn 8000
defaults
    mode http
    timeout connect 100ms
    timeout client 10s
    timeout server 280ms
    timeout check 400ms
    retries 1
    option redispatch 1
    retry-on conn-failure empty-response response-timeout
    unique-id-format %{+X}o%ci:%cp_%fi:%fp_%Ts_%rt:%pid
frontend api
    bind {BIND}
    http-request set-header X-Request-Id %[unique-id]
    http-request set-header X-Request-Start t=%[date(0,ms)]
    use_backend signups if { path /register }
    default_backend gateways
backend gateways
    balance leastconn
    option httpchk GET /readyz
    default-server check inter 300ms fastinter 100ms fall 1 rise 1
";

/// A sign-up hashes a password, which can take longer than the simulator's timeout.
const SIGN_UPS: &str = "\
backend signups
    balance leastconn
    timeout server 5s
";

/// A running `HAProxy`.
#[derive(Debug)]
pub(super) struct Edge {
    /// Address of the simulator API.
    pub(super) address: SocketAddr,
    _process: Process,
}

impl Edge {
    /// Starts the edge and waits until it accepts connections.
    pub(super) async fn start<'a>(
        fleet: &Arc<Fleet>,
        gateways: impl Iterator<Item = &'a Replica> + Clone,
    ) -> anyhow::Result<Self> {
        let address = free_address()?;
        let mut config = CONFIG.replace("{BIND}", &address.to_string());
        for gateway in gateways.clone() {
            let (name, server, admin) = (gateway.name(), gateway.address, gateway.admin);
            let (host, port) = (admin.ip(), admin.port());
            writeln!(config, "    server {name} {server} addr {host} port {port}")?;
        }
        config.push_str(SIGN_UPS);
        for gateway in gateways {
            let (name, server) = (gateway.name(), gateway.address);
            writeln!(config, "    server {name} {server} track gateways/{name}")?;
        }
        let path = fleet.folder().join("haproxy.cfg");
        fs::write(&path, config)?;
        let mut command = Command::new("haproxy");
        command.args(["-db", "-f"]).arg(&path);
        let process = fleet
            .start("haproxy", command)
            .context("haproxy does not start: `apt-get install haproxy`")?;
        let accepts = async || TcpStream::connect(address).await.is_ok().then_some(());
        process.wait_for(START_TIMEOUT, accepts).await?;
        Ok(Self {
            address,
            _process: process,
        })
    }
}
