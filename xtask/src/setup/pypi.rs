//! Linters from `PyPI`, at exact versions, in a virtual environment.

use std::{
    fs,
    path::PathBuf,
    process::{Command, Stdio},
};

use crate::{
    cargo::{find_program, tool_cache, workspace},
    steps,
};

/// Versions and hashes of the packages.
const REQUIREMENTS: &str = include_str!("../../tools/requirements.txt");

/// Returns the path of a program. A program in the virtual environment takes precedence over one in
/// `PATH`.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let installed = environment().join("bin").join(program);
    if is_current() && installed.is_file() {
        Some(installed)
    } else {
        find_program(program)
    }
}

/// Recreates the virtual environment if it was installed from other requirements.
pub(super) fn install_linters() -> anyhow::Result<()> {
    if is_current() {
        return Ok(());
    }
    let environment = environment();
    let mut create = Command::new("python3");
    steps::run(create.args(["-m", "venv", "--clear"]).arg(&environment))?;
    let mut pip = Command::new(environment.join("bin/python"));
    pip.args(["-m", "pip", "--disable-pip-version-check", "install"])
        .args(["--quiet", "--require-hashes", "--requirement"])
        .arg(workspace().join("xtask/tools/requirements.txt"));
    steps::run(&mut pip)?;
    fs::write(environment.join("requirements.txt"), REQUIREMENTS)?;
    Ok(())
}

/// Returns whether Python can create a virtual environment. On Debian this needs a separate package.
pub(super) fn can_install() -> bool {
    Command::new("python3")
        .args(["-c", "import ensurepip, venv"])
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

fn is_current() -> bool {
    fs::read_to_string(environment().join("requirements.txt"))
        .is_ok_and(|installed| installed == REQUIREMENTS)
}

fn environment() -> PathBuf {
    tool_cache().join("python")
}
