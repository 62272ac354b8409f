//! The edge's files, replaced while it runs.

use std::{fs, process::Command};

use anyhow::{Context as _, ensure};

use crate::{
    cargo::workspace,
    swarm::{engine::output, stage::Stage, trial::Trial},
};

/// A new certificate and another configuration, in one deployment.
pub(super) fn files(stage: &mut Stage) -> anyhow::Result<Trial> {
    let before = served_certificate(stage)?;
    let generation = stage.next_generation();
    let certificate = new_certificate(stage)?;
    stage.stack.rotate(
        "edge_certificate",
        "CERTIFICATE_GENERATION",
        generation,
        &certificate,
    )?;
    let mark = format!("X-Edge-Files {generation}");
    let configuration = fs::read_to_string(workspace().join("ops/haproxy/haproxy.cfg"))?;
    let place = "frontend simulator\n";
    ensure!(
        configuration.contains(place),
        "the edge has no simulator's port"
    );
    let changed = configuration.replace(
        place,
        &format!("{place}    http-response set-header {mark}\n"),
    );
    let path = stage.machines.folder().join("haproxy.cfg");
    fs::write(&path, changed)?;
    let text = format!(
        "version: \"3.9\"\nconfigs:\n  edge_haproxy: {{file: {}}}\n",
        path.display()
    );
    stage.stack.override_with("edge.yml", &text)?;

    let (seconds, measured) = stage.measure(|stage, _| {
        let deployment = stage.stack.deploy()?.check()?;
        Ok(deployment.time.as_secs_f32())
    })?;
    let after = served_certificate(stage)?;
    let mut curl = stage.machines.outside("curl")?;
    let headers = output(
        curl.args(["--silent", "--head", "--max-time", "5"])
            .arg(&stage.load.url),
    )?;
    let is_marked = headers
        .to_lowercase()
        .contains(&mark.to_lowercase().replace(' ', ": "));
    Ok(Trial::new(measured)
        .fact(format!("deployed in {seconds:.0} s"))
        .promise(before != after, "the old certificate is still served")
        .promise(is_marked, "the old configuration still counts")
        .no_failure())
}

/// The certificate that the edge shows at the users' address, in short.
fn served_certificate(stage: &Stage) -> anyhow::Result<String> {
    let address = format!("{}:443", stage.machines.nodes()[0].address);
    let mut client = stage.machines.outside("sh")?;
    let line = "openssl s_client -connect \"$0\" </dev/null 2>/dev/null | \
                openssl x509 -noout -fingerprint -sha256";
    output(client.args(["-c", line, &address])).context("the edge shows no certificate")
}

fn new_certificate(stage: &Stage) -> anyhow::Result<String> {
    let folder = stage.machines.folder();
    let (key, certificate) = (folder.join("key.pem"), folder.join("certificate.pem"));
    let mut openssl = Command::new("openssl");
    openssl.args([
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
    ]);
    openssl.args(["-nodes", "-days", "2", "-subj", "/CN=localhost", "-keyout"]);
    output(openssl.arg(&key).arg("-out").arg(&certificate))?;
    Ok(fs::read_to_string(&certificate)? + &fs::read_to_string(&key)?)
}
