//! The suite as an orchestrator runs it: several processes of each program, on addresses of their own.

use std::{
    collections::HashMap,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use anyhow::{Context, bail};
use minitwit_postgres::{Cluster, free_port};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tempfile::TempDir;

use crate::{
    edge::Edge,
    proxy::Proxy,
    replica::{Replica, Role},
};

/// How long a process may take to be ready, on a machine that is busy.
pub const START_PATIENCE: Duration = Duration::from_secs(30);

/// How many of the requests are traced, where any is: enough for some in every second of a fault.
const TRACED_SHARE: &str = "0.2";

/// How many replicas of what, and what is between them.
#[derive(Clone, Debug)]
pub struct Plan {
    /// How many of each role.
    pub counts: [(Role, usize); 4],
    /// How long a process goes on accepting after SIGTERM.
    pub lame_duck: Duration,
    /// When it ends in any case.
    pub hard_stop: Duration,
    /// Whether `HAProxy` stands before the gateways.
    pub edge: bool,
    /// Roles of which each replica stands behind a proxy of ours.
    pub proxied: Vec<Role>,
    /// The first replica of each of these roles reaches its database through a proxy of ours.
    pub proxied_database: Vec<Role>,
    /// Addresses that the gateways are given beside those of the replicas.
    pub strangers: Vec<(Role, Stranger)>,
    /// Where the replicas send their traces; their log lines are JSON then.
    pub traces: Option<String>,
    /// What else the gateways are told.
    pub gateway_environment: Vec<(&'static str, String)>,
}

/// An address that is not what the gateway was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stranger {
    /// Nobody listens there.
    Dead,
    /// The first replica of another role does.
    Foreign(Role),
}

impl Default for Plan {
    /// Ten replicas in all.
    fn default() -> Self {
        Self {
            counts: [
                (Role::User, 3),
                (Role::Follower, 2),
                (Role::Message, 3),
                (Role::Gateway, 2),
            ],
            lame_duck: Duration::from_secs(3),
            hard_stop: Duration::from_secs(8),
            edge: true,
            proxied: Vec::new(),
            proxied_database: Vec::new(),
            strangers: Vec::new(),
            traces: None,
            gateway_environment: Vec::new(),
        }
    }
}

/// A running suite; all its processes end when it is dropped.
#[derive(Debug)]
pub struct Fleet {
    replicas: Vec<Replica>,
    edge: Option<Edge>,
    proxies: HashMap<String, Proxy>,
    /// The database of each service.
    pub databases: HashMap<Role, String>,
    folder: TempDir,
}

impl Fleet {
    /// Creates databases, starts everything, and waits until it is ready.
    pub async fn start(binaries: &Path, cluster: &Cluster, plan: &Plan) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("minitwit-chaos-")
            .tempdir()?;
        let mut fleet = Self {
            replicas: Vec::new(),
            edge: None,
            proxies: HashMap::new(),
            databases: create_databases(cluster).await?,
            folder,
        };
        for (role, count) in plan.counts {
            if role != Role::Gateway {
                migrate(binaries, role, &fleet.databases[&role])?;
            }
            for number in 1..=count {
                fleet.add(binaries, plan, role, number).await?;
            }
        }
        for replica in &fleet.replicas {
            replica.ready(START_PATIENCE).await?;
        }
        if plan.edge {
            fleet.edge = Some(Edge::start(fleet.folder.path(), fleet.all(Role::Gateway)).await?);
        }
        Ok(fleet)
    }

    async fn add(
        &mut self,
        binaries: &Path,
        plan: &Plan,
        role: Role,
        number: usize,
    ) -> anyhow::Result<()> {
        let name = format!("{}-{number}", role.name());
        // An address of its own, as every container has one.
        let host = u8::try_from(self.replicas.len() + 2).context("at most 250 replicas")?;
        let address = || {
            anyhow::Ok(SocketAddr::from((
                Ipv4Addr::new(127, 0, 0, host),
                free_port()?,
            )))
        };
        let (serving, admin) = (address()?, address()?);
        let mut environment = vec![
            ("RUST_LOG".to_owned(), "info".to_owned()),
            ("LOG_FORMAT".to_owned(), "text".to_owned()),
            ("LISTEN_ADMIN".to_owned(), admin.to_string()),
            (
                "LAME_DUCK_MS".to_owned(),
                plan.lame_duck.as_millis().to_string(),
            ),
            (
                "HARD_STOP_MS".to_owned(),
                plan.hard_stop.as_millis().to_string(),
            ),
        ];
        if let Some(collector) = &plan.traces {
            let told = [
                ("LOG_FORMAT", "json"),
                ("OTEL_EXPORTER_OTLP_ENDPOINT", collector.as_str()),
                ("OTEL_TRACES_SAMPLER_ARG", TRACED_SHARE),
            ];
            environment.extend(told.map(|(name, value)| (name.to_owned(), value.to_owned())));
        }
        if role == Role::Gateway {
            environment.push(("LISTEN_API".to_owned(), serving.to_string()));
            environment.push(("LISTEN_PAGES".to_owned(), address()?.to_string()));
            environment.push(("TRUSTED_PROXIES".to_owned(), "127.0.0.1".to_owned()));
            for service in [Role::User, Role::Follower, Role::Message] {
                let variable = format!("{}_SERVICE", service.name().to_uppercase());
                environment.push((variable, self.targets(plan, service)?.join(",")));
            }
            let more = plan.gateway_environment.iter();
            environment.extend(more.map(|(name, value)| ((*name).to_owned(), value.clone())));
        } else {
            let mut url = self.databases[&role].clone();
            if plan.proxied_database.contains(&role) && number == 1 {
                url = self.proxied_database(&url, &name).await?;
            }
            environment.push(("LISTEN".to_owned(), serving.to_string()));
            environment.push(("DATABASE_URL".to_owned(), url));
        }
        if plan.proxied.contains(&role) {
            self.proxies
                .insert(name.clone(), Proxy::start(serving).await?);
        }
        let replica = Replica {
            role,
            address: serving,
            admin,
            program: binaries.join(role.program()),
            environment,
            log: self.folder.path().join(format!("{name}.log")),
            name,
            life: std::sync::Mutex::default(),
        };
        replica.start()?;
        self.replicas.push(replica);
        Ok(())
    }

    /// Where a gateway is told that a service is.
    fn targets(&self, plan: &Plan, role: Role) -> anyhow::Result<Vec<String>> {
        let mut targets = Vec::new();
        for replica in self.all(role) {
            let proxy = self.proxies.get(&replica.name);
            let address = proxy.map_or(replica.address, |proxy| proxy.address);
            targets.push(address.to_string());
        }
        for (_, stranger) in plan.strangers.iter().filter(|(of, _)| *of == role) {
            targets.push(match stranger {
                Stranger::Dead => format!("127.0.0.250:{}", free_port()?),
                Stranger::Foreign(of) => self.first(*of)?.address.to_string(),
            });
        }
        Ok(targets)
    }

    async fn proxied_database(&mut self, url: &str, name: &str) -> anyhow::Result<String> {
        let (head, path) = url.rsplit_once('/').context("a URL has a path")?;
        let (head, server) = head.rsplit_once('@').context("a URL has a user")?;
        let proxy = Proxy::start(server.parse()?).await?;
        let url = format!("{head}@{}/{path}", proxy.address);
        self.proxies.insert(format!("{name}-database"), proxy);
        Ok(url)
    }

    /// Where requests go: the edge, or else the first gateway.
    pub fn api(&self) -> SocketAddr {
        let gateway = || {
            self.all(Role::Gateway)
                .next()
                .map(|gateway| gateway.address)
        };
        let edge = self.edge.as_ref().map(|edge| edge.address);
        edge.or_else(gateway).expect("a suite has a gateway")
    }

    /// Every replica of a role.
    pub fn all(&self, role: Role) -> impl Iterator<Item = &Replica> + Clone {
        self.replicas
            .iter()
            .filter(move |replica| replica.role == role)
    }

    /// Every replica.
    pub fn replicas(&self) -> &[Replica] {
        &self.replicas
    }

    /// The first replica of a role.
    pub fn first(&self, role: Role) -> anyhow::Result<&Replica> {
        self.all(role)
            .next()
            .with_context(|| format!("there is no {}", role.name()))
    }

    /// The proxy in front of a replica, by the replica's name.
    pub fn proxy(&self, name: &str) -> anyhow::Result<&Proxy> {
        self.proxies
            .get(name)
            .with_context(|| format!("{name} has no proxy"))
    }
}

