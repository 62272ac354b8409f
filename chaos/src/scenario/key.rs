//! One key, three uses: whatever is repeated, delayed or woken up again, nothing is doubled and
//! nothing is undone.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context as _, ensure};
use serde_json::json;
use tokio::{task::JoinSet, time::sleep};

use crate::{
    fleet::{Fleet, Plan},
    http,
    meter::Meter,
    proxy::Weather,
    replica::Role,
    row::Row,
    trial::Context,
};

const PATIENCE: Duration = Duration::from_secs(5);
const PEOPLE: usize = 16;

pub(super) async fn one_key_three_uses(context: &Context) -> anyhow::Result<Row> {
    let plan = Plan {
        counts: [
            (Role::User, 2),
            (Role::Follower, 2),
            (Role::Message, 2),
            (Role::Gateway, 2),
        ],
        proxied_database: vec![Role::Follower, Role::Message],
        ..context.plan()
    };
    let fleet = context.fleet(&plan).await?;
    let mut row = Row::new("one key, three uses");
    let gateways: Vec<SocketAddr> = fleet.all(Role::Gateway).map(|one| one.address).collect();
    let [one, two] = gateways[..] else {
        anyhow::bail!("two gateways are started")
    };

    repeated_by_the_edge(&mut row, one, two).await?;
    for following in [true, false] {
        frozen_follow(&mut row, &fleet, (one, two), following).await?;
    }
    frozen_post(&mut row, &fleet, one).await?;
    frozen_gateway(&mut row, &fleet).await?;
    Ok(row)
}

/// An edge sends the same registration and the same message to two gateways.
async fn repeated_by_the_edge(
    row: &mut Row,
    one: SocketAddr,
    two: SocketAddr,
) -> anyhow::Result<()> {
    let start = format!("t={}", unix_millis());
    for (number, name) in names().enumerate() {
        let id = format!("register-{number}");
        let named = [
            ("X-Request-Id", id.as_str()),
            ("X-Request-Start", start.as_str()),
        ];
        let body = json!({"username": name, "email": "a@example.org", "pwd": "secret"});
        let first = http::post(one, "/register", &named, &body, PATIENCE).await?;
        ensure!(
            first.status == 204,
            "{name} is not registered: {}",
            first.status
        );
        if number == 0 {
            let again = http::post(two, "/register", &named, &body, PATIENCE).await?;
            row.promise(
                again.status == 204,
                format!("a repeated sign-up is {}", again.status),
            );
            let other = http::post(two, "/register", &[], &body, PATIENCE).await?;
            row.promise(
                other.status == 400,
                format!("a second sign-up is {}", other.status),
            );
        }
    }
    let author = names().next().context("there are people")?;
    let (path, body) = (format!("/msgs/{author}"), json!({"content": "sent twice"}));
    let named = [
        ("X-Request-Id", "post"),
        ("X-Request-Start", start.as_str()),
    ];
    for gateway in [one, two] {
        let posted = http::post(gateway, &path, &named, &body, PATIENCE).await?;
        row.promise(
            posted.status == 204,
            format!("a repeated post is {}", posted.status),
        );
    }
    let count = contents(two, &author).await?.len();
    row.promise(
        count == 1,
        format!("one post sent twice is there {count} times"),
    );
    row.notes
        .push("sign-up and post repeated at another gateway: once each".to_owned());
    Ok(())
}

/// A replica freezes with writes on their way to the database; they are repeated elsewhere, the
/// opposite is written, and then it wakes up.
async fn frozen_follow(
    row: &mut Row,
    fleet: &Fleet,
    (one, two): (SocketAddr, SocketAddr),
    following: bool,
) -> anyhow::Result<()> {
    let meter = Meter::default();
    meter.read(fleet).await;
    let before = meter.total().retries;
    let frozen = fleet.first(Role::Follower)?;
    let network = fleet.proxy(&format!("{}-database", frozen.name))?;
    network.set(Weather::Held);
    let written = set_follows(one, following);
    let (written, ()) = tokio::join!(written, async {
        sleep(Duration::from_millis(60)).await;
        frozen.freeze().expect("a running process can be frozen");
    });
    let written = written?;
    let opposite = set_follows(two, !following).await?;
    network.set(Weather::Fair);
    frozen.thaw()?;
    sleep(Duration::from_secs(2)).await;

    meter.read(fleet).await;
    let repeated = meter.total().retries - before;
    let followed = followees(one).await?;
    let expected = if following { 0 } else { opposite };
    let word = if following { "follows" } else { "unfollows" };
    row.notes.push(format!(
        "{written}/{} {word} acknowledged with a frozen replica, {opposite} opposites, {repeated} \
         calls repeated; after it woke {followed} are followed",
        PEOPLE - 1
    ));
    row.bar(
        written == PEOPLE - 1 && opposite == PEOPLE - 1,
        format!("not all {word} went through"),
    );
    // What was not acknowledged may or may not have happened: then nothing is certain.
    if opposite == PEOPLE - 1 {
        row.promise(
            followed == expected,
            format!("{followed} are followed, not {expected}"),
        );
    }
    Ok(())
}

