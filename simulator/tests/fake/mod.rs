//! A simulator API in memory, which is correct by default and has the faults that a test configures.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// The faults of the fake. A number `n` applies the fault to every n-th request of its kind.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Faults {
    /// Acknowledges a message without storing it.
    pub(crate) lose_message: Option<u64>,
    /// Stores a message twice.
    pub(crate) double_message: Option<u64>,
    /// Acknowledges an unfollow without storing it.
    pub(crate) lose_unfollow: Option<u64>,
    /// Answers 500 to a write, alternately before and after applying it.
    pub(crate) fail: Option<u64>,
    /// Applies a write and answers after the delay.
    pub(crate) stall: Option<(u64, Duration)>,
    /// Rejects all registrations.
    pub(crate) reject_registrations: bool,
    /// Does not set `latest`.
    pub(crate) keep_latest: bool,
}

#[derive(Default)]
struct Data {
    faults: Faults,
    latest: Option<i64>,
    users: BTreeMap<String, User>,
    messages: u64,
    unfollows: u64,
    writes: u64,
}

#[derive(Default)]
struct User {
    /// The messages, oldest first.
    messages: Vec<Value>,
    follows: BTreeSet<String>,
}

type Shared = Arc<Mutex<Data>>;

/// A running fake, which listens on its own port until it is stopped.
pub(crate) struct Fake {
    address: SocketAddr,
    data: Shared,
    server: JoinHandle<()>,
}

impl Fake {
    pub(crate) async fn start(faults: Faults) -> Self {
        let data = Shared::default();
        data.lock().unwrap().faults = faults;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        Self {
            address,
            server: serve(listener, Arc::clone(&data)),
            data,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Stops the server. The data stays.
    pub(crate) fn stop(&mut self) {
        self.server.abort();
    }

    /// Starts the server again at the same address.
    pub(crate) async fn restart(&mut self) {
        let listener = loop {
            if let Ok(listener) = TcpListener::bind(self.address).await {
                break listener;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        };
        self.server = serve(listener, Arc::clone(&self.data));
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.stop();
    }
}

fn serve(listener: TcpListener, data: Shared) -> JoinHandle<()> {
    let app = Router::new()
        .route("/latest", get(latest))
        .route("/register", post(register))
        .route("/msgs", get(all_messages))
        .route("/msgs/{user}", get(messages).post(tweet))
        .route("/fllws/{user}", get(follows).post(follow))
        .layer(middleware::from_fn_with_state(
            Arc::clone(&data),
            inject_faults,
        ))
        .with_state(data);
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() })
}

fn every(count: &mut u64, nth: Option<u64>) -> bool {
    *count += 1;
    nth.is_some_and(|nth| count.is_multiple_of(nth))
}

fn lock(data: &Shared) -> MutexGuard<'_, Data> {
    data.lock().unwrap()
}

/// Checks the credentials, sets `latest` and injects the configured faults.
async fn inject_faults(
    State(data): State<Shared>,
    Query(query): Query<BTreeMap<String, String>>,
    headers: HeaderMap,
    request: Request,
    next: Next,
) -> Response {
    let open = matches!(request.uri().path(), "/latest" | "/register");
    let authorized = headers
        .get(header::AUTHORIZATION)
        .is_some_and(|value| value == "Basic c2ltdWxhdG9yOnN1cGVyX3NhZmUh");
    if !open && !authorized {
        return StatusCode::FORBIDDEN.into_response();
    }
    let (fails, before, stall) = {
        let mut data = lock(&data);
        let faults = data.faults;
        if let Some(Ok(latest)) = query.get("latest").map(|text| text.parse())
            && !faults.keep_latest
        {
            data.latest = Some(latest);
        }
        let fails = request.method() == "POST" && every(&mut data.writes, faults.fail);
        let stall = faults.stall.filter(|(nth, _)| {
            request.method() == "POST" && may_stall(&request) && data.writes.is_multiple_of(*nth)
        });
        let before = faults
            .fail
            .is_some_and(|nth| (data.writes / nth).is_multiple_of(2));
        (fails, before, stall)
    };
    if fails && before {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    }
    let response = next.run(request).await;
    if let Some((_, stall)) = stall {
        tokio::time::sleep(stall).await;
    }
    if fails {
        StatusCode::INTERNAL_SERVER_ERROR.into_response()
    } else {
        response
    }
}

/// Registrations do not stall, because without users there would be no further actions.
fn may_stall(request: &Request) -> bool {
    request.uri().path() != "/register"
}

async fn latest(State(data): State<Shared>) -> Json<Value> {
    Json(json!({ "latest": lock(&data).latest.unwrap_or(-1) }))
}

async fn register(State(data): State<Shared>, Json(body): Json<Value>) -> StatusCode {
    let name = body["username"].as_str().unwrap().to_owned();
    let mut data = lock(&data);
    if data.faults.reject_registrations {
        return StatusCode::SERVICE_UNAVAILABLE;
    }
    if data.users.contains_key(&name) {
        return StatusCode::BAD_REQUEST;
    }
    data.users.insert(name, User::default());
    StatusCode::NO_CONTENT
}

async fn all_messages() -> Json<Value> {
    Json(json!([]))
}

async fn messages(State(data): State<Shared>, Path(name): Path<String>) -> Response {
    let data = lock(&data);
    let Some(user) = data.users.get(&name) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    Json(user.messages.iter().rev().cloned().collect::<Vec<_>>()).into_response()
}

async fn tweet(
    State(data): State<Shared>,
    Path(name): Path<String>,
    Json(body): Json<Value>,
) -> StatusCode {
    let mut data = lock(&data);
    let faults = data.faults;
    let lost = every(&mut data.messages, faults.lose_message);
    let doubled = faults
        .double_message
        .is_some_and(|nth| data.messages.is_multiple_of(nth));
    let Some(user) = data.users.get_mut(&name) else {
        return StatusCode::NOT_FOUND;
    };
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs();
    let message = json!({ "content": body["content"], "pub_date": now, "user": name });
    for _ in 0..usize::from(!lost) + usize::from(doubled) {
        user.messages.push(message.clone());
    }
    StatusCode::NO_CONTENT
}

async fn follows(State(data): State<Shared>, Path(name): Path<String>) -> Response {
    let data = lock(&data);
    let Some(user) = data.users.get(&name) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    Json(json!({ "follows": user.follows })).into_response()
}

async fn follow(
    State(data): State<Shared>,
    Path(name): Path<String>,
    Json(body): Json<Value>,
) -> StatusCode {
    let mut data = lock(&data);
    let faults = data.faults;
    let whom = body["follow"]
        .as_str()
        .or(body["unfollow"].as_str())
        .unwrap()
        .to_owned();
    if !data.users.contains_key(&whom) || !data.users.contains_key(&name) {
        return StatusCode::NOT_FOUND;
    }
    let user = data.users.get_mut(&name).unwrap();
    if body["follow"].is_string() {
        user.follows.insert(whom);
    } else if user.follows.contains(&whom) && !every(&mut data.unfollows, faults.lose_unfollow) {
        data.users.get_mut(&name).unwrap().follows.remove(&whom);
    }
    StatusCode::NO_CONTENT
}
