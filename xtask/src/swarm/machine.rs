//! Three machines and the switch between them, made of namespaces on this one.
//!
//! A machine is its first process (`node.sh`) with a network, mounts, processes and a name of its
//! own; the switch is a process with a network in which the bridge is. So nothing of all this is to
//! be seen from this machine's own network, and killing a first process takes its machine away.

use std::{
    fs::{self, File},
    io::Write as _,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, bail, ensure};

use super::engine::Engine;
use crate::cargo::workspace;
use crate::wait::wait_for;

/// The switch's own address, from which users come.
const SWITCH: &str = "10.40.0.254";

/// The control group of what is outside, of both versions.
const OUTSIDE: [&str; 2] = [
    "/sys/fs/cgroup/cpu/minitwit-swarm/outside",
    "/sys/fs/cgroup/minitwit-swarm/outside",
];

/// How long anything may take that a kernel does at once.
const SOON: Duration = Duration::from_secs(10);

/// How long an Engine may take to start, also on what a killed one has left.
const ENGINE_START: Duration = Duration::from_mins(1);

/// How long a drained machine may take to be empty.
const EMPTY_PATIENCE: Duration = Duration::from_mins(1);

/// Takes everything down when its input ends without a word, so that nothing outlives this program
/// whatever ends it.
const WATCHDOG: &str = r#"
read -r word && [ "$word" = done ] && exit
echo 'taking the Swarm down' >&2
exec flock "$3" sh "$1" "$2"
"#;

/// The machines, until this is dropped or this program ends, by whatever.
#[derive(Debug)]
pub(crate) struct Machines {
    folder: PathBuf,
    nodes: Vec<Node>,
    watchdog: Child,
    stays: bool,
    /// Held as long as the folder is used.
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
    /// Makes `count` machines with an Engine each; what an earlier run has left is taken down first.
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

    /// The machines that an earlier run has left up, if they are.
    pub(crate) fn find(count: u8) -> anyhow::Result<Option<Self>> {
        let (folder, lock) = Self::claim()?;
        let machines = Self::over(folder, count, lock)?;
        if machines.nodes.iter().all(|node| node.pid().is_some()) {
            return Ok(Some(machines));
        }
        // There is nothing to keep, and nothing that a watchdog must look after.
        machines.leave_up();
        Ok(None)
    }

    fn claim() -> anyhow::Result<(PathBuf, File)> {
        let folder = crate::suite::target_folder()?.join("swarm");
        let lock = File::create(folder.with_extension("lock"))
            .context("cannot create the Swarm's lock file")?;
        if lock.try_lock().is_err() {
            println!("another run has the Swarm: waiting for its end");
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
            // Ctrl-C kills the whole group: it has to survive that.
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
            stays: false,
            _lock: lock,
        })
    }

    /// Leaves everything up when this is dropped.
    pub(crate) fn leave_up(mut self) {
        self.stays = true;
    }

    /// Where the Swarm's files are.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(crate) fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    pub(crate) fn node(&self, name: &str) -> anyhow::Result<&Node> {
        let node = self.nodes.iter().find(|node| node.name == name);
        node.with_context(|| format!("there is no machine {name}"))
    }

    /// A command on the switch: it reaches the machines as their users do.
    pub(crate) fn outside(&self, program: impl AsRef<std::ffi::OsStr>) -> anyhow::Result<Command> {
        let switch = read_pid(&self.folder.join("switch")).context("the switch is not there")?;
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--net=/proc/{switch}/ns/net"))
            .arg(program);
        Ok(command)
    }

    /// Remembers a process outside of the machines that must not outlive the Swarm, and has it come
    /// before them: what it measures is not to be its own lateness. Its command line names the folder.
    pub(crate) fn adopt(&self, name: &str, process: &Child) -> anyhow::Result<()> {
        write_pid(&self.folder.join(name), process.id())?;
        let group = OUTSIDE.iter().map(Path::new).find(|group| group.exists());
        let group = group.context("the machines have made no group for what is outside")?;
        fs::write(group.join("cgroup.procs"), process.id().to_string())
            .context("cannot have the load come first")
    }

    fn start_switch(&self) -> anyhow::Result<()> {
        let switch = self.folder.join("switch");
        let process = Command::new("unshare")
            .args(["--net", "--pid", "--fork", "--kill-child"])
            .args(["sh", "-c", "sleep 1000000; exit", "sh"])
            .arg(&switch)
            // Whoever reads what this program writes must not wait for the switch.
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .context("cannot start the switch")?;
        write_pid(&switch, process.id())?;
        wait_for(SOON, || Ok(has_own_network(process.id()).then_some(())))
            .context("the switch has no network of its own")?;
        // Whatever is asked of the switch is refused, every time.
        let bridge = "ip link set lo up && ip link add swarm type bridge && \
                      ip address add \"$0/24\" dev swarm && ip link set swarm up && \
                      echo 0 >/proc/sys/net/ipv4/icmp_ratelimit";
        run(self.outside("sh")?.args(["-c", bridge, SWITCH]))
    }

    /// Starts a machine that is not there, on what its disk holds.
    pub(crate) fn start_node(&self, node: &Node) -> anyhow::Result<()> {
        fs::create_dir_all(&node.folder).context("cannot create a folder for a machine")?;
        let log = File::options()
            .create(true)
            .append(true)
            .open(node.folder.join("log"))?;
        let process = Command::new("unshare")
            .args([
                "--net",
                "--mount",
                "--uts",
                "--pid",
                "--fork",
                "--kill-child",
                "--mount-proc",
            ])
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
        wait_for(SOON, || Ok(has_own_network(process.id()).then_some(())))
            .with_context(|| format!("{} has no network of its own", node.name))?;
        // The other end of a machine's that was killed may not be gone yet.
        wait_for(SOON, || {
            let mut plug = self.outside("ip")?;
            plug.args([
                "link", "add", &node.name, "type", "veth", "peer", "name", "eth0",
            ]);
            plug.args(["netns", &process.id().to_string()]);
            let plugged = plug.stderr(Stdio::null()).status()?.success();
            Ok(plugged.then_some(()))
        })
        .with_context(|| format!("{} cannot be plugged in", node.name))?;
        run(self
            .outside("ip")?
            .args(["link", "set", &node.name, "master", "swarm", "up"]))
    }

    /// Pulls the cable of a machine, or plugs it in again.
    pub(crate) fn set_cable(&self, node: &Node, state: Cable) -> anyhow::Result<()> {
        let word = match state {
            Cable::Plugged => "up",
            Cable::Cut => "down",
        };
        run(self.outside("ip")?.args(["link", "set", &node.name, word]))
    }
}

