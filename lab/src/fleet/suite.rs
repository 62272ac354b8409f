//! The suite as an orchestrator runs it, with several replicas of each program, each with its own address.

use std::{
    collections::HashMap,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use anyhow::Context;
use minitwit_postgres::Cluster;

use super::{Fleet, Memory, Process, Programs, Role, edge::Edge, free_address_of, proxy::Proxy};
use crate::{http::Client, psql};

/// Maximum time until a process is ready, on a busy machine.
pub(crate) const START_TIMEOUT: Duration = Duration::from_secs(30);

const READINESS_TIMEOUT: Duration = Duration::from_millis(500);

/// Share of the traced requests, which is enough for some traces in every second of a fault.
const TRACED_SHARE: &str = "0.2";

/// URL of the database of each service.
pub(crate) type DatabaseUrls = HashMap<Role, String>;

/// Replicas of a suite, and the network between them.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// Number of replicas of each role.
    pub(crate) counts: [(Role, usize); 4],
    /// Times of an orderly stop. `None` for the defaults of the programs.
    pub(crate) drain: Option<Drain>,
    /// Whether an `HAProxy` distributes requests among the gateways.
    pub(crate) edge: bool,
    /// Roles whose replicas are reached through a proxy that can simulate faults.
    pub(crate) proxied: Vec<Role>,
    /// Roles whose first replica reaches its database through such a proxy.
    pub(crate) proxied_database: Vec<Role>,
    /// Addresses without a replica of the role, which the gateways are configured with as well.
    pub(crate) bad_addresses: Vec<(Role, BadAddress)>,
    /// Endpoint of the collector for traces. With one, log lines are JSON.
    pub(crate) collector: Option<String>,
    /// Additional environment of the gateways.
    pub(crate) gateway_environment: Vec<(&'static str, String)>,
    /// Suffix of the names of all processes.
    pub(crate) suffix: &'static str,
}

/// Times of an orderly stop.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Drain {
    /// Time after SIGTERM in which a process accepts connections.
    pub(crate) lame_duck: Duration,
    /// Time after SIGTERM at which a process ends in any case.
    pub(crate) hard_stop: Duration,
}

/// An address at which no replica of the configured role listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BadAddress {
    /// No process listens there.
    Dead,
    /// The first replica of another role listens there.
    Foreign(Role),
}

impl Plan {
    /// The same number of replicas of each role, and nothing between them.
    pub(crate) fn with_replicas(count: usize) -> Self {
        Self {
            counts: Role::ALL.map(|role| (role, count)),
            drain: None,
            edge: false,
            proxied: Vec::new(),
            proxied_database: Vec::new(),
            bad_addresses: Vec::new(),
            collector: None,
            gateway_environment: Vec::new(),
            suffix: "",
        }
    }
}

/// A process of the suite with its addresses.
#[derive(Debug)]
pub(crate) struct Replica {
    pub(crate) role: Role,
    pub(crate) process: Process,
    /// Address of the service, or of the gateway's simulator API.
    pub(crate) address: SocketAddr,
    /// Address of the gateway's pages.
    pub(crate) pages: Option<SocketAddr>,
    /// Address of readiness and metrics.
    pub(crate) admin: SocketAddr,
}

impl Replica {
    /// Name of the process, such as `message-2`.
    pub(crate) fn name(&self) -> &str {
        &self.process.name
    }

    /// Waits until `/readyz` answers with success.
    pub(crate) async fn ready(&self, timeout: Duration) -> anyhow::Result<()> {
        let is_ready = async || self.is_ready().await.then_some(());
        self.process.wait_for(timeout, is_ready).await
    }

    /// Whether `/readyz` answers with success.
    pub(crate) async fn is_ready(&self) -> bool {
        let client = Client::new(READINESS_TIMEOUT);
        let response = client.get(self.admin, "/readyz").await;
        response.is_ok_and(|response| response.status == 200)
    }
}

