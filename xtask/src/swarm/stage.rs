//! Where the scenarios take place: the machines, the stack on them, and the load.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::Context;

use super::{
    Options, image,
    machine::{Machines, Node},
    stack::{Deployment, Stack, Task},
};
use crate::{
    load::{Load, LoadOptions, Measured},
    wait::wait_for_swarm,
};

/// How long the managers may take to see a node come or go.
const NODE_PATIENCE: Duration = Duration::from_secs(90);

/// The machines with the stack on them.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) machines: Machines,
    pub(crate) stack: Stack,
    pub(crate) load: LoadOptions,
    minitwit: PathBuf,
    /// How another version of the suite is built.
    pub(crate) profile: String,
    generation: u32,
}

impl Stage {
    /// Makes a Swarm of the machines and deploys the stack.
    pub(crate) fn set(
        machines: Machines,
        programs: &Path,
        options: &Options,
    ) -> anyhow::Result<Self> {
        let start = Instant::now();
        let tell = |what: &str| println!("{:>5.1} s  {what}", start.elapsed().as_secs_f32());
        tell("three machines run");
        image::build(&machines, programs)?;
        tell("they have the images");
        let stage = Self::again(machines, programs, options);
        stage.form_swarm()?;
        tell("they are a Swarm");
        stage.stack.make_secrets()?;
        let deployment = stage.stack.deploy()?;
        println!("{}", deployment.said.trim_end());
        tell("`minitwit deploy` has ended");
        deployment.check().context("the first deployment")?;
        stage.stack.wait_until_calm()?;
        tell("the stack runs");
        Ok(stage)
    }

    /// Over machines on which the stack has been deployed already.
    pub(crate) fn again(machines: Machines, programs: &Path, options: &Options) -> Self {
        let minitwit = programs.join("minitwit");
        let stack = Stack::new(&machines, minitwit.clone());
        Self {
            load: LoadOptions {
                url: format!("http://{}:5001", machines.nodes()[0].address),
                credentials: Some(stack.secrets_folder().join("simulator_credentials")),
                rate: options.rate,
                allowed_percent: options.allowed,
            },
            minitwit,
            stack,
            machines,
            profile: options.profile.clone(),
            generation: 1,
        }
    }

    /// Takes everything down, or leaves it.
    pub(crate) fn close(self, keep: bool) {
        if keep {
            let folder = self.machines.folder().display().to_string();
            println!("the Swarm stays up: DOCKER_HOST=unix://{folder}/n1/docker.sock");
            self.machines.leave_up();
        }
    }

    fn form_swarm(&self) -> anyhow::Result<()> {
        let [first, others @ ..] = self.machines.nodes() else {
            anyhow::bail!("there are no machines");
        };
        let engine = first.engine();
        engine.docker(["swarm", "init", "--advertise-addr", &first.address])?;
        let token = engine.docker(["swarm", "join-token", "--quiet", "manager"])?;
        let manager = format!("{}:2377", first.address);
        for node in others {
            let join = [
                "swarm",
                "join",
                "--token",
                &token,
                "--advertise-addr",
                &node.address,
            ];
            let mut join = node.engine().client(join);
            super::engine::output(join.arg(&manager))?;
        }
        // As docs/operations.md has it; the machine that is entered is the database's.
        let label = [
            "node",
            "update",
            "--label-add",
            "minitwit.database=true",
            &first.name,
        ];
        engine.docker(label)?;
        for node in self.machines.nodes() {
            let label = [
                "node",
                "update",
                "--label-add",
                "minitwit.edge=true",
                &node.name,
            ];
            engine.docker(label)?;
        }
        Ok(())
    }

    /// Runs `event` under load, with a moment before it and after it, and tells what users saw.
    pub(crate) fn measure<T>(
        &mut self,
        event: impl FnOnce(&mut Self, &Load) -> anyhow::Result<T>,
    ) -> anyhow::Result<(T, Measured)> {
        self.stack.wait_until_calm()?;
        let minitwit = self.machines.outside(&self.minitwit)?;
        let folder = self.machines.folder().join("load");
        let load = Load::start(minitwit, &folder, &self.load)?;
        self.machines.adopt("load", load.process())?;
        load.run_alone();
        let happened = event(self, &load)?;
        let measured = load.finish()?;
        Ok((happened, measured))
    }

