//! A worker that writes through one gateway and reads through the other.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use super::{Gateway, Tally};
use crate::http::{Client, Response};

const TIMEOUT: Duration = Duration::from_secs(5);

/// Number of messages that a read lists, enough for all that other workers post in between.
const MESSAGES_READ: u64 = 200;

/// Metric of the writes of `latest` that a gateway has acknowledged before they were stored.
const DEFERRED: &str = "minitwit_latest_deferred_total";

/// A worker with a user of its own.
#[derive(Debug)]
pub(super) struct Worker {
    number: u64,
    workers: u64,
    client: Client,
    /// The gateway that writes and the gateway that reads in this turn.
    gateways: [Gateway; 2],
    tally: Arc<Tally>,
    turn: u64,
}

/// Result of a pair of a write and a read.
enum Visibility {
    Visible,
    /// The write is not visible, and the read's response shows this.
    Missing(String),
    /// The write is not visible, and the gateway has counted it as deferred.
    Deferred,
}

impl Worker {
    pub(super) fn new(
        number: u64,
        workers: u64,
        gateways: [Gateway; 2],
        tally: Arc<Tally>,
    ) -> Self {
        Self {
            number,
            workers,
            client: Client::keeping_connections(TIMEOUT),
            gateways,
            tally,
            turn: 0,
        }
    }

    /// Runs pairs until there are enough.
    pub(super) async fn work(mut self) {
        self.register_until_success().await;
        self.tally.registered.wait().await;
        while self.tally.needs_more() {
            let (name, result) = self.pair().await;
            self.count(name, result);
        }
    }

    /// Registers the user, also on a busy machine, because all other pairs need the account.
    async fn register_until_success(&mut self) {
        let tally = Arc::clone(&self.tally);
        let _guard = tally.registration.lock().await;
        let mut is_registered = false;
        while !is_registered && self.tally.needs_more() {
            let result = self.register().await;
            is_registered = result.is_ok();
            self.count("the account", result);
        }
    }

    fn count(&mut self, name: &str, result: anyhow::Result<Visibility>) {
        match result {
            Ok(Visibility::Visible) => self.tally.count_kept(),
            Ok(Visibility::Missing(response)) => {
                let (user, turn) = (user(self.number), self.turn);
                self.tally.count_violation(&format!(
                    "{name} of {user}, turn {turn}, is not visible in: {response}"
                ));
            }
            Ok(Visibility::Deferred) => self.tally.count_deferred(),
            Err(error) => self.tally.count_failure(&format!("{name}: {error:#}")),
        }
        // The next turn writes through the other gateway.
        self.gateways.swap(0, 1);
        self.turn += 1;
    }

    async fn pair(&self) -> (&'static str, anyhow::Result<Visibility>) {
        // `latest` belongs to the whole site, so only one worker may move it.
        if self.number == 0 {
            return ("latest", self.move_latest().await);
        }
        let own_timeline = format!("/msgs/{}", user(self.number));
        match self.turn % 4 {
            0 => (
                "the message on the public timeline",
                self.post("/msgs").await,
            ),
            1 => (
                "the message on the author's timeline",
                self.post(&own_timeline).await,
            ),
            2 => ("the follow", self.follow("follow", true).await),
            _ => ("the unfollow", self.follow("unfollow", false).await),
        }
    }

    /// Registers an account whose name was read before.
    async fn register(&self) -> anyhow::Result<Visibility> {
        let name = user(self.number);
        let path = format!("/msgs/{name}");
        let before = self.read(&path).await?;
        match before.status {
            404 => {}
            // An earlier attempt without a response has registered the account.
            200 => return Ok(Visibility::Visible),
            status => anyhow::bail!("{path} before the registration: status {status}"),
        }
        let email = format!("{name}@example.org");
        let body = json!({"username": name, "email": email, "pwd": "secret"});
        self.write("/register", &body).await?;
        let after = self.read(&path).await?;
        match after.status {
            404 => Ok(judge(false, &after)),
            _ => success(&path, after).map(|_| Visibility::Visible),
        }
    }

