//! Cargo, and tools that cargo installs.

use std::{env, path::PathBuf};

pub(crate) use xtask::{cargo, find_program, workspace};

use crate::steps::{self, Outcome};

/// A tool from crates.io that is built if it is missing.
#[derive(Debug)]
pub(crate) struct Tool {
    pub(crate) name: &'static str,
    pub(crate) version: &'static str,
}

impl Tool {
    /// Returns the path of the tool in `PATH`, or the path of a tool that [`Tool::install`] built.
    pub(crate) fn find(&self) -> Option<PathBuf> {
        find_program(self.name).or_else(|| {
            let built = self.folder().join("bin").join(self.name);
            built.is_file().then_some(built)
        })
    }

    /// Builds the tool in a folder of its own, separate from the user's programs.
    pub(crate) fn install(&self) -> anyhow::Result<Outcome> {
        // An unoptimised build takes a third of the time, and the tool runs as fast. The build does
        // not use the workspace's target folder because no other build can reuse its artifacts.
        let mut install = cargo(["install", "--locked", "--debug", "--version", self.version]);
        install.arg(self.name).arg("--root").arg(self.folder());
        install
            .env("CARGO_PROFILE_DEV_DEBUG", "0")
            .env_remove("CARGO_TARGET_DIR");
        steps::run(&mut install)
    }

    fn folder(&self) -> PathBuf {
        tool_cache().join(format!("{}-{}", self.name, self.version))
    }
}

/// Returns the folder for installed tools. It is outside of the checkout, so that all clones share it.
pub(crate) fn tool_cache() -> PathBuf {
    env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(env::home_dir()?.join(".cache")))
        .unwrap_or_else(|| workspace().join("target"))
        .join("minitwit-tools")
}
