//! The whole suite in one process, on SQLite.

use std::{net::SocketAddr, path::Path, sync::Arc};

use super::{Fleet, Process, Programs, free_address, suite::wait_until_serving};

/// A running suite of one process.
#[derive(Debug)]
pub(crate) struct Single {
    pub(crate) process: Process,
    /// Address of the simulator API.
    pub(crate) api: SocketAddr,
}

impl Single {
    /// Starts the suite on the files of a folder and waits until the API answers.
    pub(crate) async fn start(
        fleet: &Arc<Fleet>,
        programs: &Programs,
        name: &str,
        data: &Path,
    ) -> anyhow::Result<Self> {
        let api = free_address()?;
        let mut command = programs.minitwit();
        command
            .env("DATA_DIR", data)
            .env("LISTEN_API", api.to_string());
        for listener in ["PAGES", "ADMIN", "USER", "FOLLOWER", "MESSAGE"] {
            command.env(format!("LISTEN_{listener}"), free_address()?.to_string());
        }
        let process = fleet.start(name, command)?;
        wait_until_serving(&process, api).await?;
        Ok(Self { process, api })
    }
}
