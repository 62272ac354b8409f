//! Imports that are killed, and suites that are.

use std::{
    net::{SocketAddr, TcpListener},
    path::Path,
    process::Stdio,
    time::Duration,
};

use serde_json::Value;
use tokio::process::{Child, Command};

use crate::{
    harness::{Client, SIMULATOR},
    old::{Listed, Old},
};

const MINITWIT: &str = env!("CARGO_BIN_EXE_minitwit");

/// So many of them that every kill comes long before the last one.
const MESSAGES: u32 = 8_000;

/// What the suite lists, at least, when the import is killed: people come first, then whom they
/// follow, then messages.
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

/// And when the suite is.
const SUITE_KILLS: [(&str, usize); 3] = [
    ("/msgs?no=1500", 1_500),
    ("/msgs?no=2000", 2_000),
    ("/msgs?no=2500", 2_500),
];

/// A suite in a process of its own, which can be killed like one.
struct Suite {
    ports: [u16; 6],
    folder: tempfile::TempDir,
    process: Child,
}

impl Suite {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        // Held all at once, so that they differ, and let go before the suite takes them.
        let held = [(); 6].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let ports = held.map(|listener| listener.local_addr().unwrap().port());
        let process = serve(ports, folder.path());
        let suite = Self {
            ports,
            folder,
            process,
        };
        suite.ready().await;
        suite
    }

    /// What a power cut does, and then the power is back.
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

    fn address(&self, place: usize) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.ports[place]))
    }

    fn api(&self) -> Client {
        Client {
            address: self.address(1),
            authorization: Some(SIMULATOR.to_owned()),
            trace: None,
            checks_contract: true,
        }
    }

    /// An import in a process of its own, in small steps, so that there are many to be killed in.
    fn import(&self, file: &Path) -> Child {
        let [user, follower, message] = [3, 4, 5].map(|place| self.address(place).to_string());
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

    /// Waits until so many messages or follows are listed; the import goes on meanwhile.
    async fn lists(&self, path: &str, count: usize) {
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

    async fn listed(&self) -> Vec<Listed> {
        let messages = self.api().get("/msgs?no=10000").await.is(200).json();
        let messages = messages.as_array().unwrap().iter();
        let of = |message: &Value| {
            let text = |name: &str| message[name].as_str().unwrap().to_owned();
            (
                text("content"),
                message["pub_date"].as_i64().unwrap(),
                text("user"),
            )
        };
        messages.map(of).collect()
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
async fn killed_anywhere_and_started_again_every_row_is_there_once() {
    let (mut suite, old) = (Suite::start().await, Old::clean(40, MESSAGES, 600).await);

    // Each kill comes a little later than the last, wherever the import is by then.
    for (path, count) in IMPORT_KILLS {
        let mut import = suite.import(&old.file);
        suite.lists(path, count).await;
        assert!(is_running(&mut import), "{path} lists {count}");
        import.kill().await.unwrap();
    }
    let mut import = suite.import(&old.file);
    for (path, count) in SUITE_KILLS {
        suite.lists(path, count).await;
        assert!(is_running(&mut import), "{path} lists {count}");
        suite.kill_and_restart().await;
    }
    let ended = tokio::time::timeout(Duration::from_mins(2), import.wait()).await;
    let first = ended
        .expect("the import goes on as soon as the suite is back")
        .unwrap();
    let last = suite.import(&old.file).wait().await.unwrap();
    assert_eq!((first.code(), last.code()), (Some(0), Some(0)));

    assert_eq!(suite.listed().await, old.timeline("true").await);
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
