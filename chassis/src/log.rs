//! Log lines for machines. Each line is a flat JSON object with the ids of the trace.

use std::fmt;

use serde_json::{Map, Value};
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    fmt::{
        FmtContext, FormatEvent, FormatFields,
        format::Writer,
        time::{FormatTime, SystemTime as Clock},
    },
    registry::LookupSpan,
};

use crate::{identity::Identity, trace};

/// Formats an event as `{"timestamp":…,"level":…,"message":…,"trace_id":…,…}`.
#[derive(Debug)]
pub(crate) struct Json(pub(crate) Identity);

impl<S, N> FormatEvent<S, N> for Json
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut line = Line(Map::new());
        let metadata = event.metadata();
        line.text("timestamp", now());
        line.text("level", metadata.level().to_string());
        event.record(&mut line);
        if let Some((trace, span)) = trace::ids() {
            line.text("trace_id", trace.to_string());
            line.text("span_id", span.to_string());
        }
        line.text("service", self.0.service);
        line.text("version", self.0.version.as_str());
        line.text("replica", self.0.replica.as_str());
        line.text("target", metadata.target());
        let text = serde_json::to_string(&line.0).map_err(|_| fmt::Error)?;
        writeln!(writer, "{text}")
    }
}

fn now() -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = Clock.format_time(&mut Writer::new(&mut text));
    text
}

/// Fields of a log line.
struct Line(Map<String, Value>);

impl Line {
    fn text(&mut self, name: &str, value: impl Into<String>) {
        self.put(name, Value::String(value.into()));
    }

    fn put(&mut self, name: &str, value: Value) {
        self.0.insert(name.to_owned(), value);
    }
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.text(field.name(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.text(field.name(), value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field.name(), value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field.name(), value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field.name(), value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field.name(), value.into());
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io,
        sync::{Arc, Mutex},
    };

    use http::{HeaderMap, HeaderValue};
    use tracing::{Span, instrument::WithSubscriber as _};
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;
    use crate::trace::Parent;

    #[derive(Clone, Default)]
    struct Buffer(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Buffer {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_line_of_an_unsampled_request_has_the_ids_of_the_trace() {
        let identity = Identity {
            service: "test",
            version: "0".to_owned(),
            replica: "1".to_owned(),
        };
        let buffer = Buffer::default();
        let writer = buffer.clone();
        let lines = tracing_subscriber::fmt::layer()
            .event_format(Json(identity))
            .with_writer(move || writer.clone());
        let subscriber = tracing_subscriber::registry().with(lines);
        let traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";
        let headers = HeaderMap::from_iter([(
            http::HeaderName::from_static("traceparent"),
            HeaderValue::from_static(traceparent),
        )]);
        let parent = Parent::of_client(&headers);
        let request = parent.run(Span::none(), async { tracing::info!("a line") });
        request.with_subscriber(subscriber).await;
        let text = String::from_utf8(buffer.0.lock().unwrap().clone()).unwrap();
        let line: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(line["message"], "a line");
        assert_eq!(line["trace_id"], "0af7651916cd43dd8448eb211c80319c");
        assert_eq!(line["span_id"], "b7ad6b7169203331");
    }
}
