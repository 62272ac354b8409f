//! Gateway in front of fake services, and the HTTP client of the tests.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use chassis::{
    admin::Readiness,
    grpc::{self, ServerOptions},
    pool::ReplicaState,
    shutdown::Drain,
};
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper_util::{
    client::legacy::{self, connect::HttpConnector},
    rt::TokioExecutor,
};
use minitwit_client::{PerService, Pools};
use minitwit_gateway::{
    Config, Listeners, backend::Backend, credentials::Credentials, pages::PageOptions,
};
use minitwit_proto::{
    follower::v1::follower_service_server::{self, FollowerServiceServer},
    message::v1::message_service_server::{self, MessageServiceServer},
    user::v1::{
        api_client_service_server::ApiClientServiceServer,
        user_service_server::{self, UserServiceServer},
    },
};
use serde_json::Value;
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use tonic::service::{Routes, interceptor::InterceptedService};

use crate::fake::{FakeFollower, FakeMessage, FakeUser};

/// `Authorization` header of the client `simulator`.
const AUTHORIZATION: &str = "Basic c2ltdWxhdG9yOnN1cGVyX3NhZmUh";

/// Time until the gateway has connected to all replicas.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);

/// Options of a gateway and its services.
pub(crate) struct Options {
    /// Timeout of a request to the API. The default is so long that no request of a test reaches it.
    pub(crate) api_budget: Duration,
    /// Number of replicas of the message service.
    pub(crate) message_replicas: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            api_budget: Duration::from_mins(1),
            message_replicas: 1,
        }
    }
}

/// Running gateway and its fake services. They end with the runtime of the test.
pub(crate) struct Setup {
    pub(crate) user: Arc<FakeUser>,
    pub(crate) follower: Arc<FakeFollower>,
    /// Replicas of the message service.
    pub(crate) messages: Vec<Arc<FakeMessage>>,
    /// Number of calls that all fake services received, without health checks.
    calls: Arc<AtomicUsize>,
    /// Client of the API with credentials.
    pub(crate) api: Client,
    /// Client of the pages.
    pub(crate) pages: Client,
}

impl Setup {
    pub(crate) async fn new() -> Self {
        Self::with(Options::default()).await
    }

    /// Starts the fake services and a gateway, and waits until the gateway is connected to all replicas.
    pub(crate) async fn with(options: Options) -> Self {
        let calls = Arc::new(AtomicUsize::new(0));
        let user = Arc::new(FakeUser::default());
        let follower = Arc::new(FakeFollower::default());
        let mut messages = Vec::new();
        let mut addresses = PerService {
            user: vec![serve_user(&user, &calls).await],
            follower: vec![serve_follower(&follower, &calls).await],
            message: Vec::new(),
        };
        for _ in 0..options.message_replicas {
            let replica = Arc::new(FakeMessage::default());
            addresses
                .message
                .push(serve_message(&replica, &calls).await);
            messages.push(replica);
        }

        let pools = Pools::connect(addresses.as_ref());
        wait_until_connected(&pools, addresses.map(|replicas| replicas.len())).await;
        let (api, pages) = start_gateway(pools, options.api_budget).await;
        Self {
            user,
            follower,
            messages,
            calls,
            api: Client::new(api, Some(AUTHORIZATION)),
            pages: Client::new(pages, None),
        }
    }

    /// The only replica of the message service.
    pub(crate) fn message(&self) -> &FakeMessage {
        assert_eq!(self.messages.len(), 1);
        &self.messages[0]
    }

    /// Number of calls that all fake services received, without health checks.
    pub(crate) fn calls(&self) -> usize {
        self.calls.load(Relaxed)
    }

    /// Waits until the gateway has read all API requests whose sending began before this call.
    ///
    /// All requests share one HTTP/2 connection. The body of an earlier request may follow the head of the
    /// first barrier request, but not the head of the second.
    pub(crate) async fn wait_until_read(&self) {
        for _ in 0..2 {
            let answer = self.api.start_get("/latest").await.unwrap();
            assert_eq!(answer.status, StatusCode::OK);
        }
    }
}

async fn wait_until_connected(pools: &Pools, replicas: PerService<usize>) {
    test_wait::eventually("all replicas are ready", CONNECT_TIMEOUT, async || {
        let ready = pools.as_ref().map(|pool| {
            let replicas = pool.replicas().into_iter();
            replicas
                .filter(|replica| replica.state == ReplicaState::Ready)
                .count()
        });
        ready == replicas
    })
    .await;
}

