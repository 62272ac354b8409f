//! axe-core, with which the browser's tests look for barriers; it comes through npm.

use std::process::Command;

use crate::{cargo::workspace, steps};

const PACKAGE: &str = "axe-core@4.14.1";

/// Brings it where the tests look for it. Should that fail, they say what to do.
pub(super) fn install_missing() {
    let folder = workspace().join("target/axe-core");
    if folder.join("node_modules/axe-core/axe.min.js").is_file() {
        return;
    }
    let mut install = Command::new("npm");
    install.args(["install", "--no-audit", "--no-fund", "--prefix"]);
    if let Err(error) = steps::run(install.arg(&folder).arg(PACKAGE)) {
        println!("axe-core cannot be installed: {error:#}");
    }
}
