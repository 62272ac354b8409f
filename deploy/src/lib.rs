//! `minitwit deploy`: deploys a stack to a Swarm and waits for the result.
//!
//! `docker stack deploy` ends with success as soon as the Swarm has accepted the new specifications,
//! even if every service is rolled back a minute later. It also deploys all services at once. This
//! crate instead passes the stack to the client in steps: the databases, the migrations, then the
//! serving services one at a time. After each step it polls the Engine's API until every service of
//! the step is updated, rolled back, paused or out of time.

#![expect(
    clippy::print_stdout,
    reason = "a command-line tool prints to its terminal"
)]

mod failure;
mod progress;
mod stack;
mod swarm;
mod watch;

use std::{path::PathBuf, time::Duration};

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};
use futures_util::future::BoxFuture;
use tokio::time::Instant;

use crate::{
    progress::Goal,
    stack::{Phase, Stack, Step},
    swarm::Swarm,
    watch::{WatchOptions, watch},
};

/// The options of `minitwit deploy`.
#[derive(Args, Clone, Debug)]
pub struct DeployArgs {
    /// A stack file. A later file overrides the values of earlier files
    #[arg(long = "file", short, default_value = "stack.yml", value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// The name of the stack
    #[arg(long, default_value = "minitwit", value_name = "NAME")]
    pub stack: String,
    /// Update only this service and its migrations to the image of --image
    #[arg(
        long,
        requires = "image",
        conflicts_with = "rollback",
        value_name = "NAME"
    )]
    pub service: Option<String>,
    /// The image for the service of --service
    #[arg(long, requires = "service", value_name = "IMAGE")]
    pub image: Option<String>,
    /// Roll this service back to its specification before the last update
    #[arg(long, value_name = "NAME")]
    pub rollback: Option<String>,
    /// Do not run the migrations
    #[arg(long)]
    pub skip_migrations: bool,
    /// When to resolve the images' digests at the registry
    #[arg(long, value_enum, default_value_t = ResolveImage::Always, value_name = "WHEN")]
    pub resolve_image: ResolveImage,
    /// Send the credentials of `docker login` to the nodes
    #[arg(long)]
    pub with_registry_auth: bool,
    /// Maximum time for each step, in seconds
    #[arg(long, default_value_t = 600, value_name = "SECONDS")]
    pub timeout_seconds: u64,
    /// The Engine of a manager [default: the Engine on this machine]
    #[arg(long, env = "DOCKER_HOST", value_name = "URL")]
    pub host: Option<String>,
}

/// When the images' digests are resolved at the registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ResolveImage {
    /// Always, so that every node runs the same image.
    Always,
    /// Only for images that changed.
    Changed,
    /// Never, because every node has the images already.
    Never,
}

impl ResolveImage {
    fn as_option(self) -> &'static str {
        match self {
            Self::Always => "always",
            Self::Changed => "changed",
            Self::Never => "never",
        }
    }
}

/// The exit code if every service reached its goal.
pub const DEPLOYED: u8 = 0;

/// The exit code if a service was rolled back, was paused, failed or was not done in time.
pub const NOT_DEPLOYED: u8 = 1;

/// Deploys a stack, updates a service or rolls a service back, and returns the exit code.
///
/// # Errors
///
/// Fails if the deployment cannot start or the Engine cannot be asked for its state, for example
/// because a file is not valid, the Engine cannot be reached or the service does not exist.
///
/// The future is boxed, so that its code is compiled in this crate and not again in the program.
pub fn run(args: DeployArgs) -> BoxFuture<'static, anyhow::Result<u8>> {
    Box::pin(deploy(args))
}

async fn deploy(args: DeployArgs) -> anyhow::Result<u8> {
    let swarm = Swarm::connect(args.host.as_deref(), &args.stack).await?;
    let deploy = Deploy {
        args: &args,
        swarm: &swarm,
    };
    let succeeded = match (&args.rollback, &args.service, &args.image) {
        (Some(service), _, _) => deploy.roll_back(service).await?,
        (None, Some(service), Some(image)) => deploy.update(service, image).await?,
        _ => deploy.deploy_stack().await?,
    };
    Ok(if succeeded { DEPLOYED } else { NOT_DEPLOYED })
}

struct Deploy<'a> {
    args: &'a DeployArgs,
    swarm: &'a Swarm,
}

impl Deploy<'_> {
    /// Deploys the stack step by step, and stops after the first failed step.
    async fn deploy_stack(&self) -> anyhow::Result<bool> {
        let stack = Stack::read(
            &self.args.files,
            &self.args.stack,
            self.args.host.as_deref(),
        )
        .await?;
        let existing = self.swarm.services().await?;
        let mut printed_phase = None;
        for Step { phase, services } in stack.steps(|name| existing.contains_key(name)) {
            if phase == Phase::Migration && self.args.skip_migrations {
                continue;
            }
            if printed_phase.replace(phase) != Some(phase) {
                println!("== {}", phase.title());
            }
            let goal = if phase == Phase::Migration {
                // A migration that has ended runs again only after its service is created again.
                for service in &services {
                    self.swarm.remove(service).await?;
                }
                Goal::Complete
            } else {
                Goal::Update
            };
            let services_before = self.swarm.services().await?;
            let tasks_before = self.swarm.task_ids().await?;
            stack.deploy(&services, self.args).await?;
            if !self
                .watch(&services, goal, &services_before, tasks_before)
                .await?
            {
                return Ok(false);
            }
        }
        println!("== All services run");
        Ok(true)
    }

    async fn update(&self, service: &str, image: &str) -> anyhow::Result<bool> {
        let services_before = self.swarm.services().await?;
        if !services_before.contains_key(service) {
            bail!("the stack {:?} has no service {service:?}", self.args.stack);
        }
        let job = format!("{}{service}", stack::MIGRATION_PREFIX);
        if services_before.contains_key(&job) && !self.args.skip_migrations {
            println!("== {}", Phase::Migration.title());
            let tasks_before = self.swarm.task_ids().await?;
            stack::set_image(&job, image, self.args).await?;
            if !self
                .watch(&[job], Goal::Complete, &services_before, tasks_before)
                .await?
            {
                return Ok(false);
            }
        }
        println!("== {}", Phase::Service.title());
        let tasks_before = self.swarm.task_ids().await?;
        stack::set_image(service, image, self.args).await?;
        self.watch(
            &[service.to_owned()],
            Goal::Update,
            &services_before,
            tasks_before,
        )
        .await
    }

    async fn roll_back(&self, service: &str) -> anyhow::Result<bool> {
        let services_before = self.swarm.services().await?;
        if !services_before.contains_key(service) {
            bail!("the stack {:?} has no service {service:?}", self.args.stack);
        }
        println!("== Rolling {service} back");
        let tasks_before = self.swarm.task_ids().await?;
        self.swarm
            .roll_back(service)
            .await
            .with_context(|| format!("cannot roll {service} back"))?;
        self.watch(
            &[service.to_owned()],
            Goal::Rollback,
            &services_before,
            tasks_before,
        )
        .await
    }

    async fn watch(
        &self,
        services: &[String],
        goal: Goal,
        services_before: &swarm::Services,
        tasks_before: swarm::TaskIds,
    ) -> anyhow::Result<bool> {
        let deadline = Instant::now() + Duration::from_secs(self.args.timeout_seconds);
        watch(
            self.swarm,
            services,
            WatchOptions {
                goal,
                services_before,
                tasks_before,
                deadline,
            },
        )
        .await
    }
}
