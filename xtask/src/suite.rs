//! The suite's programs: built with a profile, started as processes of their own.

use std::{
    collections::BTreeSet,
    env,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::Command,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use anyhow::Context;
use minitwit_postgres::free_port;

use crate::{cargo::cargo, http::Client, process::Fleet, steps};

const START_TIMEOUT: Duration = Duration::from_secs(30);

/// The services, each with a database of its own.
pub(crate) const SERVICES: [&str; 3] = ["user", "follower", "message"];

const PACKAGES: [&str; 5] = [
    "minitwit",
    "minitwit-gateway",
    "minitwit-user",
    "minitwit-follower",
    "minitwit-message",
];

/// Where a gateway listens.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Gateway {
    pub(crate) api: SocketAddr,
    /// Its metrics.
    pub(crate) admin: SocketAddr,
}

/// The suite's programs in the folder of their profile.
#[derive(Debug)]
pub(crate) struct Binaries {
    folder: PathBuf,
    /// What each of them is told.
    environment: Vec<(String, String)>,
}

impl Binaries {
    /// Builds them with one of the profiles of the workspace.
    pub(crate) fn build(profile: &str) -> anyhow::Result<Self> {
        let mut build = cargo(["build", "--locked", "--bins", "--profile", profile]);
        build.args(PACKAGES.iter().flat_map(|name| ["--package", name]));
        steps::run(&mut build)?;
        let folder = if profile == "dev" { "debug" } else { profile };
        Ok(Self::in_folder(&target_folder()?.join(folder)))
    }

    /// Those that lie beside this very program, built with it.
    pub(crate) fn beside() -> anyhow::Result<Self> {
        let program = env::current_exe().context("cannot tell where this program is")?;
        let folder = program.parent();
        Ok(Self::in_folder(
            folder.context("this program is in no folder")?,
        ))
    }

    /// Those that are in a folder already.
    pub(crate) fn in_folder(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            environment: Vec::new(),
        }
    }

    /// The same programs, told something else as well.
    pub(crate) fn told(&self, environment: &[(&str, &str)]) -> Self {
        let more = environment.iter();
        let more = more.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Self {
            folder: self.folder.clone(),
            environment: self.environment.iter().cloned().chain(more).collect(),
        }
    }

    /// Where they are.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The file of one of them.
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The whole suite in one process.
    pub(crate) fn suite(&self) -> Command {
        self.command("minitwit")
    }

    /// One of the [`SERVICES`], over its database.
    pub(crate) fn service(&self, name: &str, database_url: &str) -> Command {
        let mut command = self.command(&format!("minitwit-{name}"));
        command.env("DATABASE_URL", database_url);
        command
    }

    /// Creates the tables of one of the [`SERVICES`].
    pub(crate) fn migrate(&self, name: &str, database_url: &str) -> anyhow::Result<()> {
        steps::run(self.service(name, database_url).arg("migrate")).map(drop)
    }

    /// Starts one of the [`SERVICES`] and tells where it listens.
    pub(crate) fn start_service(
        &self,
        fleet: &mut Fleet,
        label: &str,
        name: &str,
        database_url: &str,
    ) -> anyhow::Result<SocketAddr> {
        let address = free_address()?;
        self.start_service_at(fleet, address, label, name, database_url)?;
        Ok(address)
    }

    /// Starts one of the [`SERVICES`] where it is to listen.
    pub(crate) fn start_service_at(
        &self,
        fleet: &mut Fleet,
        address: SocketAddr,
        label: &str,
        name: &str,
        database_url: &str,
    ) -> anyhow::Result<()> {
        let mut command = self.service(name, database_url);
        command
            .env("LISTEN", address.to_string())
            .env("LISTEN_ADMIN", free_address()?.to_string());
        fleet.start(label, &mut command)
    }

    /// Starts a gateway in front of the replicas of the [`SERVICES`], in their order.
    pub(crate) fn start_gateway(
        &self,
        fleet: &mut Fleet,
        label: &str,
        replicas: &[Vec<SocketAddr>],
    ) -> anyhow::Result<Gateway> {
        let (api, admin) = (free_address()?, free_address()?);
        let mut command = self.command("minitwit-gateway");
        command
            .env("LISTEN_API", api.to_string())
            .env("LISTEN_PAGES", free_address()?.to_string())
            .env("LISTEN_ADMIN", admin.to_string());
        for (name, addresses) in SERVICES.iter().zip(replicas) {
            let list: Vec<String> = addresses.iter().map(ToString::to_string).collect();
            command.env(format!("{}_SERVICE", name.to_uppercase()), list.join(","));
        }
        fleet.start(label, &mut command)?;
        Ok(Gateway { api, admin })
    }

    /// One of the programs, quiet.
    pub(crate) fn command(&self, name: &str) -> Command {
        let mut command = Command::new(self.program(name));
        let environment = self.environment.iter();
        command
            .env("RUST_LOG", "warn")
            .envs(environment.map(|(name, value)| (name, value)));
        command
    }
}

/// Where cargo puts what it builds: this very program among it, in the folder of its profile.
pub(crate) fn target_folder() -> anyhow::Result<PathBuf> {
    let program = env::current_exe().context("cannot tell where this program is")?;
    let folder = program.ancestors().nth(2);
    Ok(folder
        .context("this program is not in a folder of cargo's")?
        .to_owned())
}

/// An address that a server can be told to listen on.
///
/// Never the same twice: whoever was given one may not listen on it yet.
pub(crate) fn free_address() -> anyhow::Result<SocketAddr> {
    static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        let port = free_port().context("no port is free")?;
        if given.insert(port) {
            return Ok((Ipv4Addr::LOCALHOST, port).into());
        }
    }
}

/// Waits until an API answers, through everything behind it.
pub(crate) fn wait_until_serving(fleet: &mut Fleet, api: SocketAddr) -> anyhow::Result<()> {
    let mut client = Client::new(api);
    let mut answers = |path: &str| client.get(path).is_ok_and(|answer| answer.status == 200);
    let mut serves = || (answers("/latest") && answers("/msgs?no=1")).then_some(());
    fleet
        .wait_for(START_TIMEOUT, &mut serves)
        .with_context(|| format!("the API at {api} does not answer"))
}