/// The state of a cable.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Cable {
    Plugged,
    Cut,
}

impl Drop for Machines {
    fn drop(&mut self) {
        if !self.stays
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
    /// The machine's Engine.
    pub(crate) fn engine(&self) -> Engine {
        Engine::at(self.folder.join("docker.sock"))
    }

    /// Power off: the Engine and all containers of the machine end at once.
    pub(crate) fn kill(&self) -> anyhow::Result<()> {
        let pid = self
            .pid()
            .with_context(|| format!("{} does not run", self.name))?;
        run(Command::new("kill").args(["-KILL", &pid.to_string()]))?;
        wait_for(SOON, || Ok(self.pid().is_none().then_some(())))
            .with_context(|| format!("{} cannot be killed", self.name))
    }

    /// Waits until no container runs on the machine.
    pub(crate) fn wait_until_empty(&self) -> anyhow::Result<()> {
        wait_for(EMPTY_PATIENCE, || {
            let containers = self.engine().docker(["ps", "--quiet"])?;
            Ok(containers.is_empty().then_some(()))
        })
        .with_context(|| format!("{} is not empty", self.name))
    }

    pub(crate) fn wait_for_engine(&self) -> anyhow::Result<()> {
        let answers = || {
            ensure!(self.pid().is_some(), "its first process has ended");
            let engine = self.engine();
            Ok(engine
                .docker(["version", "--format", "{{.Server.Version}}"])
                .ok())
        };
        wait_for(ENGINE_START, answers).map(drop).with_context(|| {
            let log = fs::read_to_string(self.folder.join("log")).unwrap_or_default();
            format!("the Engine of {} does not start:\n{log}", self.name)
        })
    }

    /// The process that the machine hangs on, while it runs.
    fn pid(&self) -> Option<u32> {
        let pid = read_pid(&self.folder)?;
        let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let folder = self.folder.to_str()?;
        String::from_utf8_lossy(&line)
            .contains(folder)
            .then_some(pid)
    }

    /// A command in a container of this machine, seen from the container's network.
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
        // The machine's own /proc names the container's processes.
        command.args(["nsenter", &format!("--net=/proc/{inner}/ns/net"), program]);
        Ok(command)
    }
}

/// Takes down what an earlier run has left up.
pub(crate) fn take_down_kept() -> anyhow::Result<()> {
    let (folder, _lock) = Machines::claim()?;
    take_down(&folder)
}

fn take_down(folder: &Path) -> anyhow::Result<()> {
    run(Command::new("sh").arg(script("down.sh")).arg(folder)).context("the Swarm does not go away")
}

fn script(name: &str) -> PathBuf {
    workspace().join("xtask/src/swarm").join(name)
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
    fs::write(folder.join("pid"), pid.to_string()).context("cannot note a process")
}

fn has_own_network(pid: u32) -> bool {
    let network = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/net")).ok();
    network(&pid.to_string()).is_some_and(|own| Some(own) != network("self"))
}

/// Runs a short command; what it says is shown only when it fails.
fn run(command: &mut Command) -> anyhow::Result<()> {
    let output = command.stdin(Stdio::null()).output();
    let output = output.with_context(|| format!("cannot run {command:?}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{command:?} failed: {}", said.trim());
    }
    Ok(())
}
