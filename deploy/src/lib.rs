//! `minitwit deploy`: brings a stack to a Swarm and stays until it is known what became of it.
//!
//! `docker stack deploy` ends with success as soon as its orders are given, also when every service
//! is rolled back a minute later, and it knows no order among services. So it is given one part of
//! the stack after the other here: the databases, the migrations, what serves, a service at a time.
//! Each one's update is followed through the Engine's API until it is done, rolled back or stuck.

#![expect(
    clippy::print_stdout,
    reason = "a command-line tool talks to its terminal"
)]

mod follow;
mod reason;
mod stack;
mod swarm;
mod verdict;

use std::{path::PathBuf, time::Duration};

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};
use futures_util::future::BoxFuture;
use tokio::time::Instant;

use crate::{
    follow::{Follow, follow},
    stack::{Phase, Stack, Step},
    swarm::Swarm,
    verdict::Goal,
};

/// The options of `minitwit deploy`.
#[derive(Args, Clone, Debug)]
pub struct DeployArgs {
    /// The stack's files; a later one overrides the earlier ones
    #[arg(long = "file", short, default_value = "stack.yml", value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// The name of the stack
    #[arg(long, default_value = "minitwit", value_name = "NAME")]
    pub stack: String,
    /// Update this service alone, to the image given, after its migrations
    #[arg(
        long,
        requires = "image",
        conflicts_with = "rollback",
        value_name = "NAME"
    )]
    pub service: Option<String>,
    /// The image for that service
    #[arg(long, requires = "service", value_name = "IMAGE")]
    pub image: Option<String>,
    /// Bring this service back to what it was before its last update
    #[arg(long, value_name = "NAME")]
    pub rollback: Option<String>,
    /// Do not run the migrations first
    #[arg(long)]
    pub skip_migrations: bool,
    /// Whether the registry is asked for the images' digests
    #[arg(long, value_enum, default_value_t = ResolveImage::Always, value_name = "WHEN")]
    pub resolve_image: ResolveImage,
    /// Send the credentials of `docker login` to the nodes
    #[arg(long)]
    pub with_registry_auth: bool,
    /// How long each step may take, in seconds
    #[arg(long, default_value_t = 600, value_name = "SECONDS")]
    pub timeout_seconds: u64,
    /// The Engine of a manager [default: the one on this machine]
    #[arg(long, env = "DOCKER_HOST", value_name = "URL")]
    pub host: Option<String>,
}

/// Whether the registry is asked for the images' digests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ResolveImage {
    /// Always, so that every node runs the same.
    Always,
    /// For images that changed.
    Changed,
    /// Never: there is no registry, every node has the images.
    Never,
}

impl ResolveImage {
    fn word(self) -> &'static str {
        match self {
            Self::Always => "always",
            Self::Changed => "changed",
            Self::Never => "never",
        }
    }
}

/// The exit code when the stack runs what was asked for.
pub const DEPLOYED: u8 = 0;

/// The exit code when something was rolled back, paused or not done in time.
pub const NOT_DEPLOYED: u8 = 1;

/// Deploys, updates or rolls back, and returns the exit code once it is known what became of it.
///
/// # Errors
///
/// The order could not even be given: a file that is not valid, no Engine, an unknown service.
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
        _ => deploy.everything().await?,
    };
    Ok(if succeeded { DEPLOYED } else { NOT_DEPLOYED })
}

struct Deploy<'a> {
    args: &'a DeployArgs,
    swarm: &'a Swarm,
}

impl Deploy<'_> {
    /// One step after the other; one that fails is the last one.
    async fn everything(&self) -> anyhow::Result<bool> {
        let stack = Stack::read(
            &self.args.files,
            &self.args.stack,
            self.args.host.as_deref(),
        )
        .await?;
        let there = self.swarm.services().await?;
        let mut titled = None;
        for Step { phase, services } in stack.steps(|name| there.contains_key(name)) {
            if phase == Phase::Migration && self.args.skip_migrations {
                continue;
            }
            if titled.replace(phase) != Some(phase) {
                println!("== {}", phase.title());
            }
            let goal = if phase == Phase::Migration {
                // What has ended well runs again only when it is made anew.
                for service in &services {
                    self.swarm.remove(service).await?;
                }
                Goal::Complete
            } else {
                Goal::Update
            };
            let before = self.swarm.services().await?;
            let known_tasks = self.swarm.task_ids().await?;
            stack.deploy(&services, self.args).await?;
            if !self.follow(&services, goal, &before, known_tasks).await? {
                return Ok(false);
            }
        }
        println!("== Everything runs");
        Ok(true)
    }

    async fn update(&self, service: &str, image: &str) -> anyhow::Result<bool> {
        let before = self.swarm.services().await?;
        if !before.contains_key(service) {
            bail!("the stack {:?} has no service {service:?}", self.args.stack);
        }
        let job = format!("{}{service}", stack::MIGRATION_PREFIX);
        if before.contains_key(&job) && !self.args.skip_migrations {
            println!("== {}", Phase::Migration.title());
            let known_tasks = self.swarm.task_ids().await?;
            stack::set_image(&job, image, self.args).await?;
            if !self
                .follow(&[job], Goal::Complete, &before, known_tasks)
                .await?
            {
                return Ok(false);
            }
        }
        println!("== {}", Phase::Service.title());
        let known_tasks = self.swarm.task_ids().await?;
        stack::set_image(service, image, self.args).await?;
        self.follow(&[service.to_owned()], Goal::Update, &before, known_tasks)
            .await
    }

    async fn roll_back(&self, service: &str) -> anyhow::Result<bool> {
        let before = self.swarm.services().await?;
        if !before.contains_key(service) {
            bail!("the stack {:?} has no service {service:?}", self.args.stack);
        }
        println!("== Rolling {service} back");
        let known_tasks = self.swarm.task_ids().await?;
        self.swarm
            .roll_back(service)
            .await
            .with_context(|| format!("cannot roll {service} back"))?;
        self.follow(&[service.to_owned()], Goal::Rollback, &before, known_tasks)
            .await
    }

    async fn follow(
        &self,
        services: &[String],
        goal: Goal,
        before: &swarm::Services,
        known_tasks: swarm::TaskIds,
    ) -> anyhow::Result<bool> {
        let deadline = Instant::now() + Duration::from_secs(self.args.timeout_seconds);
        follow(
            self.swarm,
            services,
            Follow {
                goal,
                before,
                known_tasks,
                deadline,
            },
        )
        .await
    }
}
