//! Somebody who uses the pages, as far as HTTP goes: keeps cookies and follows redirects.

use std::{collections::BTreeMap, net::SocketAddr};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, header};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::{Answer, segment};

/// A browser without JavaScript; a clone is another window with the same cookies.
#[derive(Clone)]
pub struct Person {
    pub address: SocketAddr,
    pub cookies: BTreeMap<String, String>,
    /// What each request carries beside the cookies.
    pub headers: Vec<(HeaderName, HeaderValue)>,
}

impl Person {
    pub fn new(address: SocketAddr) -> Self {
        Self {
            address,
            cookies: BTreeMap::new(),
            headers: Vec::new(),
        }
    }

    /// The same, and each request carries one more header.
    pub fn with(mut self, name: &'static str, value: &str) -> Self {
        let value = HeaderValue::from_str(value).unwrap();
        self.headers.push((HeaderName::from_static(name), value));
        self
    }

    /// Someone who has registered and signed in.
    pub async fn signed_in(address: SocketAddr, username: &str) -> Self {
        let mut person = Self::new(address);
        person.register(username).await;
        let page = person.sign_in(username, "default").await;
        assert!(page.contains("You were logged in"), "{page}");
        person
    }

    pub async fn register(&mut self, username: &str) -> String {
        let email = format!("{username}@example.com");
        let fields = [
            ("username", username),
            ("email", &email),
            ("password", "default"),
            ("password2", "default"),
        ];
        self.submit("/register", &fields).await
    }

    pub async fn sign_in(&mut self, username: &str, password: &str) -> String {
        self.submit("/login", &[("username", username), ("password", password)])
            .await
    }

    pub async fn share(&mut self, text: &str) -> String {
        self.submit("/add_message", &[("text", text)]).await
    }

    /// The page at a path, wherever it redirects to.
    pub async fn visit(&mut self, path: &str) -> String {
        let answer = self.get(path).await;
        self.follow(answer).await
    }

    /// The page that sending a form leads to.
    pub async fn submit(&mut self, path: &str, fields: &[(&str, &str)]) -> String {
        let answer = self.post(path, fields).await;
        self.follow(answer).await
    }

    async fn follow(&mut self, mut answer: Answer) -> String {
        for _ in 0..5 {
            let Some(location) = answer.headers.get(header::LOCATION) else {
                break;
            };
            assert_eq!(answer.status, 302);
            let location = location.to_str().unwrap().to_owned();
            answer = self.get(&location).await;
        }
        String::from_utf8(answer.body.to_vec()).unwrap()
    }

    pub async fn get(&mut self, path: &str) -> Answer {
        self.send(Method::GET, path, String::new()).await
    }

    pub async fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let pairs: Vec<String> = fields
            .iter()
            .map(|(name, value)| format!("{name}={}", segment(value)))
            .collect();
        self.send(Method::POST, path, pairs.join("&")).await
    }

    async fn send(&mut self, method: Method, path: &str, body: String) -> Answer {
        let cookies: Vec<String> = self
            .cookies
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, self.address.to_string())
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(header::COOKIE, cookies.join("; "));
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let stream = TcpStream::connect(self.address).await.unwrap();
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .unwrap();
        tokio::spawn(connection);
        let request = request.body(Full::new(Bytes::from(body))).unwrap();
        let (head, body) = sender.send_request(request).await.unwrap().into_parts();
        for cookie in head.headers.get_all(header::SET_COOKIE) {
            self.keep(cookie.to_str().unwrap());
        }
        let body = body.collect().await.unwrap().to_bytes();
        Answer {
            status: head.status,
            headers: head.headers,
            body,
        }
    }

    fn keep(&mut self, cookie: &str) {
        let (pair, attributes) = cookie.split_once(';').unwrap();
        let (name, value) = pair.split_once('=').unwrap();
        if attributes.contains("Max-Age=0") {
            self.cookies.remove(name);
        } else {
            self.cookies.insert(name.to_owned(), value.to_owned());
        }
    }
}
