//! The next version of the suite, with one more field in a message and one more column in its table. There is no release yet that could be used instead.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, ensure};
use xtask::{cargo, target_folder, workspace};

use crate::fleet::profile_folder;

/// Changes of the next version, each with a file, a text in the file, and the text that replaces it.
const CHANGES: [(&str, &str, &str); 3] = [
    (
        "proto/minitwit/message/v1/message.proto",
        "message NewMessage {\n",
        "message NewMessage {\n  // The language of the text, as its author says.\n  \
         string language = 15;\n",
    ),
    (
        "client/src/messages.rs",
        "        let message = NewMessage {\n",
        "        let message = NewMessage {\n            language: \"da\".to_owned(),\n",
    ),
    (
        "services/message/src/operator.rs",
        "    let new = proto::NewMessage {\n",
        "    let new = proto::NewMessage {\n        language: String::new(),\n",
    ),
];

/// Migration that adds the column, in SQL of both engines.
const MIGRATION: &str = "ALTER TABLE message ADD COLUMN language text;\n";

/// Builds the changed programs, and returns their folder.
pub(crate) fn build(profile: &str) -> anyhow::Result<PathBuf> {
    let folder = target_folder()?.join("next");
    let source = folder.join("source");
    copy_source(&source)?;
    let target = folder.join("target");
    let mut build = cargo(["build", "--locked", "--bins", "--profile", profile]);
    build.args(["--package=minitwit-message", "--package=minitwit-gateway"]);
    xtask::run(build.current_dir(&source).env("CARGO_TARGET_DIR", &target))?;
    Ok(target.join(profile_folder(profile)))
}

/// Copies the present content of all files that git tracks, with the changes. An equal file keeps its
/// modification time, so that cargo builds only changed packages.
fn copy_source(to: &Path) -> anyhow::Result<()> {
    let list = Command::new("git")
        .args(["ls-files", "-z"])
        .current_dir(workspace())
        .output()
        .context("cannot run git")?;
    ensure!(list.status.success(), "git does not list the files");
    let list = String::from_utf8(list.stdout).context("a file's name is not UTF-8")?;
    for name in list.split_terminator('\0') {
        let from = workspace().join(name);
        if from.is_file() {
            write(&to.join(name), &changed(name, fs::read(&from)?)?)?;
        }
    }
    for engine in ["sqlite", "postgres"] {
        let file = format!("services/message/migrations/{engine}/9999_language.sql");
        write(&to.join(file), MIGRATION.as_bytes())?;
    }
    Ok(())
}

/// Returns the content of a file in the next version.
fn changed(name: &str, content: Vec<u8>) -> anyhow::Result<Vec<u8>> {
    let Some((file, old, new)) = CHANGES.iter().find(|(file, ..)| *file == name) else {
        return Ok(content);
    };
    let text = String::from_utf8(content).with_context(|| format!("{file} is not UTF-8"))?;
    ensure!(
        text.contains(old),
        "{file} does not contain {:?}",
        old.trim()
    );
    Ok(text.replacen(old, new, 1).into_bytes())
}

fn write(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    if fs::read(path).is_ok_and(|present| present == content) {
        return Ok(());
    }
    fs::create_dir_all(path.parent().context("a file without a folder")?)?;
    fs::write(path, content).with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_change_applies_to_its_file() {
        for (file, _, new) in CHANGES {
            let content = fs::read(workspace().join(file)).unwrap();
            let text = String::from_utf8(changed(file, content).unwrap()).unwrap();
            assert!(text.contains(new), "{file}");
        }
    }
}
