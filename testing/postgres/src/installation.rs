//! The installed programs of PostgreSQL, and the account to run them under.

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

/// The programs that a cluster needs.
const PROGRAMS: [&str; 3] = ["initdb", "pg_ctl", "postgres"];

/// Unprivileged accounts to run PostgreSQL under, in order of preference.
const ACCOUNTS: [&str; 2] = ["postgres", "nobody"];

/// Whether PostgreSQL is installed on this machine.
pub fn is_installed() -> bool {
    program_folder().is_some()
}

/// An installation of PostgreSQL, and the account to run its programs under.
#[derive(Debug)]
pub(crate) struct Installation {
    folder: PathBuf,
    /// `None` keeps the account of this process.
    account: Option<Account>,
}

/// An entry of `/etc/passwd`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Account {
    uid: u32,
    gid: u32,
}

impl Installation {
    /// Finds the programs. Makes the account that will run them the owner of the folder `data`.
    ///
    /// # Errors
    ///
    /// PostgreSQL is not installed, or this process runs as root and there is no other account.
    pub(crate) fn find(data: &Path) -> anyhow::Result<Self> {
        let Some(folder) = program_folder() else {
            bail!("PostgreSQL is not installed: run `apt-get install postgresql`");
        };
        let account = if fs::metadata(data)?.uid() == 0 {
            Some(unprivileged_account()?)
        } else {
            None
        };
        if let Some(Account { uid, gid }) = account {
            chown(data, Some(uid), Some(gid))
                .context("cannot change the owner of the data folder")?;
        }
        Ok(Self { folder, account })
    }

    /// The path of one of the programs.
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// A command that runs `program` under the account.
    pub(crate) fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new(program.as_ref());
        // Error messages are compared with English texts, so the locale must be C. The account may
        // have no access to the current folder, so commands run in `/`.
        command.env("LC_ALL", "C").current_dir("/");
        if let Some(Account { uid, gid }) = self.account {
            command.uid(uid).gid(gid);
        }
        command
    }
}

/// Finds the folder of PostgreSQL's programs. This is the newest version of a Linux distribution, or
/// else the first folder in `PATH` that has all programs.
pub fn program_folder() -> Option<PathBuf> {
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

/// The major version in a path such as `/usr/lib/postgresql/15`. It is a number, so that 9 sorts before
/// 15.
fn version(path: &Path) -> Option<u32> {
    path.file_name()?.to_str()?.split('.').next()?.parse().ok()
}

/// Finds an unprivileged account, because PostgreSQL refuses to run as root.
fn unprivileged_account() -> anyhow::Result<Account> {
    let passwd = fs::read_to_string("/etc/passwd").context("cannot read the list of accounts")?;
    ACCOUNTS
        .iter()
        .find_map(|name| find_account(&passwd, name))
        .ok_or_else(|| {
            io::Error::other(
                "there is no account called postgres or nobody to run PostgreSQL under",
            )
        })
        .context("PostgreSQL refuses to run as root")
}

/// Finds an account by name in the text of `/etc/passwd`.
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
    fn an_account_is_found_by_its_full_name() {
        let passwd = "root:x:0:0:root:/root:/bin/bash\npostgres2:x:7:8::/:/bin/sh\n\
                      postgres:x:101:104:PostgreSQL:/var/lib/postgresql:/bin/bash\n";

        assert_eq!(
            find_account(passwd, "postgres"),
            Some(Account { uid: 101, gid: 104 })
        );
        assert_eq!(find_account(passwd, "nobody"), None);
    }

    #[test]
    fn versions_are_compared_as_numbers() {
        assert!(version(Path::new("/usr/lib/postgresql/9.6")) < version(Path::new("/x/15")));
        assert_eq!(version(Path::new("/usr/lib/postgresql/common")), None);
    }
}
