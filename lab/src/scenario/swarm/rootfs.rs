//! The root folder of an image, filled with programs of this machine and their libraries. No registry is
//! needed.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, ensure};
use xtask::find_program;

/// A folder that becomes the root of an image.
#[derive(Debug)]
pub(crate) struct Rootfs {
    folder: PathBuf,
    /// Files whose libraries have been added.
    known: BTreeSet<PathBuf>,
}

impl Rootfs {
    pub(crate) fn new(folder: &Path) -> anyhow::Result<Self> {
        fs::create_dir_all(folder)?;
        Ok(Self {
            folder: folder.to_owned(),
            known: BTreeSet::new(),
        })
    }

    /// Creates the folders of Debian, where /bin is /usr/bin.
    pub(crate) fn merge_usr(&self) -> anyhow::Result<()> {
        for name in ["bin", "sbin", "lib", "lib64"] {
            fs::create_dir_all(self.folder.join("usr").join(name))?;
            symlink(format!("usr/{name}"), self.folder.join(name))?;
        }
        for name in ["tmp", "run", "var/lib", "etc"] {
            fs::create_dir_all(self.folder.join(name))?;
        }
        symlink("../run", self.folder.join("var/run"))?;
        Ok(())
    }

    /// Adds programs that are in the `PATH`.
    pub(crate) fn programs(&mut self, names: &[&str]) -> anyhow::Result<()> {
        for name in names {
            let path = find_program(name).with_context(|| format!("{name} is not installed"))?;
            let target = self.inside(Path::new("/usr/bin")).join(name);
            copy(&path, &target)?;
            self.libraries_of(&path)?;
        }
        Ok(())
    }

    /// Adds a folder without the names that `skips` selects, and the libraries of its programs.
    pub(crate) fn tree(&mut self, folder: &Path, skips: fn(&str) -> bool) -> anyhow::Result<()> {
        let entries =
            fs::read_dir(folder).with_context(|| format!("no folder {}", folder.display()))?;
        for entry in entries {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if skips(&name) {
                continue;
            }
            if path.is_dir() {
                self.tree(&path, skips)?;
            } else if path.is_file() {
                copy(&path, &self.inside(&path))?;
                if is_program(&path)? {
                    self.libraries_of(&path)?;
                }
            }
        }
        Ok(())
    }

    /// Adds a file that has the same path on this machine.
    pub(crate) fn existing(&self, path: &Path) -> anyhow::Result<()> {
        copy(path, &self.inside(path))
    }

    /// Adds a program from another folder, without debug information.
    pub(crate) fn stripped(&mut self, program: &Path, name: &str) -> anyhow::Result<()> {
        let status = Command::new("strip")
            .args(["--strip-debug", "-o"])
            .arg(self.folder.join(name))
            .arg(program)
            .status()
            .context("cannot run strip, of binutils")?;
        ensure!(
            status.success(),
            "strip does not read {}",
            program.display()
        );
        self.libraries_of(program)
    }

    /// Adds a file with this content.
    pub(crate) fn file(&self, path: &str, content: &str) -> anyhow::Result<()> {
        let target = self.inside(Path::new(path));
        fs::create_dir_all(target.parent().unwrap_or(&self.folder))?;
        fs::write(target, content)?;
        Ok(())
    }

    /// Adds the libraries of a program and the loader.
    fn libraries_of(&mut self, program: &Path) -> anyhow::Result<()> {
        if !self.known.insert(program.to_owned()) {
            return Ok(());
        }
        let output = Command::new("ldd")
            .arg(program)
            .output()
            .context("cannot run ldd")?;
        // `ldd` fails for a static program, which has no libraries.
        for path in libraries(&String::from_utf8_lossy(&output.stdout)) {
            if self.known.insert(path.clone()) {
                copy(&path, &self.inside(&path))?;
            }
        }
        Ok(())
    }

    fn inside(&self, path: &Path) -> PathBuf {
        self.folder.join(path.strip_prefix("/").unwrap_or(path))
    }
}

/// Parses the paths in the output of `ldd`: `libc.so.6 => /lib/…/libc.so.6 (0x…)`, or only the loader's path.
fn libraries(listing: &str) -> Vec<PathBuf> {
    let path = |line: &str| {
        let words = line.split_once("=> ").map_or(line, |(_, path)| path);
        let path = words.split_whitespace().next()?;
        path.starts_with('/').then(|| PathBuf::from(path))
    };
    listing.lines().filter_map(path).collect()
}

fn is_program(path: &Path) -> anyhow::Result<bool> {
    use std::io::Read as _;
    let mut start = Vec::new();
    fs::File::open(path)?.take(4).read_to_end(&mut start)?;
    Ok(start == b"\x7fELF")
}

/// Copies a file with its permissions. A link becomes the file that it refers to.
fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::copy(from, to).with_context(|| format!("cannot copy {}", from.display()))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_libraries_are_parsed() {
        let listing = "\tlinux-vdso.so.1 (0x00007ffd)\n\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 \
                       (0x00007f)\n\t/lib64/ld-linux-x86-64.so.2 (0x00007f)\n";
        assert_eq!(
            libraries(listing),
            [
                PathBuf::from("/lib/x86_64-linux-gnu/libc.so.6"),
                PathBuf::from("/lib64/ld-linux-x86-64.so.2")
            ]
        );
        assert!(libraries("\tnot a dynamic executable\n").is_empty());
    }
}
