//! A user of the pages without a browser, who keeps cookies and follows redirects.

use std::{collections::BTreeMap, net::SocketAddr};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, header};
use http_body_util::Full;

use super::{
    Answer,
    http_client::{exchange, uri},
    segment,
};

/// Maximum number of redirects that are followed.
const REDIRECTS_MAX: usize = 5;

/// A user agent without JavaScript. A clone has the same cookies, like a second window.
#[derive(Clone)]
pub struct Person {
    pub address: SocketAddr,
    pub cookies: BTreeMap<String, String>,
    /// The headers of each request in addition to the cookies.
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

    /// Adds a header to each request.
    pub fn with(mut self, name: &'static str, value: &str) -> Self {
        let value = HeaderValue::from_str(value).unwrap();
        self.headers.push((HeaderName::from_static(name), value));
        self
    }

    /// A person who has registered and signed in.
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

    /// Requests a path, follows redirects, and returns the page.
    pub async fn visit(&mut self, path: &str) -> String {
        let answer = self.get(path).await;
        self.follow_redirects(answer).await
    }

    /// Submits a form, follows redirects, and returns the page.
    pub async fn submit(&mut self, path: &str, fields: &[(&str, &str)]) -> String {
        let answer = self.post(path, fields).await;
        self.follow_redirects(answer).await
    }

    async fn follow_redirects(&mut self, mut answer: Answer) -> String {
        for _ in 0..REDIRECTS_MAX {
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
            .uri(uri(self.address, path))
            .header(header::HOST, self.address.to_string())
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(header::COOKIE, cookies.join("; "));
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let answer = exchange(request.body(Full::new(Bytes::from(body))).unwrap()).await;
        for cookie in answer.headers.get_all(header::SET_COOKIE) {
            self.store_cookie(cookie.to_str().unwrap());
        }
        answer
    }

    fn store_cookie(&mut self, cookie: &str) {
        let (pair, attributes) = cookie.split_once(';').unwrap();
        let (name, value) = pair.split_once('=').unwrap();
        if attributes.contains("Max-Age=0") {
            self.cookies.remove(name);
        } else {
            self.cookies.insert(name.to_owned(), value.to_owned());
        }
    }
}
