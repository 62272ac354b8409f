//! The Docker Engine of a machine, through the Docker client.

use std::{
    ffi::OsStr,
    fs::File,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::Context;

use crate::{command::output, wait::wait_for_swarm};

/// Error of the Engine while no manager is the leader.
const LEADERLESS: &str = "The swarm does not have a leader";

/// Maximum time of an election. After the return of a manager there can be two elections.
const ELECTION_TIMEOUT: Duration = Duration::from_mins(1);

/// A Docker Engine, reached through its socket.
#[derive(Clone, Debug)]
pub(crate) struct Engine {
    socket: PathBuf,
}

impl Engine {
    pub(crate) fn at(socket: PathBuf) -> Self {
        Self { socket }
    }

    /// The Engine's address for `DOCKER_HOST`.
    pub(crate) fn host(&self) -> String {
        format!("unix://{}", self.socket.display())
    }

    /// A command of the Docker client for this Engine.
    pub(crate) fn client<S: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = S>,
    ) -> Command {
        let mut command = Command::new("docker");
        command
            .args(arguments)
            .env("DOCKER_HOST", self.host())
            // Debian's client has only the older builder.
            .env("DOCKER_BUILDKIT", "0")
            .stdin(Stdio::null());
        command
    }

    /// Runs the client and returns its output without the end of the last line. Repeats the command while the
    /// managers elect a leader, because a Swarm without a leader refuses all commands.
    pub(crate) fn docker<S: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = S>,
    ) -> anyhow::Result<String> {
        let mut client = self.client(arguments);
        let done = wait_for_swarm(ELECTION_TIMEOUT, || match output(&mut client) {
            Err(error) if error.to_string().contains(LEADERLESS) => Ok(None),
            done => Ok(Some(done)),
        });
        done.context("no manager leads the Swarm")?
    }

    /// Runs the client with a file as its input.
    pub(crate) fn docker_from<S: AsRef<OsStr>>(
        &self,
        input: &Path,
        arguments: impl IntoIterator<Item = S>,
    ) -> anyhow::Result<String> {
        let file = File::open(input).with_context(|| format!("cannot read {}", input.display()))?;
        output(self.client(arguments).stdin(file))
    }

    /// The running containers of a service on this machine, the newest first.
    pub(crate) fn containers(&self, service: &str) -> anyhow::Result<Vec<String>> {
        let filter = format!("label=com.docker.swarm.service.name={service}");
        let ids = self.docker(["ps", "--quiet", "--filter", &filter])?;
        Ok(ids.lines().map(str::to_owned).collect())
    }
}
