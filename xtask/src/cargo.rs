//! Cargo, and the tools that come through it.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use crate::steps::{self, Outcome};

/// The folder of the workspace.
pub(crate) fn workspace() -> &'static Path {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().expect("xtask is a folder of the workspace")
}

/// `cargo` itself, the one that runs this, in the workspace.
pub(crate) fn cargo<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Command {
    let program = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(program);
    command.args(arguments).current_dir(workspace());
    // What cargo tells this program about its own package: some build scripts depend on it, and
    // would run again after each change between `cargo` and `cargo xtask`.
    let is_ours =
        |name: &str| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_");
    for (name, _) in env::vars_os().filter(|(name, _)| name.to_str().is_some_and(is_ours)) {
        command.env_remove(name);
    }
    command
}

/// Where a program of this name is, as a shell would find it.
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    let search_path = env::var_os("PATH")?;
    env::split_paths(&search_path)
        .map(|folder| folder.join(name))
        .find(|path| path.is_file())
}

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
