//! The suite's programs.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{bail, ensure};
use xtask::{cargo, target_folder};

/// Maximum number of attempts to migrate a database, because a busy machine can exceed a timeout.
const MIGRATIONS_MAX: usize = 10;

const PACKAGES: [&str; 5] = [
    "minitwit",
    "minitwit-gateway",
    "minitwit-user",
    "minitwit-follower",
    "minitwit-message",
];

/// A process of the suite by its program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Role {
    User,
    Follower,
    Message,
    Gateway,
}

impl Role {
    /// All roles, in the order in which their processes start.
    pub(crate) const ALL: [Self; 4] = [Self::User, Self::Follower, Self::Message, Self::Gateway];

    /// The services, each with a database of its own.
    pub(crate) const SERVICES: [Self; 3] = [Self::User, Self::Follower, Self::Message];

    /// `user`, `follower`, `message` or `gateway`.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Follower => "follower",
            Self::Message => "message",
            Self::Gateway => "gateway",
        }
    }

    fn program(self) -> String {
        format!("minitwit-{}", self.name())
    }
}

/// Options that choose the suite's programs.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Build {
    /// The profile that the suite is built with [default: dist for measurements, release for faults]
    #[arg(long, value_name = "PROFILE")]
    pub(crate) profile: Option<String>,
    /// A folder with the suite's programs, instead of building them
    #[arg(long, value_name = "FOLDER", conflicts_with = "profile")]
    pub(crate) programs: Option<PathBuf>,
}

impl Build {
    /// Builds the programs, or finds them in the folder that is given.
    pub(crate) fn programs(&self, default_profile: &str) -> anyhow::Result<Programs> {
        match &self.programs {
            Some(folder) => Programs::in_folder(folder),
            None => Programs::build(self.profile.as_deref().unwrap_or(default_profile)),
        }
    }
}

/// The suite's programs in one folder, with the environment of their processes.
#[derive(Clone, Debug)]
pub(crate) struct Programs {
    folder: PathBuf,
    environment: Vec<(String, String)>,
}

impl Programs {
    /// Builds the programs with a profile of the workspace.
    fn build(profile: &str) -> anyhow::Result<Self> {
        let mut build = cargo(["build", "--locked", "--bins", "--profile", profile]);
        build.args(PACKAGES.iter().flat_map(|name| ["--package", name]));
        xtask::run(&mut build)?;
        Self::in_folder(&target_folder()?.join(profile_folder(profile)))
    }

    /// Finds the programs in a folder.
    pub(crate) fn in_folder(folder: &Path) -> anyhow::Result<Self> {
        let programs = Self {
            folder: std::path::absolute(folder)?,
            environment: Vec::new(),
        };
        for role in Role::ALL {
            let program = programs.folder.join(role.program());
            ensure!(
                program.is_file(),
                "{} is missing: build the workspace first",
                program.display()
            );
        }
        Ok(programs)
    }

    /// The same programs with more environment variables.
    pub(crate) fn with_env(&self, variables: &[(&str, &str)]) -> Self {
        let variables = variables.iter();
        let variables = variables.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let mut programs = self.clone();
        programs.environment.extend(variables);
        programs
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The program `minitwit`, which is the whole suite in one process and the command line.
    pub(crate) fn minitwit(&self) -> Command {
        self.command("minitwit")
    }

    /// The program of a role.
    pub(crate) fn of(&self, role: Role) -> Command {
        self.command(&role.program())
    }

    fn command(&self, name: &str) -> Command {
        let mut command = Command::new(self.folder.join(name));
        command.env("RUST_LOG", "warn");
        let variables = self.environment.iter();
        command.envs(variables.map(|(name, value)| (name, value)));
        command
    }

    /// Brings the schema of a service's database up to date.
    pub(crate) fn migrate(&self, role: Role, database_url: &str) -> anyhow::Result<()> {
        let mut error = String::new();
        for _ in 0..MIGRATIONS_MAX {
            let mut command = self.of(role);
            command.arg("migrate").env("DATABASE_URL", database_url);
            let output = command.output()?;
            if output.status.success() {
                return Ok(());
            }
            error = String::from_utf8_lossy(&output.stderr).into_owned();
        }
        bail!("`{} migrate` failed: {error}", role.program())
    }
}

/// The subfolder into which cargo builds with a profile.
pub(crate) fn profile_folder(profile: &str) -> &str {
    if profile == "dev" { "debug" } else { profile }
}
