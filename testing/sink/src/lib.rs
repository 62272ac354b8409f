//! An OTLP trace collector that keeps the spans in memory, for tests.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fmt::Write as _,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use opentelemetry_proto::tonic::{
    collector::trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
    common::v1::{AnyValue, KeyValue, any_value::Value},
    trace::v1::{Span, status::StatusCode},
};
use tonic::{
    Request, Response, Status,
    transport::{Server, server::TcpIncoming},
};

/// A collected span. Ids are hexadecimal text.
#[derive(Clone, Debug)]
pub struct CollectedSpan {
    /// Id of the trace.
    pub trace: String,
    /// Id of the span.
    pub id: String,
    /// Id of the parent span. Empty for a root span.
    pub parent: String,
    /// Name of the span.
    pub name: String,
    /// `service.name` of the process that created the span.
    pub service: String,
    /// Start time, in nanoseconds since 1970.
    pub began: u64,
    /// End time, in nanoseconds since 1970.
    pub ended: u64,
    /// Attributes, with their values as text.
    pub attributes: BTreeMap<String, String>,
    /// Trace id and span id of each link.
    pub links: Vec<(String, String)>,
    /// Whether the status of the span is an error.
    pub failed: bool,
}

impl CollectedSpan {
    /// The value of an attribute. Empty when the span does not have the attribute.
    pub fn attribute(&self, name: &str) -> &str {
        self.attributes.get(name).map_or("", String::as_str)
    }

    /// Duration of the span.
    pub fn duration(&self) -> Duration {
        Duration::from_nanos(self.ended.saturating_sub(self.began))
    }
}

/// A collector. It runs in a thread of its own until the process ends.
#[derive(Clone, Debug)]
pub struct Sink {
    /// URL of the collector, for `OTEL_EXPORTER_OTLP_ENDPOINT`.
    pub endpoint: String,
    spans: Arc<Mutex<Vec<CollectedSpan>>>,
}

impl Sink {
    /// Starts a collector on a free port.
    ///
    /// # Panics
    ///
    /// No port is free.
    pub fn start() -> Self {
        let spans = Arc::new(Mutex::default());
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.set_nonblocking(true).expect("a socket's option");
        let address = listener.local_addr().expect("a bound address");
        let collector = Collector(Arc::clone(&spans));
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
                Server::builder()
                    .add_service(
                        TraceServiceServer::new(collector).max_decoding_message_size(usize::MAX),
                    )
                    .serve_with_incoming(TcpIncoming::from(listener))
                    .await
            })
        });
        Self {
            endpoint: format!("http://{address}"),
            spans,
        }
    }

    /// All spans collected so far.
    pub fn spans(&self) -> Vec<CollectedSpan> {
        self.lock().clone()
    }

    /// The spans of one trace collected so far. `trace` is the hexadecimal trace id.
    pub fn spans_of_trace(&self, trace: &str) -> Vec<CollectedSpan> {
        let spans = self.lock();
        let of_trace = spans.iter().filter(|span| span.trace == trace);
        of_trace.cloned().collect()
    }

    /// Deletes all spans collected so far. Returns their number.
    pub fn clear(&self) -> usize {
        std::mem::take(&mut *self.lock()).len()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<CollectedSpan>> {
        self.spans.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Formats spans as a tree, with one span per line and children indented by two spaces. `!` marks a
/// failed span. Siblings are sorted by name, because the order in which concurrent spans begin is
/// random.
pub fn tree(spans: &[CollectedSpan]) -> String {
    let ids: HashSet<&str> = spans.iter().map(|span| span.id.as_str()).collect();
    let mut children_of: HashMap<&str, Vec<&CollectedSpan>> = HashMap::new();
    for span in spans {
        let parent = span.parent.as_str();
        let parent = if ids.contains(parent) { parent } else { "" };
        children_of.entry(parent).or_default().push(span);
    }
    let mut text = String::new();
    write_tree(&mut children_of, "", 0, &mut text);
    text
}

fn write_tree(
    children_of: &mut HashMap<&str, Vec<&CollectedSpan>>,
    parent: &str,
    depth: usize,
    text: &mut String,
) {
    let mut children = children_of.remove(parent).unwrap_or_default();
    children.sort_by(|a, b| (&a.name, a.began).cmp(&(&b.name, b.began)));
    for child in children {
        let failed = if child.failed { " !" } else { "" };
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{:1$}{2}{failed}", "", 2 * depth, child.name);
        write_tree(children_of, &child.id, depth + 1, text);
    }
}

/// The gRPC service of a collector.
struct Collector(Arc<Mutex<Vec<CollectedSpan>>>);

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let mut spans = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for resource in request.into_inner().resource_spans {
            let attributes = resource.resource.map(|resource| resource.attributes);
            let attributes = attribute_texts(attributes.unwrap_or_default());
            let service = attributes.get("service.name").cloned().unwrap_or_default();
            for scope in resource.scope_spans {
                spans.extend(
                    scope
                        .spans
                        .into_iter()
                        .map(|span| collected_span(span, &service)),
                );
            }
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

/// Converts a span from its OTLP form.
fn collected_span(span: Span, service: &str) -> CollectedSpan {
    let links = span.links.iter();
    CollectedSpan {
        trace: hex::encode(&span.trace_id),
        id: hex::encode(&span.span_id),
        parent: hex::encode(&span.parent_span_id),
        links: links
            .map(|link| (hex::encode(&link.trace_id), hex::encode(&link.span_id)))
            .collect(),
        name: span.name,
        service: service.to_owned(),
        began: span.start_time_unix_nano,
        ended: span.end_time_unix_nano,
        attributes: attribute_texts(span.attributes),
        failed: span
            .status
            .is_some_and(|status| status.code() == StatusCode::Error),
    }
}

fn attribute_texts(attributes: Vec<KeyValue>) -> BTreeMap<String, String> {
    attributes
        .into_iter()
        .map(|attribute| (attribute.key, text(attribute.value)))
        .collect()
}

/// The value of an attribute as text.
fn text(value: Option<AnyValue>) -> String {
    match value.and_then(|value| value.value) {
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        Some(Value::DoubleValue(number)) => number.to_string(),
        Some(Value::BoolValue(truth)) => truth.to_string(),
        Some(other) => format!("{other:?}"),
        None => String::new(),
    }
}
