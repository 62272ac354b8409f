//! Imports during which the import or the suite is killed.

use std::{
    net::{SocketAddr, TcpListener},
    path::Path,
    process::Stdio,
    time::Duration,
};

use tokio::process::{Child, Command};

use crate::{
    harness::{Client, SIMULATOR},
    listed_messages,
    old::Old,
};

const MINITWIT: &str = env!("CARGO_BIN_EXE_minitwit");

/// Number of messages, which is so large that each kill happens long before the end of the import.
const MESSAGES: u32 = 8_000;

/// A path and the minimum number of entries in its list at which the import is killed. The import
/// writes users first, then follows, then messages.
const IMPORT_KILLS: [(&str, usize); 10] = [
    ("/msgs", 0),
    ("/fllws/user%201", 0),
    ("/fllws/user%201", 1),
    ("/fllws/user%201", 10),
    ("/msgs?no=1", 1),
    ("/msgs?no=100", 100),
    ("/msgs?no=200", 200),
    ("/msgs?no=300", 300),
    ("/msgs?no=400", 400),
    ("/msgs?no=500", 500),
];

/// A path and the minimum number of entries in its list at which the suite is killed.
const SUITE_KILLS: [(&str, usize); 3] = [
    ("/msgs?no=1500", 1_500),
    ("/msgs?no=2000", 2_000),
    ("/msgs?no=2500", 2_500),
];

/// A suite in its own process, which can be killed.
struct Suite {
    ports: [u16; 6],
    folder: tempfile::TempDir,
    process: Child,
}

impl Suite {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        // All listeners exist at the same time, so that the ports differ. They are closed before
        // the suite binds the ports.
        let listeners = [(); 6].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let ports = listeners.map(|listener| listener.local_addr().unwrap().port());
        let process = serve(ports, folder.path());
        let suite = Self {
            ports,
            folder,
            process,
        };
        suite.ready().await;
        suite
    }

    /// Kills the suite without a shutdown, as a power failure does, and starts it again.
    async fn kill_and_restart(&mut self) {
        self.process.kill().await.unwrap();
        self.process = serve(self.ports, self.folder.path());
        self.ready().await;
    }

    async fn ready(&self) {
        let address = self.address(1);
        let answers = async || tokio::net::TcpStream::connect(address).await.is_ok();
        test_wait::eventually("the suite listens", Duration::from_secs(30), answers).await;
    }

    fn address(&self, index: usize) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.ports[index]))
    }

    fn api(&self) -> Client {
        Client {
            address: self.address(1),
            authorization: Some(SIMULATOR.to_owned()),
            trace: None,
            checks_contract: true,
        }
    }

    /// Starts an import in its own process with small batches, so that a kill can happen in many places.
    fn import(&self, file: &Path) -> Child {
        let [user, follower, message] = [3, 4, 5].map(|index| self.address(index).to_string());
        let suite = format!("{user},{follower},{message}");
        Command::new(MINITWIT)
            .args(["import", "--batch", "5", "--suite", &suite])
            .arg(file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap()
    }

    /// Waits until at least `count` messages or follows are listed, while the import continues.
    async fn wait_until_listed(&self, path: &str, count: usize) {
        let listed = async || {
            let answer = self.api().get(path).await;
            answer.status == 200 && {
                let list = answer.json();
                let list = list.get("follows").unwrap_or(&list);
                list.as_array().unwrap().len() >= count
            }
        };
        let what = format!("{path} lists {count}");
        test_wait::eventually(&what, Duration::from_mins(1), listed).await;
    }
}

fn is_running(process: &mut Child) -> bool {
    process.try_wait().unwrap().is_none()
}

fn serve(ports: [u16; 6], folder: &Path) -> Child {
    let names = ["pages", "api", "admin", "user", "follower", "message"];
    let mut command = Command::new(MINITWIT);
    for (name, port) in names.iter().zip(ports) {
        command.args([format!("--listen-{name}"), format!("127.0.0.1:{port}")]);
    }
    command
        .args(["--log", "error", "--api-budget-ms", "10000", "--data-dir"])
        .arg(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

#[tokio::test]
async fn every_row_is_imported_once_although_the_import_and_the_suite_are_killed() {
    let (mut suite, old) = (Suite::start().await, Old::valid(40, MESSAGES, 600).await);

    // Each kill happens later than the one before.
    for (path, count) in IMPORT_KILLS {
        let mut import = suite.import(&old.file);
        suite.wait_until_listed(path, count).await;
        assert!(is_running(&mut import), "{path} lists {count}");
        import.kill().await.unwrap();
    }
    let mut import = suite.import(&old.file);
    for (path, count) in SUITE_KILLS {
        suite.wait_until_listed(path, count).await;
        assert!(is_running(&mut import), "{path} lists {count}");
        suite.kill_and_restart().await;
    }
    let ended = tokio::time::timeout(Duration::from_mins(2), import.wait()).await;
    let first = ended
        .expect("the import continues after the restart of the suite")
        .unwrap();
    let last = suite.import(&old.file).wait().await.unwrap();
    assert_eq!((first.code(), last.code()), (Some(0), Some(0)));

    assert_eq!(
        listed_messages(&suite.api(), "/msgs").await,
        old.timeline("true").await
    );
    for user in 1..=40 {
        let path = format!("/fllws/user%20{user}?no=1000");
        let follows = suite.api().get(&path).await.is(200).json();
        let sql = "SELECT COUNT(*) FROM follower WHERE who_id = $1";
        let expected: i64 = sqlx::query_scalar(sql)
            .bind(user)
            .fetch_one(&old.pool)
            .await
            .unwrap();
        let listed = follows["follows"].as_array().unwrap().len();
        assert_eq!(i64::try_from(listed).unwrap(), expected, "user {user}");
    }
    suite.process.kill().await.unwrap();
}
