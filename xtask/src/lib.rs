//! Functions for the workspace, cargo and other programs, which the project's commands and the lab share.
#![expect(
    clippy::print_stdout,
    reason = "a command-line tool writes to its terminal"
)]

pub mod dashboards;

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, bail};

/// Returns the folder of the workspace.
pub fn workspace() -> &'static Path {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().expect("xtask is a folder of the workspace")
}

/// Returns the folder into which cargo builds. The running program is in the subfolder of its profile.
pub fn target_folder() -> anyhow::Result<PathBuf> {
    let folder = program_folder()?.parent().map(Path::to_owned);
    folder.context("this program is not in a target folder of cargo")
}

/// Returns the folder of the running program, which holds all programs of the same build.
pub fn program_folder() -> anyhow::Result<PathBuf> {
    let program = env::current_exe().context("cannot find the file of this program")?;
    let folder = program.parent().map(Path::to_owned);
    folder.context("the file of this program has no folder")
}

/// Returns a command that runs the same `cargo` as the one that runs this program, in the workspace.
pub fn cargo<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Command {
    let program = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(program);
    command.args(arguments).current_dir(workspace());
    // Some build scripts depend on the variables that describe the running package. They would run again
    // after each change between `cargo` and `cargo xtask`.
    let is_package_variable =
        |name: &str| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_");
    for (name, _) in
        env::vars_os().filter(|(name, _)| name.to_str().is_some_and(is_package_variable))
    {
        command.env_remove(name);
    }
    command
}

/// Returns the file of a program that is in the `PATH`.
pub fn find_program(name: &str) -> Option<PathBuf> {
    let search_path = env::var_os("PATH")?;
    env::split_paths(&search_path)
        .map(|folder| folder.join(name))
        .find(|path| path.is_file())
}

/// Prints a command, runs it with this program's output, and fails if the command fails.
pub fn run(command: &mut Command) -> anyhow::Result<()> {
    let line = command_line(command);
    println!("$ {line}");
    let status = command
        .status()
        .with_context(|| format!("cannot run `{line}`"))?;
    if !status.success() {
        bail!("`{line}` failed, {status}");
    }
    Ok(())
}

/// Returns a command as a shell's user types it, without the folder of its program.
fn command_line(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let name = program.file_name().unwrap_or(program.as_os_str());
    std::iter::once(name)
        .chain(command.get_args())
        .map(|word| word.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_of_a_failed_command_names_the_command() {
        let error = run(Command::new("/bin/sh").args(["-c", "exit 3"])).unwrap_err();

        assert_eq!(error.to_string(), "`sh -c exit 3` failed, exit status: 3");
    }
}
