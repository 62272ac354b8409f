//! Three machines and the switch between them, made of namespaces of this machine.
//!
//! A machine is a first process (`node.sh`) with namespaces for network, mounts, processes and host name. The
//! switch is a process whose network namespace has the bridge. Therefore this machine's own network does not
//! change, and the end of a first process ends its machine.

use std::{
    fs::{self, File},
    io::Write as _,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, ensure};
use xtask::{target_folder, workspace};

use super::engine::Engine;
use crate::{command::run, wait::wait_for};

/// Address of the switch, from which users send requests.
const SWITCH: &str = "10.40.0.254";

/// Control group of the processes outside of the machines, for both versions of control groups.
const OUTSIDE_GROUPS: [&str; 2] = [
    "/sys/fs/cgroup/cpu/minitwit-swarm/outside",
    "/sys/fs/cgroup/minitwit-swarm/outside",
];

/// Maximum time of an operation of the kernel.
const KERNEL_TIMEOUT: Duration = Duration::from_secs(10);

/// Maximum time until an Engine has started, also on the files of a killed Engine.
const ENGINE_TIMEOUT: Duration = Duration::from_mins(1);

/// Maximum time until a drained machine has no container.
const DRAIN_TIMEOUT: Duration = Duration::from_mins(1);

/// A shell script that takes the Swarm down when its input ends without the line `done`, so that the Swarm
/// ends with this program.
const WATCHDOG: &str = r#"
read -r word && [ "$word" = done ] && exit
echo 'taking the Swarm down' >&2
exec flock "$3" sh "$1" "$2"
"#;

/// The machines, which end when this is dropped or when this program ends.
#[derive(Debug)]
pub(crate) struct Machines {
    folder: PathBuf,
    nodes: Vec<Node>,
    watchdog: Child,
    /// Whether the machines stay up when this is dropped.
    is_left_up: bool,
    /// Held while the folder is used.
    _lock: File,
}

/// One machine.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) address: String,
    folder: PathBuf,
}

impl Machines {
    /// Starts `count` machines with an Engine each. First takes down the machines of an earlier run.
    pub(crate) fn start(count: u8) -> anyhow::Result<Self> {
        let (folder, lock) = Self::claim()?;
        take_down(&folder)?;
        fs::create_dir_all(&folder).context("cannot create a folder for the Swarm")?;
        let machines = Self::over(folder, count, lock)?;
        machines.start_switch()?;
        for node in &machines.nodes {
            machines.start_node(node)?;
        }
        for node in &machines.nodes {
            node.wait_for_engine()?;
        }
        Ok(machines)
    }

    /// Finds the machines that an earlier run has left up.
    pub(crate) fn find(count: u8) -> anyhow::Result<Option<Self>> {
        let (folder, lock) = Self::claim()?;
        let machines = Self::over(folder, count, lock)?;
        if machines.nodes.iter().all(|node| node.pid().is_some()) {
            return Ok(Some(machines));
        }
        // Without machines the watchdog has nothing to take down.
        machines.leave_up();
        Ok(None)
    }

    fn claim() -> anyhow::Result<(PathBuf, File)> {
        let folder = target_folder()?.join("swarm");
        let lock = File::create(folder.with_extension("lock"))
            .context("cannot create the Swarm's lock file")?;
        if lock.try_lock().is_err() {
            println!("another run uses the Swarm: waiting for its end");
            lock.lock().context("cannot lock the Swarm's folder")?;
        }
        Ok((folder, lock))
    }

    fn over(folder: PathBuf, count: u8, lock: File) -> anyhow::Result<Self> {
        let watchdog = Command::new("sh")
            .args(["-c", WATCHDOG, "sh"])
            .args([
                script("down.sh"),
                folder.clone(),
                folder.with_extension("lock"),
            ])
            .stdin(Stdio::piped())
            // Ctrl-C signals the whole process group, which the watchdog has to survive.
            .process_group(0)
            .spawn()
            .context("cannot start the watchdog")?;
        let nodes = (1..=count).map(|number| Node {
            name: format!("n{number}"),
            address: format!("10.40.0.{number}"),
            folder: folder.join(format!("n{number}")),
        });
        Ok(Self {
            nodes: nodes.collect(),
            folder,
            watchdog,
            is_left_up: false,
            _lock: lock,
        })
    }

