//! Where PostgreSQL's programs are, and the account they may run under.

use std::{
    env, fs, io,
    os::unix::{
        fs::{MetadataExt, chown},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, bail};

const PROGRAMS: [&str; 3] = ["initdb", "pg_ctl", "postgres"];

/// Accounts to drop to, the likeliest first.
const ACCOUNTS: [&str; 2] = ["postgres", "nobody"];

/// Whether PostgreSQL's programs are on this machine.
pub fn is_installed() -> bool {
    programs().is_some()
}

/// PostgreSQL's programs, and who runs them.
#[derive(Debug)]
pub(crate) struct Installation {
    folder: PathBuf,
    account: Option<Account>,
}

/// An entry of `/etc/passwd`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Account {
    uid: u32,
    gid: u32,
}

impl Installation {
    /// Finds the programs, and hands `data` to the account that they will run under.
    pub(crate) fn find(data: &Path) -> anyhow::Result<Self> {
        let Some(folder) = programs() else {
            bail!("PostgreSQL is not installed: `apt-get install postgresql` brings it");
        };
        let account = if fs::metadata(data)?.uid() == 0 {
            Some(unprivileged()?)
        } else {
            None
        };
        if let Some(Account { uid, gid }) = account {
            chown(data, Some(uid), Some(gid)).context("cannot hand over the data folder")?;
        }
        Ok(Self { folder, account })
    }

    /// The path of one of the programs.
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// A command that runs under the account, wherever its program comes from.
    pub(crate) fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new(program.as_ref());
        // Messages are matched, so they have to be in English; the account may not be allowed into
        // the current folder.
        command.env("LC_ALL", "C").current_dir("/");
        if let Some(Account { uid, gid }) = self.account {
            command.uid(uid).gid(gid);
        }
        command
    }
}

/// The folder that has all the programs: the newest of a Linux distribution, or one of the `PATH`.
pub fn programs() -> Option<PathBuf> {
    let mut versions: Vec<_> = ["/usr/lib/postgresql", "/usr/lib64/pgsql"]
        .iter()
        .filter_map(|folder| fs::read_dir(folder).ok())
        .flat_map(|entries| entries.filter_map(Result::ok))
        .filter_map(|entry| Some((version(&entry.path())?, entry.path().join("bin"))))
        .collect();
    versions.sort();
    let search_path = env::var_os("PATH").unwrap_or_default();
    versions
        .into_iter()
        .rev()
        .map(|(_, folder)| folder)
        .chain(env::split_paths(&search_path))
        .chain(["/usr/local/pgsql/bin".into(), "/opt/homebrew/bin".into()])
        .find(|folder| {
            PROGRAMS
                .iter()
                .all(|program| folder.join(program).is_file())
        })
}

/// The version in a path such as `/usr/lib/postgresql/15`; as a number, because 9 is before 15.
fn version(path: &Path) -> Option<u32> {
    path.file_name()?.to_str()?.split('.').next()?.parse().ok()
}

/// Whom to become: PostgreSQL refuses to run as root.
fn unprivileged() -> anyhow::Result<Account> {
    let passwd = fs::read_to_string("/etc/passwd").context("cannot read the list of accounts")?;
    ACCOUNTS
        .iter()
        .find_map(|name| find_account(&passwd, name))
        .ok_or_else(|| io::Error::other("no account to run PostgreSQL under: it refuses root"))
        .context("cannot drop root's rights")
}

fn find_account(passwd: &str, name: &str) -> Option<Account> {
    let mut fields = passwd
        .lines()
        .map(|line| line.split(':'))
        .find_map(|mut fields| (fields.next() == Some(name)).then_some(fields))?
        .skip(1);
    Some(Account {
        uid: fields.next()?.parse().ok()?,
        gid: fields.next()?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_found_by_its_whole_name() {
        let passwd = "root:x:0:0:root:/root:/bin/bash\npostgres2:x:7:8::/:/bin/sh\n\
                      postgres:x:101:104:PostgreSQL:/var/lib/postgresql:/bin/bash\n";

        assert_eq!(
            find_account(passwd, "postgres"),
            Some(Account { uid: 101, gid: 104 })
        );
        assert_eq!(find_account(passwd, "nobody"), None);
    }

    #[test]
    fn versions_are_numbers() {
        assert!(version(Path::new("/usr/lib/postgresql/9.6")) < version(Path::new("/x/15")));
        assert_eq!(version(Path::new("/usr/lib/postgresql/common")), None);
    }
}
