//! A client of the simulator's API.

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::Full;
use serde_json::Value;

use super::{
    contract,
    http_client::{exchange, uri},
};

/// Maximum time for a complete response, on a busy machine.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(10);

/// An HTTP client that opens a connection for each request, as the simulator does.
#[derive(Clone)]
pub struct Client {
    pub address: SocketAddr,
    pub authorization: Option<String>,
    /// The `traceparent` header of each request.
    pub trace: Option<String>,
    /// Whether each response must conform to the OpenAPI document of the API.
    pub checks_contract: bool,
}

/// A complete response.
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

    /// Asserts the status. The panic message contains the body.
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

    /// Asserts that the response is a client error with the API's error body.
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
            .method(method.clone())
            .uri(uri(self.address, path))
            .header(header::CONNECTION, "close")
            .header(header::CONTENT_TYPE, "application/json");
        if let Some(authorization) = &self.authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        if let Some(trace) = &self.trace {
            request = request.header("traceparent", trace);
        }
        let request = request.body(Full::new(body.clone())).unwrap();
        let answer = tokio::time::timeout(RESPONSE_TIMEOUT, exchange(request))
            .await
            .expect("a response within 10 s");
        if self.checks_contract
            && let Err(violation) = contract::check(&method, path, &body, &answer)
        {
            panic!("{method} {path} violates the OpenAPI document: {violation}");
        }
        answer
    }

    /// Registers a user with an arbitrary email address and password.
    pub async fn register(&self, username: &str) -> Answer {
        let body = serde_json::json!({
            "username": username, "email": "someone@example.org", "pwd": "secret",
        });
        self.post("/register", &body).await
    }

    /// The contents of the messages that a path of `/msgs` lists, newest first.
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

/// A name, percent-encoded as a segment of a path.
pub fn segment(name: &str) -> String {
    name.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        })
        .collect()
}
