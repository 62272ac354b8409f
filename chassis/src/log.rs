//! Log lines for machines: one JSON object each, flat, with the ids of the trace at the top.

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

use crate::{telemetry::Identity, trace};

/// Writes a line as `{"timestamp":…,"level":…,"message":…,"trace_id":…,…}`.
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

/// The fields of a line.
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
