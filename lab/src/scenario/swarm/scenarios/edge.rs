//! Replacement of the edge's files while the edge runs.

use std::{fs, process::Command};

use anyhow::{Context as _, ensure};
use xtask::workspace;

use crate::{command::output, scenario::swarm::stage::Stage, trial::ScenarioResult};

/// Replaces the certificate and the configuration in one deployment.
pub(super) fn files(stage: &mut Stage) -> anyhow::Result<ScenarioResult> {
    let before = served_certificate(stage)?;
    let generation = stage.next_generation();
    let certificate = new_certificate(stage)?;
    stage.stack.rotate(
        "edge_certificate",
        "CERTIFICATE_GENERATION",
        generation,
        &certificate,
    )?;
    let header = format!("X-Edge-Files {generation}");
    let configuration = fs::read_to_string(workspace().join("ops/haproxy/haproxy.cfg"))?;
    let frontend = "frontend simulator\n";
    ensure!(
        configuration.contains(frontend),
        "ops/haproxy/haproxy.cfg has no frontend for the simulator"
    );
    let changed = configuration.replace(
        frontend,
        &format!("{frontend}    http-response set-header {header}\n"),
    );
    let path = stage.machines.folder().join("haproxy.cfg");
    fs::write(&path, changed)?;
    let text = format!(
        "version: \"3.9\"\nconfigs:\n  edge_haproxy: {{file: {}}}\n",
        path.display()
    );
    stage.stack.override_with("edge.yml", &text)?;

    let (seconds, report) = stage.measure(|stage, _| {
        let deployment = stage.stack.deploy()?.check()?;
        Ok(deployment.time.as_secs_f32())
    })?;
    let after = served_certificate(stage)?;
    let mut curl = stage.machines.outside("curl")?;
    let headers = output(
        curl.args(["--silent", "--head", "--max-time", "5"])
            .arg(&stage.load.url),
    )?;
    let has_header = headers
        .to_lowercase()
        .contains(&header.to_lowercase().replace(' ', ": "));
    let mut result = ScenarioResult::new(report).fact(format!("deployed in {seconds:.0} s"));
    result.promise(before != after, "the edge still serves the old certificate");
    result.promise(has_header, "the edge still uses the old configuration");
    Ok(result.no_failure())
}

/// Reads the fingerprint of the certificate at the users' address.
fn served_certificate(stage: &Stage) -> anyhow::Result<String> {
    let address = format!("{}:443", stage.machines.nodes()[0].address);
    let mut client = stage.machines.outside("sh")?;
    let line = "openssl s_client -connect \"$0\" </dev/null 2>/dev/null | \
                openssl x509 -noout -fingerprint -sha256";
    output(client.args(["-c", line, &address])).context("the edge serves no certificate")
}

fn new_certificate(stage: &Stage) -> anyhow::Result<String> {
    let folder = stage.machines.folder();
    let (key, certificate) = (folder.join("key.pem"), folder.join("certificate.pem"));
    let mut openssl = Command::new("openssl");
    openssl.args("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1".split(' '));
    openssl.args("-nodes -days 2 -subj /CN=localhost -keyout".split(' '));
    output(openssl.arg(&key).arg("-out").arg(&certificate))?;
    Ok(fs::read_to_string(&certificate)? + &fs::read_to_string(&key)?)
}
