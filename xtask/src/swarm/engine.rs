//! One machine's Engine, through the Docker client.

use std::{
    ffi::OsStr,
    fs::File,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, bail};

use crate::wait::wait_for_swarm;

/// How the Engine says that no manager leads.
const LEADERLESS: &str = "The swarm does not have a leader";

/// How long an election may take: after a manager has come back there may be two.
const ELECTION_PATIENCE: Duration = Duration::from_mins(1);

/// An Engine behind its socket.
#[derive(Clone, Debug)]
pub(crate) struct Engine {
    socket: PathBuf,
}

impl Engine {
    pub(crate) fn at(socket: PathBuf) -> Self {
        Self { socket }
    }

    /// What `DOCKER_HOST` is for it.
    pub(crate) fn host(&self) -> String {
        format!("unix://{}", self.socket.display())
    }

    /// The Docker client, for this Engine.
    pub(crate) fn client<S: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = S>,
    ) -> Command {
        let mut command = Command::new("docker");
        command
            .args(arguments)
            .env("DOCKER_HOST", self.host())
            // The client of Debian knows no other builder than the older one.
            .env("DOCKER_BUILDKIT", "0")
            .stdin(Stdio::null());
        command
    }

    /// Runs the client and returns what it writes, without the last line's end; again while the
    /// managers elect a leader, since without one nothing is done.
    pub(crate) fn docker<S: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = S>,
    ) -> anyhow::Result<String> {
        let mut client = self.client(arguments);
        let done = wait_for_swarm(ELECTION_PATIENCE, || match output(&mut client) {
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

    /// The containers of a service that run on this machine, newest first.
    pub(crate) fn containers(&self, service: &str) -> anyhow::Result<Vec<String>> {
        let filter = format!("label=com.docker.swarm.service.name={service}");
        let ids = self.docker(["ps", "--quiet", "--filter", &filter])?;
        Ok(ids.lines().map(str::to_owned).collect())
    }
}

/// What a command writes; its error is what it says on the standard error.
pub(crate) fn output(command: &mut Command) -> anyhow::Result<String> {
    let output = command
        .output()
        .with_context(|| format!("cannot run {}", command.get_program().display()))?;
    if !output.status.success() {
        let arguments: Vec<_> = command.get_args().map(OsStr::to_string_lossy).collect();
        // Of a container that cannot start, the client tells on the standard output.
        let said = [output.stderr, output.stdout].concat();
        let said = String::from_utf8_lossy(&said);
        bail!("`docker {}` failed: {}", arguments.join(" "), said.trim());
    }
    let text = String::from_utf8(output.stdout).context("docker does not write UTF-8")?;
    Ok(text.trim_end().to_owned())
}
