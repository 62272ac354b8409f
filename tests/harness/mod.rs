//! The suite on free ports, and a client that sees what a client of it sees.

#![expect(
    dead_code,
    unreachable_pub,
    reason = "each test binary uses its own part of the harness"
)]
#![expect(clippy::unwrap_used, reason = "what a test stands on may fail it")]

use std::{net::SocketAddr, path::Path, time::Duration};

use bytes::Bytes;
use chassis::{admin::Readiness, shutdown::Drain};
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use minitwit::{Config, Databases, ServiceListen, Suite, databases};
use minitwit_client::Pools;
use minitwit_gateway::{
    Config as GatewayConfig, Listeners, REQUESTS_MAX, backend::Backend, credentials::Credentials,
    pages::PageOptions, session::CookieKeys,
};
use serde_json::Value;
use tempfile::TempDir;
use tokio::{net::TcpStream, task::JoinHandle};
use tokio_util::sync::CancellationToken;

pub mod chromium;
pub mod person;
pub mod relay;

/// The credentials of the course's simulator, as it sends them.
pub const SIMULATOR: &str = "Basic c2ltdWxhdG9yOnN1cGVyX3NhZmUh";

/// What the gateways of the tests sign cookies with.
pub const COOKIE_KEY: &str = "a key that only the tests know and that is long enough";

/// A suite that runs until it is stopped or dropped.
pub struct Running {
    pub pages: SocketAddr,
    pub api: SocketAddr,
    pub services: ServiceListen,
    stop: CancellationToken,
    ended: JoinHandle<anyhow::Result<()>>,
    _folder: Option<TempDir>,
}

impl Running {
    /// A new suite over empty SQLite files.
    pub async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let databases = databases::in_folder(folder.path()).unwrap();
        Self::over(databases, Some(folder)).await
    }

    /// A suite over the SQLite files of a folder, which may hold something already.
    pub async fn in_folder(folder: &Path) -> Self {
        Self::over(databases::in_folder(folder).unwrap(), None).await
    }

    /// A suite over any databases.
    pub async fn over(databases: Databases, folder: Option<TempDir>) -> Self {
        let suite = Suite::start(config(databases)).await.unwrap();
        let stop = CancellationToken::new();
        Self {
            pages: suite.pages,
            api: suite.api,
            services: suite.services,
            ended: tokio::spawn(suite.run(stop.clone())),
            stop,
            _folder: folder,
        }
    }

    /// Stops the suite and waits until it has drained.
    pub async fn stop(self) {
        self.stop.cancel();
        self.ended.await.unwrap().unwrap();
    }

    /// The pages of another gateway before the same services, for as long as the test runs.
    pub async fn another_gateway(&self) -> SocketAddr {
        self.gateway_before(self.services).await
    }

    /// The pages of another gateway before the same services, with a configuration of its own.
    pub async fn gateway_with(&self, change: impl FnOnce(&mut GatewayConfig)) -> SocketAddr {
        let mut config = gateway_config();
        change(&mut config);
        self.start_gateway(config, self.services).await
    }

    /// The pages of a gateway for which the follower service is away.
    pub async fn gateway_without_follower(&self) -> SocketAddr {
        let follower = nobody().await;
        self.gateway_before(ServiceListen {
            follower,
            ..self.services
        })
        .await
    }

    /// The pages of a gateway for which the message service is away.
    pub async fn gateway_without_message(&self) -> SocketAddr {
        let message = nobody().await;
        self.gateway_before(ServiceListen {
            message,
            ..self.services
        })
        .await
    }

    /// The pages of a gateway for which the user service is away.
    pub async fn gateway_without_user(&self) -> SocketAddr {
        let user = nobody().await;
        self.gateway_before(ServiceListen {
            user,
            ..self.services
        })
        .await
    }

    /// The pages of a gateway that finds the services at these addresses.
    pub async fn gateway_before(&self, services: ServiceListen) -> SocketAddr {
        self.start_gateway(gateway_config(), services).await
    }

    async fn start_gateway(&self, config: GatewayConfig, services: ServiceListen) -> SocketAddr {
        let listeners = Listeners {
            pages: minitwit::free_port().await.unwrap(),
            api: minitwit::free_port().await.unwrap(),
        };
        let pages = listeners.pages.local_addr().unwrap();
        let pools = Pools::connect(services.map(|address| [address.to_string()]));
        let backend = Backend::new(pools, 1 << 20);
        let stop = self.stop.child_token();
        tokio::spawn(minitwit_gateway::serve(config, backend, listeners, stop));
        pages
    }

    /// A client of the API with the simulator's credentials.
    pub fn simulator(&self) -> Client {
        Client {
            address: self.api,
            authorization: Some(SIMULATOR.to_owned()),
            trace: None,
        }
    }

    /// A client of the API without credentials.
    pub fn stranger(&self) -> Client {
        Client {
            address: self.api,
            authorization: None,
            trace: None,
        }
    }
}

