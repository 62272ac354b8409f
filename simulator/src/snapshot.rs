//! Reads the lists of a set of users through the API, before and after a run.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use futures_util::StreamExt;
use http::Method;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::action::{follows_path, messages_path};
use crate::client::{Client, Response, SendError};
use crate::progress::Progress;

/// Maximum length of a list that a server has to return.
pub(crate) const LIST_LENGTH_MAX: usize = 10_000;

/// Number of users whose lists are read at the same time. The number is small, so that a server that
/// was overloaded a moment ago, or that limits concurrent requests, can answer.
const READ_CONCURRENCY: usize = 4;

/// Maximum time for one attempt to read a list.
const READ_TIMEOUT: Duration = Duration::from_secs(5);

/// Maximum number of attempts to read a list.
const READ_ATTEMPTS_MAX: u32 = 6;

/// Pause after the first failed attempt, which doubles after each further failure.
const FIRST_RETRY_PAUSE: Duration = Duration::from_millis(150);

/// The lists of some users, and `latest`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Snapshot {
    pub(crate) latest: Option<i64>,
    pub(crate) users: HashMap<String, UserState>,
}

/// The state of one user on the server.
#[derive(Clone, Debug)]
pub(crate) enum UserState {
    /// There is no user of that name.
    Absent,
    /// The user's lists.
    Present(Profile),
    /// The lists could not be read, for the given cause.
    Unreadable(String),
}

/// The lists of a user.
#[derive(Clone, Debug, Default)]
pub(crate) struct Profile {
    /// The newest messages, newest first, at most [`LIST_LENGTH_MAX`].
    pub(crate) messages: Vec<Message>,
    /// The users whom the user follows, at most [`LIST_LENGTH_MAX`].
    pub(crate) follows: Vec<String>,
}

impl Profile {
    /// Whether there may be older messages than the listed ones.
    pub(crate) fn is_truncated(&self) -> bool {
        self.messages.len() >= LIST_LENGTH_MAX
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
    // `latest` is read first, so that other clients have less time to change it.
    let latest = latest(client).await.ok();
    let bar = progress.stage(stage, u64::try_from(names.len()).ok());
    let bar = &bar;
    let users = futures_util::stream::iter(names.to_vec())
        .map(|name| async move {
            let lists = user(client, &name).await;
            bar.step();
            (name, lists)
        })
        .buffer_unordered(READ_CONCURRENCY)
        .collect()
        .await;
    Snapshot { latest, users }
}

/// `GET /latest`
pub(crate) async fn latest(client: &Client) -> anyhow::Result<i64> {
    let response = read(client, "/latest").await?;
    match response.status {
        200 => Ok(parse::<Latest>("/latest", &response.body)?.latest),
        404 => bail!(
            "GET /latest is answered with 404: the URL may be that of the pages, the simulator API has \
            its own port (5001)"
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
    let path = format!("{}?no={LIST_LENGTH_MAX}", messages_path(name));
    let Some(messages) = list::<Vec<Message>>(client, &path).await? else {
        return Ok(None);
    };
    if let Some(foreign) = messages.iter().find(|message| message.user != name) {
        bail!("{path} lists a message of {:?}", foreign.user);
    }
    ensure!(
        messages.len() <= LIST_LENGTH_MAX,
        "{path} lists {} messages",
        messages.len()
    );
    let path = format!("{}?no={LIST_LENGTH_MAX}", follows_path(name));
    let follows = list::<Follows>(client, &path).await?;
    let follows = follows
        .with_context(|| format!("{path} is answered with 404"))?
        .follows;
    Ok(Some(Profile { messages, follows }))
}

async fn list<T: DeserializeOwned>(client: &Client, path: &str) -> anyhow::Result<Option<T>> {
    let response = read(client, path).await?;
    match response.status {
        200 => parse(path, &response.body).map(Some),
        404 => Ok(None),
        403 => bail!("{path} is answered with 403: are the --credentials right?"),
        status => bail!("{path} is answered with {status}"),
    }
}

fn parse<T: DeserializeOwned>(path: &str, body: &Bytes) -> anyhow::Result<T> {
    serde_json::from_slice(body).with_context(|| format!("cannot understand the answer to {path}"))
}

/// Reads a path, with retries. Reads are not part of the run, and the server may be restarting.
pub(crate) async fn read(client: &Client, path: &str) -> anyhow::Result<Response> {
    let mut pause = FIRST_RETRY_PAUSE;
    for _ in 1..READ_ATTEMPTS_MAX {
        match client
            .send(Method::GET, path, Bytes::new(), READ_TIMEOUT)
            .await
        {
            Ok(response) if response.status < 500 => return Ok(response),
            _ => {}
        }
        tokio::time::sleep(pause).await;
        pause *= 2;
    }
    match client
        .send(Method::GET, path, Bytes::new(), READ_TIMEOUT)
        .await
    {
        Ok(response) => Ok(response),
        Err(SendError::TimedOut) => bail!("no answer to {path}"),
        Err(SendError::NotConnected(cause)) => bail!("cannot connect for {path}: {cause}"),
        Err(SendError::Broken(cause)) => bail!("no complete answer to {path}: {cause}"),
    }
}
