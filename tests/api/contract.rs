//! The check of responses against the OpenAPI document detects each kind of violation.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};

use crate::harness::{Answer, contract::check};

fn answer(status: u16, body: &str) -> Answer {
    let mut headers = HeaderMap::new();
    if !body.is_empty() {
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        );
    }
    Answer {
        status: StatusCode::from_u16(status).unwrap(),
        headers,
        body: Bytes::copy_from_slice(body.as_bytes()),
    }
}

fn get(path: &str, answer: &Answer) -> Result<(), String> {
    check(&Method::GET, path, b"", answer)
}

fn assert_violation(result: Result<(), String>, expected: &str) {
    let violation = result.unwrap_err();
    assert!(violation.contains(expected), "{violation}");
}

const ERROR: &str = r#"{"status":404,"error_msg":"no such user"}"#;

#[test]
fn documented_responses_pass() {
    let message = r#"[{"content":"text","pub_date":1,"user":"a"}]"#;
    for (path, status, body) in [
        ("/latest", 200, r#"{"latest":-1}"#),
        ("/msgs?no=1", 200, message),
        ("/msgs/a%2Fb?no=1", 200, message),
        ("/msgs/a", 404, ERROR),
        ("/fllws/a", 200, r#"{"follows":["b"]}"#),
    ] {
        assert_eq!(get(path, &answer(status, body)), Ok(()), "{path} {status}");
    }
    let post = check(
        &Method::POST,
        "/msgs/a",
        br#"{"content":"x"}"#,
        &answer(204, ""),
    );
    assert_eq!(post, Ok(()));
}

#[test]
fn an_undocumented_status_is_a_violation() {
    let error = answer(418, ERROR);
    assert_violation(get("/msgs", &error), "status 418 is not documented");
}

#[test]
fn a_body_that_does_not_match_its_schema_is_a_violation() {
    for (path, body, expected) in [
        ("/latest", r#"{"latest":"1"}"#, "want integer"),
        ("/latest", "{}", "missing properties 'latest'"),
        (
            "/msgs",
            r#"[{"content":"text","pub_date":1}]"#,
            "missing properties 'user'",
        ),
        ("/fllws/a", r#"{"follows":[1]}"#, "want string"),
        ("/fllws/a", "{", "not JSON"),
    ] {
        assert_violation(get(path, &answer(200, body)), expected);
    }
    let unexpected_body = check(
        &Method::POST,
        "/msgs/a",
        br#"{"content":"x"}"#,
        &answer(204, "{}"),
    );
    assert_violation(unexpected_body, "no documented body");
}

#[test]
fn another_content_type_is_a_violation() {
    let mut html = answer(200, r#"{"latest":1}"#);
    html.headers
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html"));
    assert_violation(get("/latest", &html), "content type");
}

#[test]
fn an_accepted_request_that_does_not_match_its_schema_is_a_violation() {
    let result = check(
        &Method::POST,
        "/msgs/a",
        br#"{"content":1}"#,
        &answer(204, ""),
    );
    assert_violation(result, "the request was accepted");
}

#[test]
fn success_for_an_undocumented_path_or_method_is_a_violation() {
    assert_violation(get("/users", &answer(200, "[]")), "instead of 404");
    let delete = check(&Method::DELETE, "/msgs", b"", &answer(204, ""));
    assert_violation(delete, "instead of 405");
    let not_found = check(&Method::GET, "/users", b"", &answer(404, ERROR));
    assert_eq!(not_found, Ok(()));
}
