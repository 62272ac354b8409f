//! The stack on the Swarm, with its secrets and variables, deployed by `minitwit deploy`.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs,
    path::PathBuf,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};
use xtask::workspace;

use super::{engine::Engine, image::INFRASTRUCTURE, machine::Machines};
use crate::{command::output, wait::wait_for_swarm};

/// Maximum time of a deployment in seconds.
const DEPLOY_SECONDS_MAX: u32 = 240;

/// Maximum time until all services have their replicas.
const STABLE_TIMEOUT: Duration = Duration::from_mins(2);

/// Name of the stack, as in the operators' manual.
const NAME: &str = "minitwit";

/// The stack, which is deployed through one manager.
#[derive(Debug)]
pub(crate) struct Stack {
    engine: Engine,
    program: PathBuf,
    folder: PathBuf,
    /// Environment variables of the stack's file.
    variables: BTreeMap<String, String>,
    files: Vec<PathBuf>,
}

/// Result of a deployment.
#[derive(Debug)]
pub(crate) struct Deployment {
    pub(crate) succeeded: bool,
    /// Output of `minitwit deploy`.
    pub(crate) output: String,
    pub(crate) time: Duration,
}

/// A running replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Task {
    pub(crate) id: String,
    /// Name of the replica's machine.
    pub(crate) node: String,
}

impl Deployment {
    /// Fails unless the deployment succeeded.
    pub(crate) fn check(self) -> anyhow::Result<Self> {
        ensure!(self.succeeded, "`minitwit deploy` failed:\n{}", self.output);
        Ok(self)
    }
}

impl Stack {
    /// The stack of the repository. `program` is `minitwit`.
    pub(crate) fn new(machines: &Machines, program: PathBuf) -> Self {
        let variables = [
            ("VERSION", "1"),
            ("REGISTRY", ""),
            ("HAPROXY_IMAGE", INFRASTRUCTURE),
            ("POSTGRES_IMAGE", INFRASTRUCTURE),
        ];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Self {
            engine: machines.nodes()[0].engine(),
            program,
            folder: machines.folder().to_owned(),
            variables: BTreeMap::from(variables),
            // The file needs no virtual addresses and no routing mesh, which some kernels do not support.
            files: vec![workspace().join("stack.yml")],
        }
    }

    /// The Engine of the manager.
    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Creates the secrets as an operator does.
    pub(crate) fn create_secrets(&self) -> anyhow::Result<()> {
        let mut script = Command::new("sh");
        script
            .arg(workspace().join("ops/secrets.sh"))
            .arg("--swarm")
            .arg(self.secrets_folder());
        script.env("DOCKER_HOST", self.engine.host());
        output(&mut script).map(drop)
    }

    /// Folder of the secrets' files.
    pub(crate) fn secrets_folder(&self) -> PathBuf {
        self.folder.join("secrets")
    }

    /// Reads the first generation of a secret.
    pub(crate) fn secret(&self, name: &str) -> anyhow::Result<String> {
        let path = self.secrets_folder().join(name);
        let text = fs::read_to_string(&path);
        Ok(text
            .with_context(|| format!("no secret {}", path.display()))?
            .trim_end()
            .to_owned())
    }

    /// Creates a later generation of a secret, which the next deployment uses.
    pub(crate) fn rotate(
        &mut self,
        secret: &str,
        variable: &str,
        generation: u32,
        content: &str,
    ) -> anyhow::Result<()> {
        let path = self.folder.join(format!("{secret}_{generation}"));
        fs::write(&path, content)?;
        let name = format!("{NAME}_{secret}_{generation}");
        let create = ["secret", "create", &name].map(OsStr::new);
        self.engine
            .docker(create.into_iter().chain([path.as_os_str()]))?;
        self.set(variable, &generation.to_string());
        Ok(())
    }

    /// Sets a variable of the next deployments.
    pub(crate) fn set(&mut self, variable: &str, value: &str) {
        self.variables.insert(variable.to_owned(), value.to_owned());
    }