/// The same for messages, whose key is their id.
async fn frozen_post(row: &mut Row, fleet: &Fleet, gateway: SocketAddr) -> anyhow::Result<()> {
    let frozen = fleet.first(Role::Message)?;
    let network = fleet.proxy(&format!("{}-database", frozen.name))?;
    let author = names().nth(1).context("there are people")?;
    network.set(Weather::Held);
    let posted = posts(gateway, &author, "held").await;
    frozen.freeze()?;
    let posted = posted + posts(gateway, &author, "frozen").await;
    network.set(Weather::Fair);
    frozen.thaw()?;
    sleep(Duration::from_secs(2)).await;
    judge_posts(row, gateway, &author, posted, "a frozen message service").await
}

/// A gateway freezes with requests that the edge has given it; the edge repeats them at the other one.
async fn frozen_gateway(row: &mut Row, fleet: &Fleet) -> anyhow::Result<()> {
    let frozen = fleet.first(Role::Gateway)?;
    let author = names().nth(2).context("there are people")?;
    frozen.freeze()?;
    let posted = posts(fleet.api(), &author, "first").await;
    let posted = posted + posts(fleet.api(), &author, "second").await;
    frozen.thaw()?;
    sleep(Duration::from_secs(2)).await;
    judge_posts(
        row,
        fleet.api(),
        &author,
        posted,
        "a frozen gateway behind the edge",
    )
    .await
}

async fn judge_posts(
    row: &mut Row,
    gateway: SocketAddr,
    author: &str,
    posted: usize,
    what: &str,
) -> anyhow::Result<()> {
    let mut contents = contents(gateway, author).await?;
    let listed = contents.len();
    contents.sort();
    contents.dedup();
    row.notes.push(format!(
        "{posted}/{} posts acknowledged with {what}, {listed} listed, {} of them different",
        2 * PEOPLE,
        contents.len()
    ));
    row.bar(
        posted == 2 * PEOPLE,
        format!("{what}: not all posts went through"),
    );
    row.promise(
        listed == contents.len(),
        format!("{what}: posts are doubled"),
    );
    row.promise(listed >= posted, format!("{what}: posts are lost"));
    Ok(())
}

/// Posts so many messages at once; answers how many were acknowledged.
async fn posts(gateway: SocketAddr, author: &str, text: &str) -> usize {
    let mut posting = JoinSet::new();
    for number in 0..PEOPLE {
        let body = json!({"content": format!("{text} {number}")});
        let path = format!("/msgs/{author}");
        posting.spawn(async move { http::post(gateway, &path, &[], &body, PATIENCE).await });
    }
    acknowledged(posting).await
}

/// The first of the people follows all others, or none of them any more.
async fn set_follows(gateway: SocketAddr, following: bool) -> anyhow::Result<usize> {
    let path = format!("/fllws/{}", names().next().context("there are people")?);
    let verb = if following { "follow" } else { "unfollow" };
    let mut writing = JoinSet::new();
    for name in names().skip(1) {
        let (path, body) = (path.clone(), json!({verb: name}));
        writing.spawn(async move { http::post(gateway, &path, &[], &body, PATIENCE).await });
        // Apart, so that they do not all share one batch.
        sleep(Duration::from_millis(4)).await;
    }
    Ok(acknowledged(writing).await)
}

async fn acknowledged(requests: JoinSet<anyhow::Result<http::Answer>>) -> usize {
    let answers = requests.join_all().await;
    answers
        .iter()
        .flatten()
        .filter(|answer| answer.status == 204)
        .count()
}

async fn contents(gateway: SocketAddr, author: &str) -> anyhow::Result<Vec<String>> {
    let json = read(gateway, &format!("/msgs/{author}?no=1000")).await?;
    let messages = json.as_array().context("messages are a list")?;
    let content = |message: &serde_json::Value| message["content"].as_str().map(str::to_owned);
    Ok(messages.iter().filter_map(content).collect())
}

async fn followees(gateway: SocketAddr) -> anyhow::Result<usize> {
    let name = names().next().context("there are people")?;
    let json = read(gateway, &format!("/fllws/{name}?no=1000")).await?;
    Ok(json["follows"]
        .as_array()
        .context("follows are a list")?
        .len())
}

/// Reads until there is an answer: what is judged is the state, not the time.
async fn read(gateway: SocketAddr, path: &str) -> anyhow::Result<serde_json::Value> {
    let mut last = None;
    for _ in 0..40 {
        match http::get(gateway, path, PATIENCE).await {
            Ok(answer) if answer.status == 200 => return Ok(answer.json()),
            other => last = Some(other.map(|answer| answer.status)),
        }
        sleep(Duration::from_millis(250)).await;
    }
    anyhow::bail!("{path} cannot be read: {last:?}")
}

fn names() -> impl Iterator<Item = String> {
    (0..PEOPLE).map(|number| format!("person-{number}"))
}

fn unix_millis() -> u128 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.unwrap_or_default().as_millis()
}
