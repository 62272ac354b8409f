//! Requests with the same key are repeated, delayed, or sent to a replica that freezes and resumes. No write
//! is doubled and no write is undone.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context as _, ensure};
use serde_json::json;
use tokio::{task::JoinSet, time::sleep};

use super::{calls::CallCounter, run::Context};
use crate::{
    fleet::{NetworkFault, Plan, Role, Suite},
    http::{Client, Response},
    load::LoadReport,
    steal::Watch,
    trial::ScenarioResult,
    wait::wait_until,
};

const TIMEOUT: Duration = Duration::from_secs(5);

/// Maximum time until the state can be read after a fault.
const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// Time in which a resumed replica finishes its writes.
const RESUME_TIME: Duration = Duration::from_secs(2);

/// Number of users.
const USERS: usize = 16;

/// Number of users that the first user follows.
const OTHERS: usize = USERS - 1;

pub(super) async fn repeated_requests(context: &Context) -> anyhow::Result<ScenarioResult> {
    let plan = Plan {
        counts: Role::ALL.map(|role| (role, 2)),
        proxied_database: vec![Role::Follower, Role::Message],
        ..context.plan()
    };
    let suite = context.suite(&plan).await?;
    let watch = Watch::start();
    let mut result = ScenarioResult::default();
    let gateways = suite.all(Role::Gateway).map(|gateway| gateway.address);
    let gateways: Vec<SocketAddr> = gateways.collect();
    let [one, two] = gateways[..] else {
        anyhow::bail!("two gateways are started")
    };

    repeat_at_other_gateway(&mut result, one, two).await?;
    for is_following in [true, false] {
        freeze_during_follows(&mut result, &suite, (one, two), is_following).await?;
    }
    freeze_during_posts(&mut result, &suite, one).await?;
    freeze_gateway(&mut result, &suite).await?;
    result.load = LoadReport {
        stolen: watch.finish(),
        ..LoadReport::default()
    };
    Ok(result)
}

/// Sends the same sign-up and the same message to two gateways, as an edge does.
async fn repeat_at_other_gateway(
    result: &mut ScenarioResult,
    one: SocketAddr,
    two: SocketAddr,
) -> anyhow::Result<()> {
    let client = Client::new(TIMEOUT);
    let start = format!("t={}", unix_millis());
    for (number, name) in names().enumerate() {
        let id = format!("register-{number}");
        let key = [
            ("X-Request-Id", id.as_str()),
            ("X-Request-Start", start.as_str()),
        ];
        let body = json!({"username": name, "email": "a@example.org", "pwd": "secret"});
        let register = async |gateway, headers: &[_]| {
            let response = client.post(gateway, "/register", headers, &body).await?;
            anyhow::Ok(response.status)
        };
        let status = register(one, &key).await?;
        ensure!(status == 204, "{name} is not registered: status {status}");
        if number == 0 {
            let status = register(two, &key).await?;
            let message = format!("a repeated sign-up has status {status}");
            result.promise(status == 204, message);
            let status = register(two, &[]).await?;
            let message = format!("a second sign-up has status {status}");
            result.promise(status == 400, message);
        }
    }
    let author = name(0);
    let (path, body) = (format!("/msgs/{author}"), json!({"content": "sent twice"}));
    let key = [
        ("X-Request-Id", "post"),
        ("X-Request-Start", start.as_str()),
    ];
    for gateway in [one, two] {
        let status = client.post(gateway, &path, &key, &body).await?.status;
        let message = format!("a repeated post has status {status}");
        result.promise(status == 204, message);
    }
    let count = contents(two, &author).await?.len();
    let message = format!("a post that was sent twice is listed {count} times");
    result.promise(count == 1, message);
    let fact = "sign-up and post repeated at the other gateway: stored once";
    result.facts.push(fact.to_owned());
    Ok(())
}

/// Freezes a replica while its writes wait for the database. The gateway repeats them at the other replica,
/// the opposite is written, and then the replica resumes.
async fn freeze_during_follows(
    result: &mut ScenarioResult,
    suite: &Suite,
    (one, two): (SocketAddr, SocketAddr),
    is_following: bool,
) -> anyhow::Result<()> {
    let counter = CallCounter::default();
    counter.read(suite).await;
    let retries_before = counter.total().retries;
    let frozen = suite.first(Role::Follower)?;
    let network = suite.proxy(&format!("{}-database", frozen.name()))?;
    network.set(NetworkFault::Blocked);
    let (acknowledged, frozen_result) = tokio::join!(set_follows(one, is_following), async {
        sleep(Duration::from_millis(60)).await;
        frozen.process.freeze()
    });
    frozen_result?;
    let opposite = set_follows(two, !is_following).await;
    network.set(NetworkFault::None);
    frozen.process.resume()?;
    sleep(RESUME_TIME).await;

    counter.read(suite).await;
    let retries = counter.total().retries - retries_before;
    let followed = followees(one).await?;
    let expected = if is_following { 0 } else { opposite };
    let verb = if is_following { "follows" } else { "unfollows" };
    result.facts.push(format!(
        "{acknowledged}/{OTHERS} {verb} acknowledged with a frozen replica, {opposite} opposites, {retries} \
         calls repeated; {followed} followees after the replica resumed"
    ));
    result.threshold(
        acknowledged == OTHERS && opposite == OTHERS,
        format!("not all {verb} were acknowledged"),
    );
    // A write that was not acknowledged may or may not be stored.
    if opposite == OTHERS {
        let message = format!("{followed} followees instead of {expected}");
        result.promise(followed == expected, message);
    }
    Ok(())
}