    /// Updates a service, and fails unless that goes well.
    pub(crate) fn update(&self, service: &str, version: &str) -> anyhow::Result<Deployment> {
        let image = format!("minitwit-{service}:{version}");
        let deployment = self.stack.update(service, &image)?.check()?;
        println!(
            "{service}: updated in {:.0} s",
            deployment.time.as_secs_f32()
        );
        Ok(deployment)
    }

    /// A number that no secret of the Swarm has yet.
    pub(crate) fn next_generation(&mut self) -> u32 {
        let secrets = self
            .stack
            .engine()
            .docker(["secret", "ls", "--format", "{{.Name}}"]);
        let numbers = secrets.unwrap_or_default();
        let newest = numbers
            .lines()
            .filter_map(|name| name.rsplit('_').next()?.parse().ok())
            .max();
        self.generation = self.generation.max(newest.unwrap_or(1)) + 1;
        self.generation
    }

    /// The tag of the image that a service is to run.
    pub(crate) fn runs_version(&self, service: &str) -> anyhow::Result<String> {
        let format = "{{.Spec.TaskTemplate.ContainerSpec.Image}}";
        let name = Stack::service(service);
        let image = self
            .stack
            .engine()
            .docker(["service", "inspect", "--format", format, &name])?;
        let (_, tag) = image.split_once(':').context("an image without a tag")?;
        Ok(tag.to_owned())
    }

    /// Waits until another task runs instead of one that has died.
    pub(crate) fn wait_until_replaced(&self, service: &str, task: &Task) -> anyhow::Result<()> {
        wait_for_swarm(NODE_PATIENCE, || {
            Ok((!self.stack.tasks(service)?.contains(task)).then_some(()))
        })
        .with_context(|| format!("a dead replica of {service} is still counted"))?;
        self.stack.wait_until_calm()
    }

    /// Takes a machine out of use, or back into it.
    pub(crate) fn set_availability(&self, node: &Node, word: &str) -> anyhow::Result<()> {
        println!("{} is set to {word}", node.name);
        let update = ["node", "update", "--availability", word, &node.name];
        self.stack.engine().docker(update).map(drop)
    }

    /// Starts the tasks of a service anew that are all on one machine: before one is taken out, as
    /// operations.md has it.
    pub(crate) fn spread(&self) -> anyhow::Result<()> {
        for service in image::PROCESSES {
            let tasks = self.stack.tasks(service)?;
            if tasks.windows(2).all(|pair| pair[0].node == pair[1].node) {
                println!("all of {service} is on one machine: spreading it");
                let name = Stack::service(service);
                let update = ["service", "update", "--force", "--quiet", &name];
                self.stack.engine().docker(update)?;
            }
        }
        Ok(())
    }

    /// The machine that holds most of the suite, of those that neither the database nor the users'
    /// address is on.
    pub(crate) fn victim(&self) -> anyhow::Result<Node> {
        let mut counts = vec![0; self.machines.nodes().len()];
        for service in image::PROCESSES {
            for task in self.stack.tasks(service)? {
                let mut nodes = self.machines.nodes().iter();
                let at = nodes.position(|node| node.name == task.node);
                counts[at.with_context(|| format!("no machine {}", task.node))?] += 1;
            }
        }
        let others = self.machines.nodes().iter().zip(&counts).skip(1);
        let (node, count) = others
            .max_by_key(|(_, count)| **count)
            .context("one machine only")?;
        println!(
            "{} holds {count} of {} replicas",
            node.name,
            counts.iter().sum::<i32>()
        );
        Ok(node.clone())
    }

    /// Waits until the managers say this of a node: `Ready`, `Down`.
    pub(crate) fn wait_for_node(&self, node: &Node, state: &str) -> anyhow::Result<()> {
        let engine = self.stack.engine();
        wait_for_swarm(NODE_PATIENCE, || {
            let said = engine.docker([
                "node",
                "inspect",
                "--format",
                "{{.Status.State}}",
                &node.name,
            ]);
            Ok(said
                .is_ok_and(|said| said.eq_ignore_ascii_case(state))
                .then_some(()))
        })
        .with_context(|| format!("{} does not become {state}", node.name))
    }
}
