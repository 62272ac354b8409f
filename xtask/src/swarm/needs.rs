//! What a machine must have to carry a Swarm of three.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    process::{Command, Stdio},
};

use crate::cargo::find_program;

/// A program, and the Debian package that brings it.
const PROGRAMS: [(&str, &str); 12] = [
    ("dockerd", "docker.io"),
    ("containerd", "containerd"),
    ("docker", "docker.io or docker-cli"),
    ("ip", "iproute2"),
    ("iptables", "iptables"),
    ("nsenter", "util-linux"),
    ("unshare", "util-linux"),
    ("haproxy", "haproxy"),
    ("openssl", "openssl"),
    ("curl", "curl"),
    ("strip", "binutils"),
    ("ldd", "libc-bin"),
];

/// Makes in a network of its own what the Swarm's networks are made of.
const PROBE: &str = "mount -t tmpfs tmpfs /run && ip link add p0 type veth peer name p1 && \
                     ip link add p2 type bridge && ip link add p3 type vxlan id 7 dstport 4789 && \
                     iptables -w -t nat -L -n";

/// Why a Swarm cannot be made here, if so.
pub(crate) fn missing() -> Option<String> {
    if !fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0) {
        return Some("only root can make machines of namespaces".to_owned());
    }
    for (program, package) in PROGRAMS {
        if find_program(program).is_none() {
            return Some(format!("{program} is not installed: it is in {package}"));
        }
    }
    if !minitwit_postgres::is_installed() {
        return Some("PostgreSQL is not installed: it is in postgresql".to_owned());
    }
    let probe = Command::new("unshare")
        .args([
            "--net",
            "--mount",
            "--uts",
            "--pid",
            "--fork",
            "--mount-proc",
            "sh",
            "-c",
            PROBE,
        ])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .output();
    match probe {
        Ok(output) if output.status.success() => None,
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            Some(format!("this kernel does not let it: {}", said.trim()))
        }
        Err(error) => Some(format!("unshare does not run: {error}")),
    }
}