/// Three databases that no other fleet has.
async fn create_databases(cluster: &Cluster) -> anyhow::Result<HashMap<Role, String>> {
    static FLEETS: AtomicU32 = AtomicU32::new(0);
    let fleet = FLEETS.fetch_add(1, Ordering::Relaxed);
    let mut connection = PgConnection::connect(&cluster.url("postgres")).await?;
    let mut databases = HashMap::new();
    for role in [Role::User, Role::Follower, Role::Message] {
        let name = format!("{}_{fleet}", role.name());
        let create = format!("CREATE DATABASE {name}");
        sqlx::query(AssertSqlSafe(create))
            .execute(&mut connection)
            .await?;
        databases.insert(role, cluster.url(&name));
    }
    connection.close().await?;
    Ok(databases)
}

/// Brings a schema up to date, as an orchestrator does: again, if the machine was too busy for it.
fn migrate(binaries: &Path, role: Role, url: &str) -> anyhow::Result<()> {
    let program: PathBuf = binaries.join(role.program());
    let mut last = String::new();
    for _ in 0..10 {
        let output = Command::new(&program)
            .arg("migrate")
            .env_clear()
            .env("DATABASE_URL", url)
            .env("LISTEN", "127.0.0.1:0")
            .env("LISTEN_ADMIN", "127.0.0.1:0")
            .output()
            .with_context(|| format!("cannot run {}", program.display()))?;
        if output.status.success() {
            return Ok(());
        }
        last = String::from_utf8_lossy(&output.stderr).into_owned();
    }
    bail!("{} migrate: {last}", role.program())
}
