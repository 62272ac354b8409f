//! Images of the test, built without a registry. The repository's Dockerfile builds the suite's images from
//! given programs. The image of PostgreSQL and the edge is built from programs of this machine.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    thread,
};

use anyhow::{Context, anyhow, ensure};
use xtask::workspace;

use super::{engine::Engine, machine::Machines, rootfs::Rootfs};
use crate::command::output;

/// Tags of the suite's images. Both versions have the same programs.
pub(crate) const VERSIONS: [&str; 2] = ["1", "2"];

/// Programs of the suite that have an image.
pub(crate) const PROCESSES: [&str; 4] = ["user", "follower", "message", "gateway"];

/// Image of the edge and of the database.
pub(crate) const INFRASTRUCTURE: &str = "minitwit-infrastructure:1";

/// Image whose health check always fails.
pub(crate) const UNHEALTHY: &str = "minitwit-message:unhealthy";

/// Image that serves and is killed after five seconds.
pub(crate) const CRASHING: &str = "minitwit-message:crashing";

/// Programs that the scripts of the stack and the images call.
const PROGRAMS: [&str; 26] = [
    "sh", "basename", "bash", "cat", "chmod", "chown", "cp", "env", "grep", "haproxy", "id", "ln",
    "ls", "mkdir", "mktemp", "mv", "readlink", "rm", "sed", "setpriv", "sleep", "timeout", "touch",
    "tr", "true", "wc",
];

const ACCOUNTS: &str = "root:x:0:0:root:/:/bin/sh\npostgres:x:999:999::/var/lib/postgresql:/bin/sh\n\
                        haproxy:x:99:99::/:/bin/sh\n";
const GROUPS: &str = "root:x:0:\npostgres:x:999:\nhaproxy:x:99:\n";

/// Builds all images on the first machine and loads them into the other machines.
pub(crate) fn build(machines: &Machines, programs: &Path) -> anyhow::Result<()> {
    let first = &machines.nodes()[0].engine();
    let folder = machines.folder().join("images");
    infrastructure(first, &folder.join("infrastructure"))?;
    let context = folder.join("suite");
    fill(&context, programs, &PROCESSES)?;
    for version in VERSIONS {
        for name in PROCESSES {
            suite(first, &context, name, version)?;
        }
    }
    broken(first, &context)?;
    spread(machines, &folder.join("all.tar"))
}

/// Builds images of another version of some programs, and loads them into all machines.
pub(crate) fn add(
    machines: &Machines,
    programs: &Path,
    names: &[&str],
    version: &str,
) -> anyhow::Result<()> {
    let first = &machines.nodes()[0].engine();
    let folder = machines.folder().join("images");
    let context = folder.join(version);
    fill(&context, programs, names)?;
    for name in names {
        suite(first, &context, name, version)?;
    }
    spread(machines, &folder.join("next.tar"))
}

/// Fills the build context of the images.
fn fill(context: &Path, programs: &Path, names: &[&str]) -> anyhow::Result<()> {
    // The older builder builds every stage before the target, and each stage needs its folder.
    for name in PROCESSES {
        fs::create_dir_all(context.join("image").join(name))?;
    }
    for name in names {
        let binary = format!("minitwit-{name}");
        let mut image = Rootfs::new(&context.join("image").join(name))?;
        image.stripped(&programs.join(&binary), &binary)?;
    }
    fs::copy(workspace().join("Dockerfile"), context.join("Dockerfile"))?;
    Ok(())
}

/// Builds an image of the suite from the programs in the build context.
fn suite(engine: &Engine, context: &Path, name: &str, version: &str) -> anyhow::Result<()> {
    let tag = format!("minitwit-{name}:{version}");
    let arguments = [
        ("--target", name),
        ("--tag", &tag),
        ("--build-arg", &format!("TOOLCHAIN={INFRASTRUCTURE}")),
        ("--build-arg", &format!("VERSION={version}")),
        ("--network", "none"),
    ];
    let mut build = engine.client(["build", "--quiet"]);
    for (option, value) in arguments {
        build.args([option, value]);
    }
    output(build.arg(context)).map(drop)
}

