//! The stack on the Swarm: its secrets, its variables, and `minitwit deploy`.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs,
    path::PathBuf,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};

use super::{
    engine::{Engine, output},
    image::INFRASTRUCTURE,
    machine::Machines,
};
use crate::{cargo::workspace, wait::wait_for_swarm};

/// How long a deployment may take before it counts as failed.
const DEPLOY_SECONDS_MAX: u32 = 240;

/// How long the Swarm may take to have everything run again.
const CALM_PATIENCE: Duration = Duration::from_mins(2);

/// The name of the stack, as operators have it.
const NAME: &str = "minitwit";

/// The stack, deployed through one manager.
#[derive(Debug)]
pub(crate) struct Stack {
    engine: Engine,
    program: PathBuf,
    folder: PathBuf,
    /// What the stack's file takes from the environment.
    variables: BTreeMap<String, String>,
    files: Vec<PathBuf>,
}

/// What came of a deployment.
#[derive(Debug)]
pub(crate) struct Deployment {
    pub(crate) succeeded: bool,
    /// All that it wrote.
    pub(crate) said: String,
    pub(crate) time: Duration,
}

/// One replica that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Task {
    pub(crate) id: String,
    /// The machine's name.
    pub(crate) node: String,
}

impl Deployment {
    /// An error unless it succeeded.
    pub(crate) fn check(self) -> anyhow::Result<Self> {
        ensure!(self.succeeded, "`minitwit deploy` failed:\n{}", self.said);
        Ok(self)
    }
}

impl Stack {
    /// The stack as the repository has it; `program` is `minitwit`.
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
            // As it is: it asks for no virtual address and no routing mesh, which not every kernel has.
            files: vec![workspace().join("stack.yml")],
        }
    }

    /// The manager's Engine.
    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Makes the secrets as an operator does.
    pub(crate) fn make_secrets(&self) -> anyhow::Result<()> {
        let mut script = Command::new("sh");
        script
            .arg(workspace().join("ops/secrets.sh"))
            .arg("--swarm")
            .arg(self.secrets_folder());
        script.env("DOCKER_HOST", self.engine.host());
        output(&mut script).map(drop)
    }

    /// Where the secrets' files are.
    pub(crate) fn secrets_folder(&self) -> PathBuf {
        self.folder.join("secrets")
    }

    /// The first generation of a secret.
    pub(crate) fn secret(&self, name: &str) -> anyhow::Result<String> {
        let path = self.secrets_folder().join(name);
        let text = fs::read_to_string(&path);
        Ok(text
            .with_context(|| format!("no secret {}", path.display()))?
            .trim_end()
            .to_owned())
    }

    /// Makes a later generation of a secret, and has the next deployment use it.
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

    /// Sets a variable for the deployments to come.
    pub(crate) fn set(&mut self, variable: &str, value: &str) {
        self.variables.insert(variable.to_owned(), value.to_owned());
    }

    /// Adds a file that overrides the others, from the next deployment on.
    pub(crate) fn override_with(&mut self, name: &str, content: &str) -> anyhow::Result<()> {
        let path = self.folder.join(name);
        fs::write(&path, content)?;
        if !self.files.contains(&path) {
            self.files.push(path);
        }
        Ok(())
    }

    /// Deploys everything as the files and the variables say.
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
        let said = [output.stdout, output.stderr].concat();
        Ok(Deployment {
            succeeded: output.status.success(),
            said: String::from_utf8_lossy(&said).into_owned(),
            time: start.elapsed(),
        })
    }

    /// The name of a service in the Swarm.
    pub(crate) fn service(name: &str) -> String {
        format!("{NAME}_{name}")
    }

    /// Waits until every service has as many tasks running as it is to have, at least.
    pub(crate) fn wait_until_calm(&self) -> anyhow::Result<()> {
        let mut missing = String::new();
        let calm = wait_for_swarm(CALM_PATIENCE, || {
            missing = self.missing();
            Ok(missing.is_empty().then_some(()))
        });
        match calm {
            Ok(()) => Ok(()),
            Err(_) => bail!("not everything runs: {missing}"),
        }
    }

    /// The services that have fewer tasks than they are to have.
    fn missing(&self) -> String {
        let Ok(list) = self
            .engine
            .docker(["service", "ls", "--format", "{{.Name}} {{.Replicas}}"])
        else {
            // The managers elect a leader.
            return "the Swarm does not answer".to_owned();
        };
        // A node that is down is counted with what ran there: then there are more than wanted.
        let is_whole = |line: &&str| {
            let replicas = line.split_whitespace().nth(1);
            let numbers = replicas.and_then(|word| word.split_once('/'));
            let number = |text: &str| text.parse::<u32>().ok();
            let has_enough =
                numbers.is_some_and(|(has, wanted)| number(has) >= number(wanted).or(Some(1)));
            // What brings a schema up to date has ended.
            line.contains("_migrate-") || has_enough
        };
        let missing: Vec<&str> = list.lines().filter(|line| !is_whole(line)).collect();
        missing.join(", ")
    }

    /// The tasks of a service that run, which with a health check means: are healthy.
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