    /// Lets the machines stay up.
    pub(crate) fn leave_up(mut self) {
        self.is_left_up = true;
    }

    /// Folder of the Swarm's files.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(crate) fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    pub(crate) fn node(&self, name: &str) -> anyhow::Result<&Node> {
        let node = self.nodes.iter().find(|node| node.name == name);
        node.with_context(|| format!("no machine has the name {name}"))
    }

    /// A command in the switch's network, which reaches the machines as their users do.
    pub(crate) fn outside(&self, program: impl AsRef<std::ffi::OsStr>) -> anyhow::Result<Command> {
        let switch = read_pid(&self.folder.join("switch")).context("the switch does not run")?;
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--net=/proc/{switch}/ns/net"))
            .arg(program);
        Ok(command)
    }

    /// Ends a process outside of the machines with the Swarm, and prefers it to the machines for processor
    /// time, so that it does not measure its own delays.
    pub(crate) fn adopt(&self, name: &str, process: &Child) -> anyhow::Result<()> {
        write_pid(&self.folder.join(name), process.id())?;
        let group = OUTSIDE_GROUPS
            .iter()
            .map(Path::new)
            .find(|group| group.exists());
        let group = group.context("the machines have created no control group for the load")?;
        fs::write(group.join("cgroup.procs"), process.id().to_string())
            .context("cannot move the load to its control group")
    }

    fn start_switch(&self) -> anyhow::Result<()> {
        let switch = self.folder.join("switch");
        let process = Command::new("unshare")
            .args(["--net", "--pid", "--fork", "--kill-child"])
            .args(["sh", "-c", "sleep 1000000; exit", "sh"])
            .arg(&switch)
            // A reader of this program's output must not wait for the end of the switch.
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .context("cannot start the switch")?;
        write_pid(&switch, process.id())?;
        wait_for(KERNEL_TIMEOUT, || {
            Ok(has_own_network(process.id()).then_some(()))
        })
        .context("the switch has no network of its own")?;
        // The switch refuses every query, without a limit on the number of refusals.
        let bridge = "ip link set lo up && ip link add swarm type bridge && \
                      ip address add \"$0/24\" dev swarm && ip link set swarm up && \
                      echo 0 >/proc/sys/net/ipv4/icmp_ratelimit";
        run(self.outside("sh")?.args(["-c", bridge, SWITCH]))
    }

    /// Starts a machine that does not run, on the files of its disk.
    pub(crate) fn start_node(&self, node: &Node) -> anyhow::Result<()> {
        fs::create_dir_all(&node.folder).context("cannot create a folder for a machine")?;
        let log = File::options()
            .create(true)
            .append(true)
            .open(node.folder.join("log"))?;
        let process = Command::new("unshare")
            .args("--net --mount --uts --pid --fork --kill-child --mount-proc".split(' '))
            .arg("sh")
            .arg(script("node.sh"))
            .args([&node.name, &node.address, SWITCH])
            .arg(&node.folder)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0)
            .spawn()
            .context("cannot start a machine")?;
        write_pid(&node.folder, process.id())?;
        wait_for(KERNEL_TIMEOUT, || {
            Ok(has_own_network(process.id()).then_some(()))
        })
        .with_context(|| format!("{} has no network of its own", node.name))?;
        // The cable of a killed machine may still exist for a moment.
        wait_for(KERNEL_TIMEOUT, || {
            let mut connect = self.outside("ip")?;
            connect.args([
                "link", "add", &node.name, "type", "veth", "peer", "name", "eth0",
            ]);
            connect.args(["netns", &process.id().to_string()]);
            let is_connected = connect.stderr(Stdio::null()).status()?.success();
            Ok(is_connected.then_some(()))
        })
        .with_context(|| format!("{} cannot be connected to the switch", node.name))?;
        run(self
            .outside("ip")?
            .args(["link", "set", &node.name, "master", "swarm", "up"]))
    }

    /// Disconnects the cable of a machine, or connects it again.
    pub(crate) fn set_cable(&self, node: &Node, state: Cable) -> anyhow::Result<()> {
        let word = match state {
            Cable::Connected => "up",
            Cable::Cut => "down",
        };
        run(self.outside("ip")?.args(["link", "set", &node.name, word]))
    }
}

