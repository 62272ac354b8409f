//! The two sides: what is driven, and how each is started.

use std::{net::SocketAddr, path::PathBuf, process::Command};

use crate::{
    cargo::{cargo, workspace},
    process::Fleet,
    steps,
    suite::{Binaries, SERVICES, free_address, target_folder, wait_until_serving},
};

use super::{Engine, data::Databases};

/// Both sides, up at the same time, over the same PostgreSQL.
#[derive(Debug)]
pub(crate) struct Sides {
    pub(crate) fleet: Fleet,
    pub(crate) suite: SocketAddr,
    pub(crate) monolith: SocketAddr,
}

impl Sides {
    pub(crate) fn start(
        binaries: &Binaries,
        monolith: &PathBuf,
        databases: &Databases,
        engine: Engine,
    ) -> anyhow::Result<Self> {
        let mut fleet = Fleet::new()?;
        let suite = match engine {
            Engine::Postgres => start_services(&mut fleet, binaries, databases)?,
            Engine::Sqlite => start_one_process(&mut fleet, binaries, databases)?,
        };
        let address = free_address()?;
        let mut command = Command::new(monolith);
        command
            .env("DATABASE_URL", databases.monolith_url())
            .env("PORT", address.port().to_string())
            // Durable before the reply, as the suite's.
            .env("LATEST", "db");
        fleet.start("monolith", &mut command)?;
        wait_until_serving(&mut fleet, suite)?;
        wait_until_serving(&mut fleet, address)?;
        Ok(Self {
            fleet,
            suite,
            monolith: address,
        })
    }
}

/// Builds the repository's own monolith.
pub(crate) fn build_monolith() -> anyhow::Result<PathBuf> {
    let manifest = workspace().join("bench/monolith/Cargo.toml");
    let folder = target_folder()?.join("monolith");
    let mut build = cargo(["build", "--locked", "--release"]);
    build
        .arg("--manifest-path")
        .arg(manifest)
        .arg("--target-dir")
        .arg(&folder);
    steps::run(&mut build)?;
    Ok(folder.join("release/monolith"))
}

fn start_services(
    fleet: &mut Fleet,
    binaries: &Binaries,
    databases: &Databases,
) -> anyhow::Result<SocketAddr> {
    let replicas = SERVICES
        .map(|name| binaries.start_service(fleet, name, name, &databases.service_url(name)))
        .into_iter()
        .map(|address| Ok(vec![address?]))
        .collect::<anyhow::Result<Vec<_>>>()?;
    binaries.start_gateway(fleet, "gateway", &replicas)
}

fn start_one_process(
    fleet: &mut Fleet,
    binaries: &Binaries,
    databases: &Databases,
) -> anyhow::Result<SocketAddr> {
    let api = free_address()?;
    let mut command = binaries.suite();
    command
        .env("DATA_DIR", databases.folder())
        .env("LISTEN_API", api.to_string());
    for name in ["PAGES", "ADMIN", "USER", "FOLLOWER", "MESSAGE"] {
        command.env(format!("LISTEN_{name}"), free_address()?.to_string());
    }
    fleet.start("minitwit", &mut command)?;
    Ok(api)
}