    /// Adds a file that overrides the earlier files in the next deployments.
    pub(crate) fn override_with(&mut self, name: &str, content: &str) -> anyhow::Result<()> {
        let path = self.folder.join(name);
        fs::write(&path, content)?;
        if !self.files.contains(&path) {
            self.files.push(path);
        }
        Ok(())
    }

    /// Deploys all services with the present files and variables.
    pub(crate) fn deploy(&self) -> anyhow::Result<Deployment> {
        let mut options = Vec::new();
        for file in &self.files {
            options.push("--file".into());
            options.push(file.as_os_str().to_owned());
        }
        self.run(&options)
    }

    /// Updates one service to an image.
    pub(crate) fn update(&self, service: &str, image: &str) -> anyhow::Result<Deployment> {
        self.run(&["--service", service, "--image", image].map(Into::into))
    }

    fn run(&self, options: &[std::ffi::OsString]) -> anyhow::Result<Deployment> {
        let start = Instant::now();
        let output = Command::new(&self.program)
            .arg("deploy")
            .args(["--stack", NAME, "--resolve-image", "never"])
            .args(["--timeout-seconds", &DEPLOY_SECONDS_MAX.to_string()])
            .args(options)
            .envs(&self.variables)
            .env("DOCKER_HOST", self.engine.host())
            .stdin(Stdio::null())
            .output()
            .context("cannot run `minitwit deploy`")?;
        let text = [output.stdout, output.stderr].concat();
        Ok(Deployment {
            succeeded: output.status.success(),
            output: String::from_utf8_lossy(&text).into_owned(),
            time: start.elapsed(),
        })
    }

    /// Name of a service in the Swarm.
    pub(crate) fn service(name: &str) -> String {
        format!("{NAME}_{name}")
    }

    /// Waits until every service has at least its number of running tasks.
    pub(crate) fn wait_until_stable(&self) -> anyhow::Result<()> {
        let mut missing = String::new();
        let stable = wait_for_swarm(STABLE_TIMEOUT, || {
            missing = self.missing();
            Ok(missing.is_empty().then_some(()))
        });
        match stable {
            Ok(()) => Ok(()),
            Err(_) => bail!("some services have too few tasks: {missing}"),
        }
    }

    /// Lists the services with too few running tasks.
    fn missing(&self) -> String {
        let Ok(list) = self
            .engine
            .docker(["service", "ls", "--format", "{{.Name}} {{.Replicas}}"])
        else {
            // The managers are electing a leader.
            return "the Swarm does not answer".to_owned();
        };
        // The tasks of a node that is down are still counted, so there can be more tasks than wanted.
        let is_whole = |line: &&str| {
            let replicas = line.split_whitespace().nth(1);
            let numbers = replicas.and_then(|word| word.split_once('/'));
            let number = |text: &str| text.parse::<u32>().ok();
            let has_enough = numbers
                .is_some_and(|(running, wanted)| number(running) >= number(wanted).or(Some(1)));
            // The tasks of a migration have ended.
            line.contains("_migrate-") || has_enough
        };
        let missing: Vec<&str> = list.lines().filter(|line| !is_whole(line)).collect();
        missing.join(", ")
    }

    /// The running tasks of a service. With a health check, a running task is healthy.
    pub(crate) fn tasks(&self, service: &str) -> anyhow::Result<Vec<Task>> {
        let name = Self::service(service);
        let tasks = self.engine.docker([
            "service",
            "ps",
            "--no-trunc",
            "--filter",
            "desired-state=running",
            "--format",
            "{{.ID}} {{.Node}} {{.CurrentState}}",
            &name,
        ])?;
        let task = |line: &str| {
            let mut words = line.split_whitespace();
            let (id, node) = (words.next()?.to_owned(), words.next()?.to_owned());
            (words.next()? == "Running").then_some(Task { id, node })
        };
        Ok(tasks.lines().filter_map(task).collect())
    }
}