/// The state of a cable.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Cable {
    Connected,
    Cut,
}

impl Drop for Machines {
    fn drop(&mut self) {
        if !self.is_left_up
            && let Err(error) = take_down(&self.folder)
        {
            eprintln!("error: {error:#}");
        }
        if let Some(mut watchdog) = self.watchdog.stdin.take() {
            let _ = watchdog.write_all(b"done\n");
        }
        let _ = self.watchdog.wait();
    }
}

impl Node {
    /// The Docker Engine of the machine.
    pub(crate) fn engine(&self) -> Engine {
        Engine::at(self.folder.join("docker.sock"))
    }

    /// Turns the power off. The Engine and all containers of the machine end at once.
    pub(crate) fn kill(&self) -> anyhow::Result<()> {
        let pid = self
            .pid()
            .with_context(|| format!("{} does not run", self.name))?;
        run(Command::new("kill").args(["-KILL", &pid.to_string()]))?;
        wait_for(KERNEL_TIMEOUT, || Ok(self.pid().is_none().then_some(())))
            .with_context(|| format!("{} cannot be killed", self.name))
    }

    /// Waits until no container runs on the machine.
    pub(crate) fn wait_until_empty(&self) -> anyhow::Result<()> {
        wait_for(DRAIN_TIMEOUT, || {
            let containers = self.engine().docker(["ps", "--quiet"])?;
            Ok(containers.is_empty().then_some(()))
        })
        .with_context(|| format!("{} is not empty", self.name))
    }

    pub(crate) fn wait_for_engine(&self) -> anyhow::Result<()> {
        let answers = || {
            ensure!(self.pid().is_some(), "the first process has ended");
            let engine = self.engine();
            Ok(engine
                .docker(["version", "--format", "{{.Server.Version}}"])
                .ok())
        };
        wait_for(ENGINE_TIMEOUT, answers)
            .map(drop)
            .with_context(|| {
                let log = fs::read_to_string(self.folder.join("log")).unwrap_or_default();
                format!("the Engine of {} does not start:\n{log}", self.name)
            })
    }

    /// The first process of the machine, while the machine runs.
    fn pid(&self) -> Option<u32> {
        let pid = read_pid(&self.folder)?;
        let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let folder = self.folder.to_str()?;
        String::from_utf8_lossy(&line)
            .contains(folder)
            .then_some(pid)
    }

    /// A command in the network of a container of this machine.
    pub(crate) fn in_network_of(&self, container: &str, program: &str) -> anyhow::Result<Command> {
        let pid = self
            .pid()
            .with_context(|| format!("{} does not run", self.name))?;
        let first = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))?;
        let inner = self
            .engine()
            .docker(["inspect", "--format", "{{.State.Pid}}", container])?;
        let mut command = Command::new("nsenter");
        command.args(["--target", first.trim(), "--pid", "--mount"]);
        // Only the machine's own /proc has the container's processes.
        command.args(["nsenter", &format!("--net=/proc/{inner}/ns/net"), program]);
        Ok(command)
    }
}

/// Takes down the machines that an earlier run has left up.
pub(crate) fn take_down_kept() -> anyhow::Result<()> {
    let (folder, _lock) = Machines::claim()?;
    take_down(&folder)
}

fn take_down(folder: &Path) -> anyhow::Result<()> {
    run(Command::new("sh").arg(script("down.sh")).arg(folder))
        .context("the Swarm cannot be taken down")
}

fn script(name: &str) -> PathBuf {
    workspace().join("lab/src/scenario/swarm").join(name)
}

fn read_pid(folder: &Path) -> Option<u32> {
    fs::read_to_string(folder.join("pid"))
        .ok()?
        .trim()
        .parse()
        .ok()
}

fn write_pid(folder: &Path, pid: u32) -> anyhow::Result<()> {
    fs::create_dir_all(folder)?;
    fs::write(folder.join("pid"), pid.to_string()).context("cannot write the id of a process")
}

fn has_own_network(pid: u32) -> bool {
    let network = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/net")).ok();
    network(&pid.to_string()).is_some_and(|own| Some(own) != network("self"))
}
