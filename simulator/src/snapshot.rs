//! What the server shows of a set of users, read through the API before and after a run.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use futures_util::StreamExt;
use http::Method;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::action::{follows_path, messages_path};
use crate::client::{Client, Failure, Reply};
use crate::progress::Progress;

/// The longest list that a server must give.
pub(crate) const WINDOW: usize = 10_000;

/// How many users are read at a time: few, because a server that has just been overloaded, or that
/// takes few requests at once, has to have room for them.
const CONCURRENCY: usize = 4;

/// How long one read may take, how often it is tried, and the first pause in between, doubled each
/// time.
const TIMEOUT: Duration = Duration::from_secs(5);
const TRIES: u32 = 6;
const FIRST_PAUSE: Duration = Duration::from_millis(150);

/// The lists of some users, and `latest`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Snapshot {
    pub(crate) latest: Option<i64>,
    pub(crate) users: HashMap<String, UserState>,
}

/// What the server shows of one user.
#[derive(Clone, Debug)]
pub(crate) enum UserState {
    /// Nobody of that name.
    Absent,
    /// The user's lists.
    Present(Profile),
    /// No answer that could be understood, for this reason.
    Unreadable(String),
}

/// The lists of a user.
#[derive(Clone, Debug, Default)]
pub(crate) struct Profile {
    /// Newest first, at most [`WINDOW`].
    pub(crate) messages: Vec<Message>,
    /// Whom the user follows, at most [`WINDOW`].
    pub(crate) follows: Vec<String>,
}

impl Profile {
    /// Whether there may be older messages than those listed.
    pub(crate) fn is_truncated(&self) -> bool {
        self.messages.len() >= WINDOW
    }
}

/// A message, as the API lists it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Message {
    pub(crate) content: String,
    pub(crate) pub_date: i64,
    pub(crate) user: String,
}

#[derive(Deserialize)]
struct Latest {
    latest: i64,
}

#[derive(Deserialize)]
struct Follows {
    follows: Vec<String>,
}

/// Reads `latest`, then the lists of `names`.
pub(crate) async fn take(
    client: &Client,
    names: &[String],
    progress: Progress,
    stage: &'static str,
) -> Snapshot {
    // First, so that no other client's request comes in between.
    let latest = latest(client).await.ok();
    let bar = progress.stage(stage, u64::try_from(names.len()).ok());
    let bar = &bar;
    let users = futures_util::stream::iter(names.to_vec())
        .map(|name| async move {
            let lists = user(client, &name).await;
            bar.step();
            (name, lists)
        })
        .buffer_unordered(CONCURRENCY)
        .collect()
        .await;
    Snapshot { latest, users }
}

/// `GET /latest`
pub(crate) async fn latest(client: &Client) -> anyhow::Result<i64> {
    let reply = read(client, "/latest").await?;
    match reply.status {
        200 => Ok(parse::<Latest>("/latest", &reply.body)?.latest),
        404 => bail!(
            "GET /latest is answered with 404: the simulator API has a port of its own (5001), \
             this may be the pages'"
        ),
        status => bail!("GET /latest is answered with {status}"),
    }
}

async fn user(client: &Client, name: &str) -> UserState {
    match profile(client, name).await {
        Ok(Some(profile)) => UserState::Present(profile),
        Ok(None) => UserState::Absent,
        Err(error) => UserState::Unreadable(format!("{error:#}")),
    }
}

async fn profile(client: &Client, name: &str) -> anyhow::Result<Option<Profile>> {
    let path = format!("{}?no={WINDOW}", messages_path(name));
    let Some(messages) = list::<Vec<Message>>(client, &path).await? else {
        return Ok(None);
    };
    if let Some(stranger) = messages.iter().find(|message| message.user != name) {
        bail!("{path} lists a message of {:?}", stranger.user);
    }
    ensure!(
        messages.len() <= WINDOW,
        "{path} lists {} messages",
        messages.len()
    );
    let path = format!("{}?no={WINDOW}", follows_path(name));
    let follows = list::<Follows>(client, &path).await?;
    let follows = follows
        .with_context(|| format!("{path} is answered with 404"))?
        .follows;
    Ok(Some(Profile { messages, follows }))
}

async fn list<T: DeserializeOwned>(client: &Client, path: &str) -> anyhow::Result<Option<T>> {
    let reply = read(client, path).await?;
    match reply.status {
        200 => parse(path, &reply.body).map(Some),
        404 => Ok(None),
        403 => bail!("{path} is answered with 403: are the --credentials right?"),
        status => bail!("{path} is answered with {status}"),
    }
}

fn parse<T: DeserializeOwned>(path: &str, body: &Bytes) -> anyhow::Result<T> {
    serde_json::from_slice(body).with_context(|| format!("cannot understand the answer to {path}"))
}

/// Reads with patience: this is no part of the run, and the server may just be restarting.
pub(crate) async fn read(client: &Client, path: &str) -> anyhow::Result<Reply> {
    let mut pause = FIRST_PAUSE;
    for _ in 1..TRIES {
        match client.send(Method::GET, path, Bytes::new(), TIMEOUT).await {
            Ok(reply) if reply.status < 500 => return Ok(reply),
            _ => {}
        }
        tokio::time::sleep(pause).await;
        pause *= 2;
    }
    match client.send(Method::GET, path, Bytes::new(), TIMEOUT).await {
        Ok(reply) => Ok(reply),
        Err(Failure::TimedOut) => bail!("no answer to {path}"),
        Err(Failure::NotConnected(cause)) => bail!("cannot connect for {path}: {cause}"),
        Err(Failure::Broken(cause)) => bail!("no whole answer to {path}: {cause}"),
    }
}
