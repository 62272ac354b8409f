//! What the tests need on a machine, and how it gets there.

use std::{
    fs,
    io::{self, IsTerminal, Write},
    os::unix::fs::MetadataExt,
    path::Path,
    process::Command,
};

use anyhow::bail;

use crate::{
    cargo::{find_program, workspace},
    steps,
};

mod axe;

/// A program that steps need and that no Rust package brings.
#[derive(Debug)]
struct Need {
    /// Debian's package.
    package: &'static str,
    /// What for, as the reader of an error wants to know it.
    purpose: &'static str,
    /// Whether it is there.
    probe: fn() -> bool,
}

/// Add here what a new step needs.
const NEEDS: &[Need] = &[
    Need {
        package: "postgresql",
        purpose: "tests: the stores keep their promises on both databases",
        probe: minitwit_postgres::is_installed,
    },
    Need {
        package: "haproxy",
        purpose: "chaos: an edge that repeats requests when a gateway dies",
        probe: || find_program("haproxy").is_some(),
    },
    Need {
        package: "chromium",
        purpose: "tests: the pages in a real browser",
        probe: || Path::new("/usr/bin/chromium").exists(),
    },
    Need {
        package: "npm",
        purpose: "tests: it brings axe-core, which looks for barriers on the pages",
        probe: || find_program("npm").is_some(),
    },
];

/// How packages can be installed here.
#[derive(Debug, PartialEq, Eq)]
enum Way {
    /// By root, without a question.
    Directly,
    /// Through sudo, if the person at the terminal agrees.
    AfterAsking,
    /// By somebody else.
    NotAtAll,
}

/// Brings what is missing, or says how to and fails.
pub(crate) fn install_missing() -> anyhow::Result<()> {
    let missing: Vec<&Need> = NEEDS.iter().filter(|need| !(need.probe)()).collect();
    if missing.is_empty() {
        axe::install_missing();
        return Ok(());
    }
    println!("These Debian packages are missing:");
    for need in &missing {
        println!("  {:<16} for {}", need.package, need.purpose);
    }
    let packages: Vec<&str> = missing.iter().map(|need| need.package).collect();
    // A script, so that it is one command for sudo to run.
    let install = workspace().join("xtask/src/install.sh");
    match way() {
        Way::Directly => steps::run(Command::new("sh").arg(install).args(&packages))?,
        Way::AfterAsking if agrees()? => {
            steps::run(Command::new("sudo").arg("sh").arg(install).args(&packages))?
        }
        Way::AfterAsking | Way::NotAtAll => {
            bail!("install them and start again:\n\n  {}\n", advice(&packages))
        }
    };
    if let Some(need) = missing.iter().find(|need| !(need.probe)()) {
        bail!("{} is installed, and still not to be found", need.package);
    }
    axe::install_missing();
    Ok(())
}

fn way() -> Way {
    let is_root = fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0);
    let in_ci = std::env::var_os("CI").is_some();
    if find_program("apt-get").is_none() {
        Way::NotAtAll
    } else if is_root {
        Way::Directly
    } else if find_program("sudo").is_some() && io::stdin().is_terminal() && !in_ci {
        Way::AfterAsking
    } else {
        Way::NotAtAll
    }
}

fn agrees() -> io::Result<bool> {
    print!("Install them with sudo? [y/N] ");
    io::stdout().flush()?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// The one command that a person runs instead.
fn advice(packages: &[&str]) -> String {
    format!(
        "sudo apt-get install --no-install-recommends {}",
        packages.join(" ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_advice_is_one_command() {
        assert_eq!(
            advice(&["postgresql", "haproxy"]),
            "sudo apt-get install --no-install-recommends postgresql haproxy"
        );
    }
}
