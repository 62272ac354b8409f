//! The scenarios' resources, which are the machines, the stack on them, and the load.

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
    load::{CAPACITY_USERS, Load, LoadOptions, LoadReport, Pace, bounded_rate},
    wait::wait_for_swarm,
};

/// Maximum time until the managers notice a change of a node.
const NODE_TIMEOUT: Duration = Duration::from_secs(90);

/// The machines with the stack on them.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) machines: Machines,
    pub(crate) stack: Stack,
    pub(crate) load: LoadOptions,
    minitwit: PathBuf,
    /// Requests a second of the load.
    pub(crate) rate: u32,
    /// Profile with which another version of the suite is built.
    pub(crate) profile: String,
    generation: u32,
}

impl Stage {
    /// Forms a Swarm of the machines and deploys the stack.
    pub(crate) fn deploy(
        machines: Machines,
        programs: &Path,
        options: &Options,
    ) -> anyhow::Result<Self> {
        let start = Instant::now();
        let log = |event: &str| println!("{:>5.1} s  {event}", start.elapsed().as_secs_f32());
        log("three machines run");
        image::build(&machines, programs)?;
        log("the machines have the images");
        let stage = Self::attach(machines, programs, options);
        stage.form_swarm()?;
        log("the machines are a Swarm");
        stage.stack.create_secrets()?;
        let deployment = stage.stack.deploy()?;
        println!("{}", deployment.output.trim_end());
        log("`minitwit deploy` has ended");
        deployment.check().context("the first deployment")?;
        stage.stack.wait_until_stable()?;
        log("the stack runs");
        Ok(stage)
    }

    /// Uses machines on which the stack has been deployed already.
    pub(crate) fn attach(machines: Machines, programs: &Path, options: &Options) -> Self {
        let minitwit = programs.join("minitwit");
        let stack = Stack::new(&machines, minitwit.clone());
        let url = format!("http://{}:5001", machines.nodes()[0].address);
        Self {
            load: LoadOptions {
                credentials: Some(stack.secrets_folder().join("simulator_credentials")),
                allowed_percent: options.allowed,
                ..LoadOptions::per_second(url, options.rate)
            },
            minitwit,
            stack,
            machines,
            rate: options.rate,
            profile: options.profile().to_owned(),
            generation: 1,
        }
    }

    /// Takes the machines down, or leaves them up.
    pub(crate) fn close(self, keep: bool) {
        if keep {
            let folder = self.machines.folder().display().to_string();
            println!("the Swarm stays up: DOCKER_HOST=unix://{folder}/n1/docker.sock");
            self.machines.leave_up();
        }
    }

    fn form_swarm(&self) -> anyhow::Result<()> {
        let [first, others @ ..] = self.machines.nodes() else {
            anyhow::bail!("the Swarm has no machines");
        };
        let engine = first.engine();
        engine.docker(["swarm", "init", "--advertise-addr", &first.address])?;
        let token = engine.docker(["swarm", "join-token", "--quiet", "manager"])?;
        let manager = format!("{}:2377", first.address);
        for node in others {
            let join = format!(
                "swarm join --token {token} --advertise-addr {}",
                node.address
            );
            let mut join = node.engine().client(join.split(' '));
            crate::command::output(join.arg(&manager))?;
        }
        // As in docs/operations.md. The first machine, at which requests arrive, has the database.
        let label = |node: &Node, label: &str| {
            let update = format!("node update --label-add {label} {}", node.name);
            engine.docker(update.split(' ')).map(drop)
        };
        label(first, "minitwit.database=true")?;
        for node in self.machines.nodes() {
            label(node, "minitwit.edge=true")?;
        }
        Ok(())
    }

    /// Measures the capacity of the stack, and bounds the rate of the load accordingly.
    pub(crate) fn bound_load(&mut self) -> anyhow::Result<()> {
        let users = LoadOptions {
            pace: Pace::Users(CAPACITY_USERS),
            ..self.load.clone()
        };
        let report = self.start_load(&users)?.finish()?;
        self.rate = bounded_rate(self.rate, report.ok_per_second);
        self.load.pace = Pace::PerSecond(self.rate);
        Ok(())
    }