/// Starts a gateway and returns the addresses of the API and of the pages.
async fn start_gateway(pools: Pools, api_budget: Duration) -> (SocketAddr, SocketAddr) {
    let listeners = Listeners {
        pages: listen().await,
        api: listen().await,
    };
    let api = listeners.api.local_addr().unwrap();
    let pages = listeners.pages.local_addr().unwrap();
    let config = Config {
        credentials: Credentials::parse(&"simulator:super_safe!".into()).unwrap(),
        trusted_proxies: Vec::new(),
        pages: PageOptions::default(),
        prometheus: None,
        api_budget,
        requests_max: minitwit_gateway::REQUESTS_MAX,
        drain: Drain::AT_ONCE,
        readiness: Readiness::default(),
    };
    let backend = Backend::new(pools, 1 << 20);
    let shutdown = CancellationToken::new();
    tokio::spawn(minitwit_gateway::serve(
        config, backend, listeners, shutdown,
    ));
    (api, pages)
}

async fn listen() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.unwrap()
}

/// Wraps a generated server so that each call increments `calls`.
macro_rules! counted {
    ($server:expr, $calls:expr) => {{
        let calls = Arc::clone($calls);
        InterceptedService::new($server, move |request| {
            calls.fetch_add(1, Relaxed);
            Ok(request)
        })
    }};
}

async fn serve_user(user: &Arc<FakeUser>, calls: &Arc<AtomicUsize>) -> String {
    let users = UserServiceServer::from_arc(Arc::clone(user));
    let clients = ApiClientServiceServer::from_arc(Arc::clone(user));
    let routes = Routes::new(counted!(users, calls)).add_service(counted!(clients, calls));
    serve(routes, user_service_server::SERVICE_NAME).await
}

async fn serve_follower(follower: &Arc<FakeFollower>, calls: &Arc<AtomicUsize>) -> String {
    let follows = FollowerServiceServer::from_arc(Arc::clone(follower));
    let routes = Routes::new(counted!(follows, calls));
    serve(routes, follower_service_server::SERVICE_NAME).await
}

async fn serve_message(message: &Arc<FakeMessage>, calls: &Arc<AtomicUsize>) -> String {
    let messages = MessageServiceServer::from_arc(Arc::clone(message));
    let routes = Routes::new(counted!(messages, calls));
    serve(routes, message_service_server::SERVICE_NAME).await
}

/// Serves `routes` on a free port and returns the address.
async fn serve(routes: Routes, name: &'static str) -> String {
    let listener = listen().await;
    let address = listener.local_addr().unwrap();
    let options = ServerOptions {
        names: vec![name],
        reflection: None,
        drain: Drain::AT_ONCE,
        readiness: Readiness::default(),
    };
    let shutdown = CancellationToken::new();
    tokio::spawn(grpc::serve(routes, options, listener, shutdown));
    address.to_string()
}

/// HTTP client whose requests share one HTTP/2 connection.
#[derive(Clone)]
pub(crate) struct Client {
    http: legacy::Client<HttpConnector, Full<Bytes>>,
    address: SocketAddr,
    authorization: Option<&'static str>,
}

/// Complete response.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Client {
    fn new(address: SocketAddr, authorization: Option<&'static str>) -> Self {
        let http = legacy::Client::builder(TokioExecutor::new())
            .http2_only(true)
            .build_http();
        Self {
            http,
            address,
            authorization,
        }
    }

    /// Client of the same server that sends no credentials.
    pub(crate) fn without_credentials(&self) -> Self {
        Self {
            authorization: None,
            ..self.clone()
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, Bytes::new()).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(Method::POST, path, body.to_string().into()).await
    }

    /// Sends a request in a task of its own.
    pub(crate) fn start_get(&self, path: &str) -> JoinHandle<Answer> {
        let (client, path) = (self.clone(), path.to_owned());
        tokio::spawn(async move { client.get(&path).await })
    }

    /// Sends a request in a task of its own.
    pub(crate) fn start_post(&self, path: &str, body: Value) -> JoinHandle<Answer> {
        let (client, path) = (self.clone(), path.to_owned());
        tokio::spawn(async move { client.post(&path, &body).await })
    }

    async fn send(&self, method: Method, path: &str, body: Bytes) -> Answer {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.address));
        if let Some(authorization) = self.authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        let request = request.body(Full::new(body)).unwrap();
        let (head, body) = self.http.request(request).await.unwrap().into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Answer {
            status: head.status,
            headers: head.headers,
            body: String::from_utf8(body.into()).unwrap(),
        }
    }
}