/// Freezes a replica while its messages wait for the database.
async fn freeze_during_posts(
    result: &mut ScenarioResult,
    suite: &Suite,
    gateway: SocketAddr,
) -> anyhow::Result<()> {
    let frozen = suite.first(Role::Message)?;
    let network = suite.proxy(&format!("{}-database", frozen.name()))?;
    let author = name(1);
    network.set(NetworkFault::Blocked);
    let blocked = post_messages(gateway, &author, "blocked").await;
    frozen.process.freeze()?;
    let acknowledged = blocked + post_messages(gateway, &author, "frozen").await;
    network.set(NetworkFault::None);
    frozen.process.resume()?;
    sleep(RESUME_TIME).await;
    let fault = "a frozen message service";
    judge_posts(result, gateway, &author, acknowledged, fault).await
}

/// Freezes a gateway that has requests of the edge. The edge repeats them at the other gateway.
async fn freeze_gateway(result: &mut ScenarioResult, suite: &Suite) -> anyhow::Result<()> {
    let frozen = suite.first(Role::Gateway)?;
    let (edge, author) = (suite.api(), name(2));
    frozen.process.freeze()?;
    let first = post_messages(edge, &author, "first").await;
    let acknowledged = first + post_messages(edge, &author, "second").await;
    frozen.process.resume()?;
    sleep(RESUME_TIME).await;
    let fault = "a frozen gateway behind the edge";
    judge_posts(result, edge, &author, acknowledged, fault).await
}

async fn judge_posts(
    result: &mut ScenarioResult,
    gateway: SocketAddr,
    author: &str,
    acknowledged: usize,
    fault: &str,
) -> anyhow::Result<()> {
    let mut contents = contents(gateway, author).await?;
    let listed = contents.len();
    contents.sort();
    contents.dedup();
    let (sent, different) = (2 * USERS, contents.len());
    result.facts.push(format!(
        "{acknowledged}/{sent} posts acknowledged with {fault}, {listed} listed, {different} of them different"
    ));
    let message = format!("{fault}: not all posts were acknowledged");
    result.threshold(acknowledged == sent, message);
    result.promise(listed == different, format!("{fault}: posts are doubled"));
    result.promise(listed >= acknowledged, format!("{fault}: posts are lost"));
    Ok(())
}

/// Posts messages at the same time, and returns the number of acknowledged messages.
async fn post_messages(gateway: SocketAddr, author: &str, text: &str) -> usize {
    let mut posts = JoinSet::new();
    for number in 0..USERS {
        let (path, body) = (
            format!("/msgs/{author}"),
            json!({"content": format!("{text} {number}")}),
        );
        posts.spawn(async move { Client::new(TIMEOUT).post(gateway, &path, &[], &body).await });
    }
    count_acknowledged(posts).await
}

/// Lets the first user follow or unfollow all other users, and returns the number of acknowledged writes.
async fn set_follows(gateway: SocketAddr, is_following: bool) -> usize {
    let verb = if is_following { "follow" } else { "unfollow" };
    let mut writes = JoinSet::new();
    for followee in names().skip(1) {
        let (path, body) = (format!("/fllws/{}", name(0)), json!({verb: followee}));
        writes.spawn(async move { Client::new(TIMEOUT).post(gateway, &path, &[], &body).await });
        // Some milliseconds apart, so that the writes are not all in one batch.
        sleep(Duration::from_millis(4)).await;
    }
    count_acknowledged(writes).await
}

async fn count_acknowledged(requests: JoinSet<anyhow::Result<Response>>) -> usize {
    let responses = requests.join_all().await;
    let is_acknowledged = |response: &&Response| response.status == 204;
    responses.iter().flatten().filter(is_acknowledged).count()
}

async fn contents(gateway: SocketAddr, author: &str) -> anyhow::Result<Vec<String>> {
    let json = read(gateway, &format!("/msgs/{author}?no=1000")).await?;
    let messages = json.as_array().context("messages are a list")?;
    let content = |message: &serde_json::Value| message["content"].as_str().map(str::to_owned);
    Ok(messages.iter().filter_map(content).collect())
}

async fn followees(gateway: SocketAddr) -> anyhow::Result<usize> {
    let json = read(gateway, &format!("/fllws/{}?no=1000", name(0))).await?;
    let follows = json["follows"].as_array().context("follows are a list")?;
    Ok(follows.len())
}

/// Reads until a response succeeds, because the scenario judges the state and not the time.
async fn read(gateway: SocketAddr, path: &str) -> anyhow::Result<serde_json::Value> {
    let client = Client::new(TIMEOUT);
    let interval = Duration::from_millis(250);
    let json = wait_until(READ_TIMEOUT, interval, async || {
        let response = client.get(gateway, path).await.ok();
        let response = response.filter(|response| response.status == 200);
        Ok(response.map(|response| response.json()))
    });
    json.await.with_context(|| format!("{path} cannot be read"))
}

fn name(number: usize) -> String {
    format!("person-{number}")
}

fn names() -> impl Iterator<Item = String> {
    (0..USERS).map(name)
}

fn unix_millis() -> u128 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.unwrap_or_default().as_millis()
}
