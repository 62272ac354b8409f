//! The API's description: the document for machines, and a page of it for people. Everything the
//! page needs is in the page.

use std::sync::LazyLock;

use askama::Template;
use axum::response::{Html, IntoResponse};
use http::header;
use serde_json::Value;

/// The document, as it stands in the repository.
const DOCUMENT: &str = include_str!("../../assets/openapi.json");

pub(crate) async fn document() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], DOCUMENT)
}

pub(crate) async fn page() -> impl IntoResponse {
    static PAGE: LazyLock<String> = LazyLock::new(|| {
        let document = serde_json::from_str(DOCUMENT).expect("the document is valid JSON");
        Page::new(&document)
            .render()
            .expect("strings can be written")
    });
    const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'";
    (
        [(header::CONTENT_SECURITY_POLICY, POLICY)],
        Html(PAGE.as_str()),
    )
}

#[derive(Template)]
#[template(path = "docs.html")]
struct Page<'a> {
    title: &'a str,
    about: &'a str,
    operations: Vec<Operation<'a>>,
    schemas: Vec<Schema<'a>>,
}

struct Operation<'a> {
    method: String,
    path: &'a str,
    summary: &'a str,
    about: &'a str,
    authorised: bool,
    parameters: Vec<Parameter<'a>>,
    body: Option<&'a str>,
    answers: Vec<Answer<'a>>,
}

struct Parameter<'a> {
    name: &'a str,
    place: &'a str,
    about: &'a str,
}

struct Answer<'a> {
    status: &'a str,
    about: &'a str,
    schema: Option<&'a str>,
}

struct Schema<'a> {
    name: &'a str,
    json: String,
}

impl<'a> Page<'a> {
    fn new(document: &'a Value) -> Self {
        let mut operations = Vec::new();
        for (path, methods) in entries(&document["paths"]) {
            for (method, operation) in entries(methods) {
                operations.push(Operation::new(method, path, operation));
            }
        }
        let schemas = entries(&document["components"]["schemas"])
            .map(|(name, schema)| Schema {
                name,
                json: format!("{schema:#}"),
            })
            .collect();
        let info = &document["info"];
        Self {
            title: text(&info["title"]),
            about: text(&info["description"]),
            operations,
            schemas,
        }
    }
}

impl<'a> Operation<'a> {
    fn new(method: &str, path: &'a str, operation: &'a Value) -> Self {
        let parameters = operation["parameters"].as_array().into_iter().flatten();
        let answers = entries(&operation["responses"]).map(|(status, answer)| Answer {
            status,
            about: text(&answer["description"]),
            schema: schema(answer),
        });
        Self {
            method: method.to_uppercase(),
            path,
            summary: text(&operation["summary"]),
            about: text(&operation["description"]),
            authorised: !operation["security"].is_null(),
            parameters: parameters
                .map(|parameter| Parameter {
                    name: text(&parameter["name"]),
                    place: text(&parameter["in"]),
                    about: text(&parameter["description"]),
                })
                .collect(),
            body: schema(&operation["requestBody"]),
            answers: answers.collect(),
        }
    }
}

fn entries(object: &Value) -> impl Iterator<Item = (&str, &Value)> {
    object
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, value)| (name.as_str(), value))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// The name of the schema that a body has.
fn schema(body: &Value) -> Option<&str> {
    let reference = body["content"]["application/json"]["schema"]["$ref"].as_str()?;
    reference.rsplit('/').next()
}
