//! A `minitwit` process whose traces, metrics and log lines the test keeps.

use std::{fs::File, net::SocketAddr, process::Stdio, time::Duration};

use minitwit_postgres::free_port;
use tempfile::TempDir;
use test_sink::Sink;
use test_wait::eventually;
use tokio::process::{Child, Command};

use crate::harness::{Client, SIMULATOR};

/// Timeout that only a hanging operation reaches, even on a busy machine.
pub(crate) const AMPLE: Duration = Duration::from_secs(30);

/// A running suite, which is killed on drop.
pub(crate) struct Observed {
    pub(crate) pages: SocketAddr,
    pub(crate) api: SocketAddr,
    pub(crate) admin: SocketAddr,
    /// Address of the message service.
    pub(crate) message: SocketAddr,
    pub(crate) sink: Sink,
    folder: TempDir,
    process: Child,
}

impl Observed {
    /// Starts a suite with empty SQLite files. `log` is the value of `RUST_LOG`.
    pub(crate) async fn start(log: &str) -> Self {
        let sink = Sink::start();
        let folder = tempfile::tempdir().unwrap();
        let lines = File::create(folder.path().join("log")).unwrap();
        let any = "127.0.0.1:0";
        let message = SocketAddr::from(([127, 0, 0, 1], free_port().unwrap()));
        let process = Command::new(env!("CARGO_BIN_EXE_minitwit"))
            .env("LISTEN_PAGES", any)
            .env("LISTEN_API", any)
            .env("LISTEN_ADMIN", any)
            .env("LISTEN_USER", any)
            .env("LISTEN_FOLLOWER", any)
            .env("LISTEN_MESSAGE", message.to_string())
            .env("DATA_DIR", folder.path().join("data"))
            // A test program is not optimised and needs more time than the default budget.
            .env("API_BUDGET_MS", "5000")
            .env("RUST_LOG", log)
            .env("LOG_FORMAT", "json")
            .env("TASK_SLOT", "7")
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", &sink.endpoint)
            .stdout(lines.try_clone().unwrap())
            .stderr(lines)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let log = folder.path().join("log");
        eventually("the suite is up", AMPLE, async || {
            std::fs::read_to_string(&log)
                .unwrap()
                .contains("/metrics\n")
        })
        .await;
        let log = std::fs::read_to_string(&log).unwrap();
        let address = |what: &str| {
            let line = log.lines().find(|line| line.trim().starts_with(what));
            let url = line.unwrap().split("http://").nth(1).unwrap();
            url.trim_end_matches("/metrics").parse().unwrap()
        };
        Self {
            pages: address("pages"),
            api: address("API"),
            admin: address("metrics"),
            message,
            sink,
            folder,
            process,
        }
    }

    /// Client of the API with the credentials of the simulator.
    pub(crate) fn simulator(&self) -> Client {
        Client {
            address: self.api,
            authorization: Some(SIMULATOR.to_owned()),
            trace: None,
            checks_contract: true,
        }
    }

    /// Metrics in the text format of Prometheus.
    pub(crate) async fn metrics(&self) -> String {
        let client = Client {
            address: self.admin,
            authorization: None,
            trace: None,
            checks_contract: false,
        };
        let answer = client.get("/metrics").await.is(200);
        String::from_utf8(answer.body.to_vec()).unwrap()
    }

    /// Stops the suite in order. Returns its log and the collector.
    pub(crate) async fn stop(mut self) -> (String, Sink) {
        let id = self.process.id().unwrap().to_string();
        let asked = Command::new("kill").args(["-TERM", &id]).status().await;
        assert!(asked.unwrap().success());
        let status = tokio::time::timeout(AMPLE, self.process.wait()).await;
        let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap();
        assert!(status.unwrap().unwrap().success(), "{log}");
        (log, self.sink)
    }
}

/// Creates the id of a new trace.
pub(crate) fn trace_id() -> String {
    uuid::Uuid::now_v7().simple().to_string()
}

/// Id of the span of the edge, which is the parent of the gateway's span.
pub(crate) const EDGE: &str = "00f067aa0ba902b7";