/// A running suite, whose processes end when it is dropped.
#[derive(Debug)]
pub(crate) struct Suite {
    replicas: Vec<Replica>,
    edge: Option<Edge>,
    proxies: HashMap<String, Proxy>,
    pub(crate) databases: DatabaseUrls,
    pub(crate) fleet: Arc<Fleet>,
}

impl Suite {
    /// Starts all processes over databases with the latest schema, and waits until they are ready.
    pub(crate) async fn start(
        fleet: &Arc<Fleet>,
        programs: &Programs,
        databases: DatabaseUrls,
        plan: &Plan,
    ) -> anyhow::Result<Self> {
        let mut suite = Self {
            replicas: Vec::new(),
            edge: None,
            proxies: HashMap::new(),
            databases,
            fleet: Arc::clone(fleet),
        };
        for (role, count) in plan.counts {
            for number in 1..=count {
                let name = if count == 1 {
                    format!("{}{}", role.name(), plan.suffix)
                } else {
                    format!("{}-{number}{}", role.name(), plan.suffix)
                };
                let is_first = number == 1;
                suite.add(programs, plan, role, name, is_first).await?;
            }
        }
        for replica in &suite.replicas {
            replica.ready(START_TIMEOUT).await?;
        }
        if plan.edge {
            suite.edge = Some(Edge::start(fleet, suite.all(Role::Gateway)).await?);
        }
        Ok(suite)
    }

    async fn add(
        &mut self,
        programs: &Programs,
        plan: &Plan,
        role: Role,
        name: String,
        is_first: bool,
    ) -> anyhow::Result<()> {
        // Each replica has an address of its own, as each container has.
        let host = u8::try_from(self.replicas.len() + 2).context("at most 250 replicas")?;
        let free_address = || free_address_of(Ipv4Addr::new(127, 0, 0, host));
        let (address, admin) = (free_address()?, free_address()?);
        let pages = (role == Role::Gateway).then(free_address).transpose()?;
        let mut command = programs.of(role);
        command.env("LISTEN_ADMIN", admin.to_string());
        if let Some(drain) = plan.drain {
            command
                .env("LAME_DUCK_MS", drain.lame_duck.as_millis().to_string())
                .env("HARD_STOP_MS", drain.hard_stop.as_millis().to_string());
        }
        if let Some(collector) = &plan.collector {
            command
                .env("LOG_FORMAT", "json")
                .env("OTEL_EXPORTER_OTLP_ENDPOINT", collector)
                .env("OTEL_TRACES_SAMPLER_ARG", TRACED_SHARE);
        }
        if let Some(pages) = pages {
            command
                .env("LISTEN_API", address.to_string())
                .env("LISTEN_PAGES", pages.to_string())
                .env("TRUSTED_PROXIES", "127.0.0.1")
                .envs(
                    plan.gateway_environment
                        .iter()
                        .map(|(name, value)| (name, value)),
                );
            for service in Role::SERVICES {
                let variable = format!("{}_SERVICE", service.name().to_uppercase());
                command.env(variable, self.targets(plan, service)?.join(","));
            }
        } else {
            let mut url = self.databases[&role].clone();
            if is_first && plan.proxied_database.contains(&role) {
                url = self.proxy_database(&url, &name).await?;
            }
            command
                .env("LISTEN", address.to_string())
                .env("DATABASE_URL", url);
        }
        if plan.proxied.contains(&role) {
            self.proxies
                .insert(name.clone(), Proxy::start(address).await?);
        }
        let process = self.fleet.start(&name, command)?;
        self.replicas.push(Replica {
            role,
            process,
            address,
            pages,
            admin,
        });
        Ok(())
    }

