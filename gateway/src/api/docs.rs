//! The `OpenAPI` document of the API, and a page that shows the document. The page loads no other
//! resource.

use std::sync::LazyLock;

use askama::Template;
use axum::response::{Html, IntoResponse};
use http::header;
use serde_json::Value;

/// The `OpenAPI` document.
const DOCUMENT: &str = include_str!("../../assets/openapi.json");

pub(crate) async fn document() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], DOCUMENT)
}

pub(crate) async fn page() -> impl IntoResponse {
    static PAGE: LazyLock<String> = LazyLock::new(|| {
        let document = serde_json::from_str(DOCUMENT).expect("the document is valid JSON");
        Page::new(&document)
            .render()
            .expect("a string accepts every write")
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
    authenticated: bool,
    parameters: Vec<Parameter<'a>>,
    body: Option<&'a str>,
    responses: Vec<DocumentedResponse<'a>>,
}

struct Parameter<'a> {
    name: &'a str,
    location: &'a str,
    about: &'a str,
}

struct DocumentedResponse<'a> {
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
        let responses =
            entries(&operation["responses"]).map(|(status, response)| DocumentedResponse {
                status,
                about: text(&response["description"]),
                schema: schema(response),
            });
        Self {
            method: method.to_uppercase(),
            path,
            summary: text(&operation["summary"]),
            about: text(&operation["description"]),
            authenticated: !operation["security"].is_null(),
            parameters: parameters
                .map(|parameter| Parameter {
                    name: text(&parameter["name"]),
                    location: text(&parameter["in"]),
                    about: text(&parameter["description"]),
                })
                .collect(),
            body: schema(&operation["requestBody"]),
            responses: responses.collect(),
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

/// Name of the schema of a body.
fn schema(body: &Value) -> Option<&str> {
    let reference = body["content"]["application/json"]["schema"]["$ref"].as_str()?;
    reference.rsplit('/').next()
}
