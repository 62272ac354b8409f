//! A collector of traces that only remembers: what spans there were, and what hangs on what.

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

/// A span as it came in, ids as hexadecimal text.
#[derive(Clone, Debug)]
pub struct SeenSpan {
    /// The trace it belongs to.
    pub trace: String,
    /// Its own id.
    pub id: String,
    /// The span it is a part of; empty for none.
    pub parent: String,
    /// What was done.
    pub name: String,
    /// `service.name` of the process that did it.
    pub service: String,
    /// When it began, in nanoseconds since 1970.
    pub began: u64,
    /// When it ended, in nanoseconds since 1970.
    pub ended: u64,
    /// What else is known of it.
    pub attributes: BTreeMap<String, String>,
    /// Trace and span of each link.
    pub links: Vec<(String, String)>,
    /// Whether it says that it failed.
    pub failed: bool,
}

impl SeenSpan {
    /// An attribute; empty when it is not there.
    pub fn attribute(&self, name: &str) -> &str {
        self.attributes.get(name).map_or("", String::as_str)
    }

    /// How long it took.
    pub fn took(&self) -> Duration {
        Duration::from_nanos(self.ended.saturating_sub(self.began))
    }
}

/// The collector, in a thread of its own, until the process ends.
#[derive(Clone, Debug)]
pub struct Sink {
    /// What processes are told as `OTEL_EXPORTER_OTLP_ENDPOINT`.
    pub endpoint: String,
    spans: Arc<Mutex<Vec<SeenSpan>>>,
}

impl Sink {
    /// Begins to listen on a free port.
    ///
    /// # Panics
    ///
    /// When there is none.
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

    /// All spans so far.
    pub fn spans(&self) -> Vec<SeenSpan> {
        self.lock().clone()
    }

    /// The spans of one trace so far.
    pub fn trace(&self, trace: &str) -> Vec<SeenSpan> {
        let spans = self.lock();
        let of_trace = spans.iter().filter(|span| span.trace == trace);
        of_trace.cloned().collect()
    }

    /// Forgets all spans so far; answers how many there were.
    pub fn forget(&self) -> usize {
        std::mem::take(&mut *self.lock()).len()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<SeenSpan>> {
        self.spans.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The spans as a tree, one a line, parts two spaces further in. Siblings stand in the order of their
/// names, because what runs side by side begins in any order.
pub fn tree(spans: &[SeenSpan]) -> String {
    let ids: HashSet<&str> = spans.iter().map(|span| span.id.as_str()).collect();
    let mut parts: HashMap<&str, Vec<&SeenSpan>> = HashMap::new();
    for span in spans {
        let parent = span.parent.as_str();
        let parent = if ids.contains(parent) { parent } else { "" };
        parts.entry(parent).or_default().push(span);
    }
    let mut text = String::new();
    write_tree(&mut parts, "", 0, &mut text);
    text
}

fn write_tree(
    parts: &mut HashMap<&str, Vec<&SeenSpan>>,
    parent: &str,
    depth: usize,
    text: &mut String,
) {
    let mut children = parts.remove(parent).unwrap_or_default();
    children.sort_by(|one, other| (&one.name, one.began).cmp(&(&other.name, other.began)));
    for child in children {
        let failed = if child.failed { " !" } else { "" };
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{:1$}{2}{failed}", "", 2 * depth, child.name);
        write_tree(parts, &child.id, depth + 1, text);
    }
}

struct Collector(Arc<Mutex<Vec<SeenSpan>>>);

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let mut spans = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for resource in request.into_inner().resource_spans {
            let attributes = resource.resource.map(|resource| resource.attributes);
            let attributes = texts(attributes.unwrap_or_default());
            let service = attributes.get("service.name").cloned().unwrap_or_default();
            for scope in resource.scope_spans {
                spans.extend(scope.spans.into_iter().map(|span| seen(span, &service)));
            }
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

fn seen(span: Span, service: &str) -> SeenSpan {
    let links = span.links.iter();
    SeenSpan {
        trace: hex(&span.trace_id),
        id: hex(&span.span_id),
        parent: hex(&span.parent_span_id),
        links: links
            .map(|link| (hex(&link.trace_id), hex(&link.span_id)))
            .collect(),
        name: span.name,
        service: service.to_owned(),
        began: span.start_time_unix_nano,
        ended: span.end_time_unix_nano,
        attributes: texts(span.attributes),
        failed: span
            .status
            .is_some_and(|status| status.code() == StatusCode::Error),
    }
}

fn texts(attributes: Vec<KeyValue>) -> BTreeMap<String, String> {
    attributes
        .into_iter()
        .map(|attribute| (attribute.key, text(attribute.value)))
        .collect()
}

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

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