fn config(databases: Databases) -> Config {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    Config {
        listen_pages: any,
        listen_api: any,
        listen_services: ServiceListen {
            user: any,
            follower: any,
            message: any,
        },
        databases,
        gateway: gateway_config(),
        rendered_bytes_max: 1 << 20,
        reflection: false,
    }
}

/// An address at which nobody listens.
async fn nobody() -> SocketAddr {
    minitwit::free_port().await.unwrap().local_addr().unwrap()
}

/// Configuration of the gateways of the tests.
pub fn gateway_config() -> GatewayConfig {
    GatewayConfig {
        credentials: Credentials::parse(&"simulator:super_safe!".into()).unwrap(),
        trusted_proxies: Vec::new(),
        pages: PageOptions {
            cookie_keys: CookieKeys::parse(&COOKIE_KEY.into()).unwrap(),
            ..PageOptions::default()
        },
        prometheus: None,
        // What is asked here is whether an answer is right, on a machine however busy.
        api_budget: Duration::from_secs(10),
        requests_max: REQUESTS_MAX,
        drain: Drain::AT_ONCE,
        readiness: Readiness::default(),
    }
}

/// An HTTP client that opens a connection for each request, as the simulator does.
#[derive(Clone)]
pub struct Client {
    pub address: SocketAddr,
    pub authorization: Option<String>,
    /// The `traceparent` of each request.
    pub trace: Option<String>,
}

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: http::HeaderMap,
    pub body: Bytes,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&self.body)))
    }

    /// Asserts the status, with the body in the message when it is another.
    #[track_caller]
    pub fn is(self, status: u16) -> Self {
        assert_eq!(
            self.status,
            status,
            "{}",
            String::from_utf8_lossy(&self.body)
        );
        self
    }

    /// Asserts that this is a refusal as the API words them: a 4xx with status and message.
    #[track_caller]
    pub fn refused(self) -> Self {
        assert!(
            self.status.is_client_error(),
            "{}: {:?}",
            self.status,
            self.body
        );
        let json = self.json();
        assert_eq!(json["status"], self.status.as_u16(), "{json}");
        assert!(
            json["error_msg"]
                .as_str()
                .is_some_and(|message| !message.is_empty()),
            "{json}"
        );
        self
    }
}

impl Client {
    pub async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, Bytes::new()).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(Method::POST, path, body.to_string().into()).await
    }

    pub async fn send(&self, method: Method, path: &str, body: Bytes) -> Answer {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, self.address.to_string())
            .header(header::CONNECTION, "close")
            .header(header::CONTENT_TYPE, "application/json");
        if let Some(authorization) = &self.authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        if let Some(trace) = &self.trace {
            request = request.header("traceparent", trace);
        }
        let request = request.body(Full::new(body)).unwrap();
        tokio::time::timeout(Duration::from_secs(10), self.exchange(request))
            .await
            .expect("an answer within 10 s")
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Answer {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .unwrap();
        tokio::spawn(connection);
        let response = sender.send_request(request).await.unwrap();
        let (head, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Answer {
            status: head.status,
            headers: head.headers,
            body,
        }
    }

    /// Registers a user whose other fields do not matter.
    pub async fn register(&self, username: &str) -> Answer {
        let body = serde_json::json!({
            "username": username, "email": "someone@example.org", "pwd": "secret",
        });
        self.post("/register", &body).await
    }

    /// The contents listed at a path of `/msgs`, newest first.
    pub async fn contents(&self, path: &str) -> Vec<String> {
        let messages = self.get(path).await.is(200).json();
        let content = |message: &Value| message["content"].as_str().unwrap().to_owned();
        messages.as_array().unwrap().iter().map(content).collect()
    }

    pub async fn latest(&self) -> i64 {
        self.get("/latest").await.is(200).json()["latest"]
            .as_i64()
            .unwrap()
    }
}

/// A name as one segment of a path.
pub fn segment(name: &str) -> String {
    name.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        })
        .collect()
}
