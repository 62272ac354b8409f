//! Requirements of a Swarm of three machines.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    process::{Command, Stdio},
};

use xtask::find_program;

/// Required programs, each with its Debian package.
const PROGRAMS: [(&str, &str); 12] = [
    ("dockerd", "docker.io"),
    ("containerd", "containerd"),
    ("docker", "docker.io"),
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

/// A shell script that creates the devices of a Swarm's networks in a network namespace.
const PROBE: &str = "mount -t tmpfs tmpfs /run && ip link add p0 type veth peer name p1 && \
                     ip link add p2 type bridge && ip link add p3 type vxlan id 7 dstport 4789 && \
                     iptables -w -t nat -L -n";

/// Returns the reason why a Swarm cannot be created here, if there is one.
pub(crate) fn missing() -> Option<String> {
    if !fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0) {
        return Some("only root can create machines of namespaces".to_owned());
    }
    for (program, package) in PROGRAMS {
        if find_program(program).is_none() {
            return Some(format!(
                "{program} is not installed: `apt-get install {package}`"
            ));
        }
    }
    if !minitwit_postgres::is_installed() {
        return Some("PostgreSQL is not installed: `apt-get install postgresql`".to_owned());
    }
    let probe = Command::new("unshare")
        .args("--net --mount --uts --pid --fork --mount-proc".split(' '))
        .args(["sh", "-c", PROBE])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .output();
    match probe {
        Ok(output) if output.status.success() => None,
        Ok(output) => {
            let error = String::from_utf8_lossy(&output.stderr);
            Some(format!("this kernel does not allow it: {}", error.trim()))
        }
        Err(error) => Some(format!("unshare does not run: {error}")),
    }
}
