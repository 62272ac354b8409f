//! Headers of W3C Trace Context.

use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::{
    Context,
    propagation::{Extractor, Injector, TextMapPropagator as _},
    trace::TraceContextExt as _,
};
use opentelemetry_sdk::propagation::TraceContextPropagator;

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Reads the position in a trace from the headers. `None` if the headers have no valid
/// `traceparent`.
pub(super) fn extract(headers: &HeaderMap) -> Option<Context> {
    if !headers.contains_key(TRACEPARENT) {
        return None;
    }
    let context =
        TraceContextPropagator::new().extract_with_context(&Context::new(), &Headers(headers));
    context.has_active_span().then_some(context)
}

/// Writes the position of the running request into the headers, sampled or not.
pub fn inject(headers: &mut HeaderMap) {
    Context::map_current(|context| {
        if context.has_active_span() {
            TraceContextPropagator::new().inject_context(context, &mut HeadersMut(headers));
        }
    });
}

struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(HeaderName::as_str).collect()
    }
}

struct HeadersMut<'a>(&'a mut HeaderMap);

impl Injector for HeadersMut<'_> {
    /// Leaves out an empty `tracestate`, because it has no meaning and costs bytes in every rpc.
    fn set(&mut self, key: &str, value: String) {
        if value.is_empty() {
            return;
        }
        if let (Ok(key), Ok(value)) = (
            HeaderName::from_bytes(key.as_bytes()),
            HeaderValue::try_from(value),
        ) {
            self.0.insert(key, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";

    fn headers(traceparent: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(TRACEPARENT, HeaderValue::from_static(traceparent))])
    }

    #[test]
    fn the_ids_of_an_unsampled_request_are_handed_on() {
        let context = extract(&headers(PARENT)).unwrap();
        let mut out = HeaderMap::new();
        let _guard = context.attach();
        inject(&mut out);
        assert_eq!(out, headers(PARENT));
    }

    #[test]
    fn an_invalid_traceparent_is_no_trace() {
        for text in [
            "",
            "00-x",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
        ] {
            assert!(extract(&headers(text)).is_none(), "{text:?}");
        }
    }
}
