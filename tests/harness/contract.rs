//! Checks requests and responses of the simulator's API against its OpenAPI document.

use std::sync::LazyLock;

use boon::{Compiler, SchemaIndex, Schemas};
use http::{Method, header};
use serde_json::Value;

use super::Answer;

const DOCUMENT: &str = include_str!("../../gateway/assets/openapi.json");

/// The URL under which the schema compiler knows the document.
const DOCUMENT_URL: &str = "http://localhost/openapi.json";

/// The resources that serve the document itself and therefore are not part of it.
const UNDOCUMENTED_PATHS: [&str; 2] = ["/docs", "/openapi.json"];

const JSON: &str = "application/json";

static CONTRACT: LazyLock<Contract> = LazyLock::new(|| {
    Contract::new(serde_json::from_str(DOCUMENT).expect("the OpenAPI document is JSON"))
});

/// Checks a response against the OpenAPI document, and also the request if the response is a success.
///
/// An undocumented path must be answered with 404, and an undocumented method of a documented path
/// with 405. Both must have the documented error body.
///
/// # Errors
///
/// The violation, as a text.
pub fn check(method: &Method, path: &str, body: &[u8], answer: &Answer) -> Result<(), String> {
    CONTRACT.check(method, path, body, answer)
}

/// A parsed OpenAPI document.
pub struct Contract(Value);

impl Contract {
    pub fn new(document: Value) -> Self {
        Self(document)
    }

    pub fn check(
        &self,
        method: &Method,
        path: &str,
        request_body: &[u8],
        answer: &Answer,
    ) -> Result<(), String> {
        let path = path.split('?').next().unwrap_or_default();
        if UNDOCUMENTED_PATHS.contains(&path) {
            return Ok(());
        }
        let Some(template) = self.template(path) else {
            return self.check_error(answer, 404);
        };
        let method = method.as_str().to_lowercase();
        let operation = &self.0["paths"][template][&method];
        if operation.is_null() {
            return self.check_error(answer, 405);
        }
        let operation_pointer = format!("/paths/{}/{method}", escape(template));

        let status = answer.status.as_str();
        let response = &operation["responses"][status];
        if response.is_null() {
            return Err(format!("the status {status} is not documented"));
        }
        let pointer = format!("{operation_pointer}/responses/{status}");
        self.check_body(response, &pointer, answer)?;
        if answer.status.is_success() && !operation["requestBody"].is_null() {
            let pointer = format!(
                "{operation_pointer}/requestBody/content/{}/schema",
                escape(JSON)
            );
            let value = parse(request_body)?;
            self.check_schema(&pointer, &value)
                .map_err(|error| format!("the request was accepted: {error}"))?;
        }
        Ok(())
    }

    /// The documented path that matches the path of a request.
    fn template(&self, path: &str) -> Option<&str> {
        let matches = |template: &str| {
            let is_parameter = |segment: &str| segment.starts_with('{');
            let mut segments = path.split('/');
            let all_match = template.split('/').all(|expected| {
                segments.next().is_some_and(|segment| {
                    segment == expected || (is_parameter(expected) && !segment.is_empty())
                })
            });
            all_match && segments.next().is_none()
        };
        let mut templates = self.0["paths"].as_object()?.keys();
        templates
            .find(|template| matches(template))
            .map(String::as_str)
    }

    fn check_error(&self, answer: &Answer, expected_status: u16) -> Result<(), String> {
        if answer.status != expected_status {
            return Err(format!(
                "the path or the method is not documented, but the status is {} instead of \
                 {expected_status}",
                answer.status
            ));
        }
        check_content_type(answer)?;
        self.check_schema("/components/schemas/Error", &parse(&answer.body)?)
    }

    fn check_body(&self, response: &Value, pointer: &str, answer: &Answer) -> Result<(), String> {
        if response["content"].is_null() {
            return if answer.body.is_empty() {
                Ok(())
            } else {
                Err(format!("the response {pointer} has no documented body"))
            };
        }
        check_content_type(answer)?;
        let pointer = format!("{pointer}/content/{}/schema", escape(JSON));
        self.check_schema(&pointer, &parse(&answer.body)?)
    }

    /// Validates a value against the schema at a JSON pointer of the document.
    fn check_schema(&self, pointer: &str, value: &Value) -> Result<(), String> {
        if self.0.pointer(pointer).is_none() {
            return Err(format!("the document has no schema at {pointer}"));
        }
        let (schemas, index) = self.compile(pointer);
        schemas
            .validate(value, index)
            .map_err(|error| format!("{error:#}"))
    }

    fn compile(&self, pointer: &str) -> (Schemas, SchemaIndex) {
        let mut schemas = Schemas::new();
        let mut compiler = Compiler::new();
        compiler
            .add_resource(DOCUMENT_URL, self.0.clone())
            .expect("the URL is valid");
        let location = format!(
            "{DOCUMENT_URL}#{}",
            pointer.replace('{', "%7B").replace('}', "%7D")
        );
        let index = compiler
            .compile(&location, &mut schemas)
            .unwrap_or_else(|error| panic!("the schema at {pointer} is not valid: {error:#}"));
        (schemas, index)
    }
}

fn check_content_type(answer: &Answer) -> Result<(), String> {
    match answer.headers.get(header::CONTENT_TYPE) {
        Some(value) if value == JSON => Ok(()),
        other => Err(format!("the content type is {other:?} instead of {JSON}")),
    }
}

fn parse(body: &[u8]) -> Result<Value, String> {
    serde_json::from_slice(body).map_err(|error| format!("the body is not JSON: {error}"))
}

/// Escapes a key for a JSON pointer.
fn escape(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}