    /// Runs `event` under load, with a margin before and after the event.
    pub(crate) fn measure<T>(
        &mut self,
        event: impl FnOnce(&mut Self, &Load) -> anyhow::Result<T>,
    ) -> anyhow::Result<(T, LoadReport)> {
        self.stack.wait_until_stable()?;
        let load = self.start_load(&self.load)?;
        load.run_margin();
        let value = event(self, &load)?;
        Ok((value, load.finish()?))
    }

    fn start_load(&self, options: &LoadOptions) -> anyhow::Result<Load> {
        let minitwit = self.machines.outside(&self.minitwit)?;
        let folder = self.machines.folder().join("load");
        let load = Load::start(minitwit, &folder, options)?;
        self.machines.adopt("load", load.process())?;
        Ok(load)
    }

    /// Updates a service, and fails unless the update succeeds.
    pub(crate) fn update(&self, service: &str, version: &str) -> anyhow::Result<Deployment> {
        let image = format!("minitwit-{service}:{version}");
        let deployment = self.stack.update(service, &image)?.check()?;
        println!(
            "{service}: updated in {:.0} s",
            deployment.time.as_secs_f32()
        );
        Ok(deployment)
    }

    /// Returns a generation that no secret of the Swarm has yet.
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

    /// Returns the tag of a service's image.
    pub(crate) fn version(&self, service: &str) -> anyhow::Result<String> {
        let format = "{{.Spec.TaskTemplate.ContainerSpec.Image}}";
        let name = Stack::service(service);
        let image = self
            .stack
            .engine()
            .docker(["service", "inspect", "--format", format, &name])?;
        let (_, tag) = image.split_once(':').context("an image without a tag")?;
        Ok(tag.to_owned())
    }

    /// Waits until another task has replaced a dead task.
    pub(crate) fn wait_until_replaced(&self, service: &str, task: &Task) -> anyhow::Result<()> {
        wait_for_swarm(NODE_TIMEOUT, || {
            Ok((!self.stack.tasks(service)?.contains(task)).then_some(()))
        })
        .with_context(|| format!("a dead replica of {service} still counts as running"))?;
        self.stack.wait_until_stable()
    }

    /// Drains a machine, or makes it available again.
    pub(crate) fn set_availability(&self, node: &Node, word: &str) -> anyhow::Result<()> {
        println!("{} is set to {word}", node.name);
        let update = ["node", "update", "--availability", word, &node.name];
        self.stack.engine().docker(update).map(drop)
    }

    /// Restarts the tasks of each service whose tasks are all on one machine. docs/operations.md requires this
    /// before a machine is drained.
    pub(crate) fn spread(&self) -> anyhow::Result<()> {
        for service in image::PROCESSES {
            let tasks = self.stack.tasks(service)?;
            if tasks.windows(2).all(|pair| pair[0].node == pair[1].node) {
                println!("all replicas of {service} are on one machine: spreading them");
                let name = Stack::service(service);
                let update = ["service", "update", "--force", "--quiet", &name];
                self.stack.engine().docker(update)?;
            }
        }
        Ok(())
    }

    /// Returns the machine with the most replicas of the suite, apart from the machine that has the database and
    /// the users' address.
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
            .context("there is only one machine")?;
        println!(
            "{} holds {count} of {} replicas",
            node.name,
            counts.iter().sum::<i32>()
        );
        Ok(node.clone())
    }

    /// Waits until the managers report a state of a node, such as `Ready` or `Down`.
    pub(crate) fn wait_for_node(&self, node: &Node, state: &str) -> anyhow::Result<()> {
        let engine = self.stack.engine();
        wait_for_swarm(NODE_TIMEOUT, || {
            let inspect = ["node", "inspect", "--format={{.Status.State}}", &node.name];
            let reported = engine.docker(inspect);
            Ok(reported
                .is_ok_and(|reported| reported.eq_ignore_ascii_case(state))
                .then_some(()))
        })
        .with_context(|| format!("{} does not become {state}", node.name))
    }
}
