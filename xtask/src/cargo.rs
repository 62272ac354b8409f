//! Cargo, and the tools that come through it.

use std::{env, path::PathBuf};

pub(crate) use xtask::{cargo, find_program, workspace};

use crate::steps::{self, Outcome};

/// A tool from crates.io, built when it is missing.
#[derive(Debug)]
pub(crate) struct Tool {
    pub(crate) name: &'static str,
    pub(crate) version: &'static str,
}

impl Tool {
    /// The tool's program: an installed one, or one that an earlier run has built.
    pub(crate) fn find(&self) -> Option<PathBuf> {
        find_program(self.name).or_else(|| {
            let built = self.folder().join("bin").join(self.name);
            built.is_file().then_some(built)
        })
    }

    /// Builds it, away from the user's own programs.
    pub(crate) fn install(&self) -> anyhow::Result<Outcome> {
        // Unoptimised: it takes a third of the time to build, and as long to run. In a folder of its
        // own, since nothing else can use what is built on the way.
        let mut install = cargo(["install", "--locked", "--debug", "--version", self.version]);
        install.arg(self.name).arg("--root").arg(self.folder());
        install
            .env("CARGO_PROFILE_DEV_DEBUG", "0")
            .env_remove("CARGO_TARGET_DIR");
        steps::run(&mut install)
    }

    /// Outside of the checkout, so that the next clone finds it.
    fn folder(&self) -> PathBuf {
        env::var_os("XDG_CACHE_HOME")
            .map(PathBuf::from)
            .or_else(|| Some(env::home_dir()?.join(".cache")))
            .unwrap_or_else(|| workspace().join("target"))
            .join("minitwit-tools")
            .join(format!("{}-{}", self.name, self.version))
    }
}