/// Builds the image with a shell, `HAProxy` and PostgreSQL.
fn infrastructure(engine: &Engine, folder: &Path) -> anyhow::Result<()> {
    let server = minitwit_postgres::program_folder().context("PostgreSQL is not installed")?;
    let version = server
        .parent()
        .context("PostgreSQL has no folder of its own")?;
    let mut root = Rootfs::new(folder)?;
    root.merge_usr()?;
    root.programs(&PROGRAMS)?;
    // Half of PostgreSQL's size is its JIT compiler, which short statements do not need.
    root.tree(version, |name| {
        name.starts_with("llvmjit") || name == "bitcode" || name == "pgxs"
    })?;
    let share = Path::new("/usr/share/postgresql").join(version.file_name().unwrap_or_default());
    root.tree(&share, |name| name == "man")?;
    root.existing(Path::new("/usr/share/zoneinfo/UTC"))?;
    root.file("/etc/passwd", ACCOUNTS)?;
    root.file("/etc/group", GROUPS)?;
    let entrypoint = include_str!("database-entrypoint.sh");
    root.file("/entrypoint.sh", entrypoint)?;

    let archive = folder.with_extension("tar");
    let mut tar = Command::new("tar");
    tar.args(["--owner=0", "--group=0", "-cf"])
        .arg(&archive)
        .arg("-C")
        .arg(folder)
        .arg(".");
    ensure!(
        tar.status().context("cannot run tar")?.success(),
        "tar fails"
    );
    let path = format!("ENV PATH=/usr/local/bin:{}:/usr/bin", server.display());
    let import = [
        "import",
        "--change",
        &path,
        "--change",
        r#"ENTRYPOINT ["sh", "/entrypoint.sh"]"#,
    ];
    let mut import = engine.client(import);
    output(import.arg(&archive).arg(INFRASTRUCTURE))?;
    Ok(())
}

/// The images that an update must not get through with.
fn broken(engine: &Engine, context: &Path) -> anyhow::Result<()> {
    let program = |body: &str| format!("#!/bin/sh\n{body}\n");
    let unhealthy = program(
        "case ${1:-} in migrate) exit 0 ;; health) echo 'not ready' >&2; exit 1 ;; esac\n\
         echo 'no configuration, waiting for one' >&2\nexec sleep 1000",
    );
    let crashing = program(
        "case ${1:-} in migrate | health) exec /real \"$@\" ;; esac\n\
         /real \"$@\" &\nsleep 5\nkill -KILL $!\necho 'out of luck' >&2\nexit 3",
    );
    for (tag, text) in [(UNHEALTHY, unhealthy), (CRASHING, crashing)] {
        fs::write(context.join("program"), text)?;
        let file = format!(
            "FROM {INFRASTRUCTURE}\nCOPY image/message/minitwit-message /real\n\
             COPY program /minitwit-message\n\
             ENV LISTEN=0.0.0.0:5013 LISTEN_ADMIN=0.0.0.0:5023\nUSER 65532:65532\n\
             ENTRYPOINT [\"/minitwit-message\"]\n"
        );
        set_executable(&context.join("program"))?;
        let path = context.join("broken.Dockerfile");
        fs::write(&path, file)?;
        let mut build = engine.client(["build", "--quiet", "--network", "none", "--tag", tag]);
        output(build.arg("--file").arg(&path).arg(context))?;
    }
    Ok(())
}

fn set_executable(path: &Path) -> anyhow::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
    Ok(())
}

/// Saves the first machine's images, and loads them into the other machines.
fn spread(machines: &Machines, archive: &PathBuf) -> anyhow::Result<()> {
    let [first, others @ ..] = machines.nodes() else {
        return Ok(());
    };
    let tags = first
        .engine()
        .docker(["images", "--format", "{{.Repository}}:{{.Tag}}"])?;
    let tags: Vec<&str> = tags.lines().filter(|tag| !tag.contains("<none>")).collect();
    let mut save = first.engine().client(["save", "--output"]);
    output(save.arg(archive).args(tags))?;
    thread::scope(|scope| {
        let load =
            |engine: Engine| scope.spawn(move || engine.docker_from(archive, ["load", "-q"]));
        let loads: Vec<_> = others.iter().map(|node| load(node.engine())).collect();
        loads.into_iter().try_for_each(|load| {
            let loaded = load.join().map_err(|_| anyhow!("a load panicked"))?;
            loaded.map(drop)
        })
    })?;
    fs::remove_file(archive)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Cargo builds no package when a member of the workspace is missing.
    #[test]
    fn the_build_context_has_every_member_of_the_workspace() {
        let manifest = fs::read_to_string(workspace().join("Cargo.toml")).unwrap();
        let members = manifest
            .lines()
            .find_map(|line| line.strip_prefix("members = "))
            .unwrap();
        let ignored = fs::read_to_string(workspace().join(".dockerignore")).unwrap();
        for member in members.split('"').skip(1).step_by(2) {
            let folder = member.split('/').next().unwrap();
            let exception = format!("!{folder}");
            assert!(
                ignored.lines().any(|line| line == exception),
                "{folder} is not in .dockerignore"
            );
        }
    }
}