    /// Addresses of a service as the gateways are configured with them.
    fn targets(&self, plan: &Plan, role: Role) -> anyhow::Result<Vec<String>> {
        let mut targets = Vec::new();
        for replica in self.all(role) {
            let proxy = self.proxies.get(replica.name());
            let address = proxy.map_or(replica.address, |proxy| proxy.address);
            targets.push(address.to_string());
        }
        for (_, address) in plan.bad_addresses.iter().filter(|(of, _)| *of == role) {
            targets.push(match address {
                BadAddress::Dead => free_address_of(Ipv4Addr::new(127, 0, 0, 250))?.to_string(),
                BadAddress::Foreign(of) => self.first(*of)?.address.to_string(),
            });
        }
        Ok(targets)
    }

    async fn proxy_database(&mut self, url: &str, name: &str) -> anyhow::Result<String> {
        let (head, path) = url.rsplit_once('/').context("a URL has a path")?;
        let (head, server) = head.rsplit_once('@').context("a URL has a user")?;
        let proxy = Proxy::start(server.parse()?).await?;
        let url = format!("{head}@{}/{path}", proxy.address);
        self.proxies.insert(format!("{name}-database"), proxy);
        Ok(url)
    }

    /// Address of the simulator API at the edge, or without an edge at the first gateway.
    pub(crate) fn api(&self) -> SocketAddr {
        let gateway = || {
            self.all(Role::Gateway)
                .next()
                .map(|gateway| gateway.address)
        };
        let edge = self.edge.as_ref().map(|edge| edge.address);
        edge.or_else(gateway).expect("a suite has a gateway")
    }

    /// All replicas of a role.
    pub(crate) fn all(&self, role: Role) -> impl Iterator<Item = &Replica> + Clone {
        self.replicas
            .iter()
            .filter(move |replica| replica.role == role)
    }

    /// All replicas.
    pub(crate) fn replicas(&self) -> &[Replica] {
        &self.replicas
    }

    /// The first replica of a role.
    pub(crate) fn first(&self, role: Role) -> anyhow::Result<&Replica> {
        self.all(role)
            .next()
            .with_context(|| format!("the suite has no {}", role.name()))
    }

    /// The proxy of a replica, or with the suffix `-database` of its database.
    pub(crate) fn proxy(&self, name: &str) -> anyhow::Result<&Proxy> {
        self.proxies
            .get(name)
            .with_context(|| format!("{name} has no proxy"))
    }

    /// Fails if a process has ended by itself.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        self.replicas
            .iter()
            .try_for_each(|replica| replica.process.check())
    }

    /// Memory of all processes.
    pub(crate) fn memory(&self) -> anyhow::Result<Vec<Memory>> {
        let memory = self.replicas.iter().map(|replica| replica.process.memory());
        memory.collect()
    }

    /// Waits until the API of each gateway returns data of the services.
    pub(crate) async fn wait_until_serving(&self) -> anyhow::Result<()> {
        for gateway in self.all(Role::Gateway) {
            wait_until_serving(&gateway.process, gateway.address).await?;
        }
        Ok(())
    }
}

/// Waits until the API of a process answers with what the services store.
pub(crate) async fn wait_until_serving(process: &Process, api: SocketAddr) -> anyhow::Result<()> {
    let client = Client::new(START_TIMEOUT);
    let answers = async |path| {
        let response = client.get(api, path).await;
        response.is_ok_and(|response| response.status == 200)
    };
    let serves = async || (answers("/latest").await && answers("/msgs?no=1").await).then_some(());
    process.wait_for(START_TIMEOUT, serves).await
}

/// Creates a database with the latest schema for each service.
pub(crate) fn create_databases(
    cluster: &Cluster,
    programs: &Programs,
    prefix: &str,
) -> anyhow::Result<DatabaseUrls> {
    let create = |role: Role| {
        let name = format!("{prefix}{}", role.name());
        psql::create(cluster, &name)?;
        let url = cluster.url(&name);
        programs.migrate(role, &url)?;
        Ok((role, url))
    };
    Role::SERVICES.into_iter().map(create).collect()
}