    async fn post(&self, path: &str) -> anyhow::Result<Visibility> {
        let content = format!("turn {} of {}", self.turn, user(self.number));
        let body = json!({"content": content});
        self.write(&format!("/msgs/{}", user(self.number)), &body)
            .await?;
        let response = self.list(&format!("{path}?no={MESSAGES_READ}")).await?;
        let is_own = |message: &Value| message["content"] == *content;
        let messages = response.json();
        let is_listed = messages
            .as_array()
            .is_some_and(|list| list.iter().any(is_own));
        Ok(judge(is_listed, &response))
    }

    /// Follows another worker's user, or unfollows that user in the turn after.
    async fn follow(&self, verb: &str, expected: bool) -> anyhow::Result<Visibility> {
        let followee = user((self.number + 1 + self.turn / 4) % self.workers);
        let path = format!("/fllws/{}", user(self.number));
        self.write(&path, &json!({verb: followee})).await?;
        let response = self.list(&format!("{path}?no=1000")).await?;
        let follows = response.json()["follows"].take();
        let is_listed = follows
            .as_array()
            .is_some_and(|list| list.contains(&followee.into()));
        Ok(judge(is_listed == expected, &response))
    }

    async fn move_latest(&self) -> anyhow::Result<Visibility> {
        let turn = self.turn;
        let deferred_before = self.deferred().await?;
        // Reads move `latest` as writes do.
        if turn.is_multiple_of(2) {
            let path = format!("/msgs/{}?latest={turn}", user(self.number));
            self.write(&path, &json!({"content": "a message"})).await?;
        } else {
            let path = format!("/msgs/{}?no=1&latest={turn}", user(self.number));
            let [writer, _] = self.gateways;
            success(&path, self.client.get(writer.api, &path).await?)?;
        }
        let response = self.list("/latest").await?;
        let is_moved = response.json()["latest"] == turn;
        if !is_moved && self.deferred().await? > deferred_before {
            return Ok(Visibility::Deferred);
        }
        Ok(judge(is_moved, &response))
    }

    /// Number of writes of `latest` that this turn's first gateway has deferred.
    async fn deferred(&self) -> anyhow::Result<u64> {
        let [writer, _] = self.gateways;
        let response = self.client.get(writer.admin, "/metrics").await?;
        let metrics = success("/metrics", response)?.text();
        let mut lines = metrics.lines();
        let count = lines.find_map(|line| line.strip_prefix(DEFERRED)?.trim().parse().ok());
        count.with_context(|| format!("/metrics has no {DEFERRED}"))
    }

    /// Writes through this turn's first gateway, and returns when the write is acknowledged.
    async fn write(&self, path: &str, body: &Value) -> anyhow::Result<()> {
        let [writer, _] = self.gateways;
        let response = self.client.post(writer.api, path, &[], body).await?;
        success(path, response).map(drop)
    }

    /// Reads through this turn's second gateway.
    async fn read(&self, path: &str) -> anyhow::Result<Response> {
        let [_, reader] = self.gateways;
        self.client.get(reader.api, path).await
    }

    /// Reads through this turn's second gateway, and fails without success.
    async fn list(&self, path: &str) -> anyhow::Result<Response> {
        success(path, self.read(path).await?)
    }
}

fn user(number: u64) -> String {
    format!("worker{number}")
}

fn success(path: &str, response: Response) -> anyhow::Result<Response> {
    let (status, text) = (response.status, response.text());
    ensure!(
        (200..300).contains(&status),
        "{path}: status {status} {text}"
    );
    Ok(response)
}

fn judge(is_visible: bool, response: &Response) -> Visibility {
    if is_visible {
        Visibility::Visible
    } else {
        Visibility::Missing(format!("{} {}", response.status, response.text()))
    }
}
