//! `HAProxy` in front of the gateways, as an edge of the suite may be: it names each request, and so
//! it may repeat any of them.

use std::{
    fmt::Write as _,
    fs::{self, File},
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use minitwit_postgres::free_port;
use tokio::{net::TcpStream, time::sleep};

use crate::replica::Replica;

/// A gateway answers within its budget of 250 ms, whatever happens behind it: an edge that waits less
/// never sees its refusals, and multiplies the load of a suite that is slow. A frozen gateway is the health
/// check's business, within a second.
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

/// Passwords are hashed for a sign-up, which may take longer than the simulator waits.
const SIGN_UPS: &str = "\
backend signups
    balance leastconn
    timeout server 5s
";

/// A running `HAProxy`; killed when dropped.
#[derive(Debug)]
pub struct Edge {
    /// Where it listens.
    pub address: SocketAddr,
    process: Child,
}

impl Edge {
    /// Starts it and waits until it listens.
    pub async fn start<'a>(
        folder: &Path,
        gateways: impl Iterator<Item = &'a Replica> + Clone,
    ) -> anyhow::Result<Self> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
        let mut config = CONFIG.replace("{BIND}", &address.to_string());
        for gateway in gateways.clone() {
            let (name, at, admin) = (&gateway.name, gateway.address, gateway.admin);
            writeln!(
                config,
                "    server {name} {at} addr {} port {}",
                admin.ip(),
                admin.port()
            )?;
        }
        config.push_str(SIGN_UPS);
        for gateway in gateways {
            let (name, at) = (&gateway.name, gateway.address);
            writeln!(config, "    server {name} {at} track gateways/{name}")?;
        }
        let path = folder.join("haproxy.cfg");
        fs::write(&path, config)?;
        let log = File::create(folder.join("haproxy.log"))?;
        let process = Command::new("haproxy")
            .args(["-db", "-f"])
            .arg(&path)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("cannot start haproxy: `apt-get install haproxy` brings it")?;
        let mut edge = Self { address, process };
        let deadline = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect(address).await.is_err() {
            if edge.process.try_wait()?.is_some() || Instant::now() > deadline {
                bail!(
                    "haproxy: {}",
                    fs::read_to_string(folder.join("haproxy.log"))?
                );
            }
            sleep(Duration::from_millis(20)).await;
        }
        Ok(edge)
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        // Both fail when it has ended already, which is what is wanted.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
