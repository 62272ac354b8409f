//! The `grpc-timeout` header. Servers parse the header of their caller, and clients write a new one for
//! each attempt.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};

/// The header with the time that the caller of an rpc still waits. Its format is up to eight digits and a
/// unit (gRPC's PROTOCOL-HTTP2.md).
pub(crate) const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

/// The largest value of eight digits.
const VALUE_MAX: u128 = 99_999_999;

/// Parses the header. Returns `None` when the header is missing or not valid.
pub(crate) fn parse(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(GRPC_TIMEOUT)?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let value: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(value * 3600),
        "M" => Duration::from_secs(value * 60),
        "S" => Duration::from_secs(value),
        "m" => Duration::from_millis(value),
        "u" => Duration::from_micros(value),
        "n" => Duration::from_nanos(value),
        _ => return None,
    })
}

/// Formats `timeout` as a header value. The unit is the first of microseconds, milliseconds and seconds
/// in which eight digits are enough.
pub(crate) fn format(timeout: Duration) -> HeaderValue {
    let text = if timeout.as_micros() <= VALUE_MAX {
        format!("{}u", timeout.as_micros())
    } else if timeout.as_millis() <= VALUE_MAX {
        format!("{}m", timeout.as_millis())
    } else {
        format!("{}S", u128::from(timeout.as_secs()).min(VALUE_MAX))
    };
    HeaderValue::try_from(text).expect("digits and a letter make a header")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &'static str) -> Option<Duration> {
        parse(&HeaderMap::from_iter([(
            GRPC_TIMEOUT,
            HeaderValue::from_static(text),
        )]))
    }

    #[test]
    fn every_unit_is_parsed_and_invalid_text_is_not() {
        assert_eq!(parsed("2H"), Some(Duration::from_hours(2)));
        assert_eq!(parsed("3M"), Some(Duration::from_mins(3)));
        assert_eq!(parsed("4S"), Some(Duration::from_secs(4)));
        assert_eq!(parsed("250m"), Some(Duration::from_millis(250)));
        assert_eq!(parsed("7u"), Some(Duration::from_micros(7)));
        assert_eq!(parsed("7n"), Some(Duration::from_nanos(7)));
        for text in ["", "S", "5", "-5S", "+5S", "123456789S", "5d"] {
            assert_eq!(parsed(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_formatted_timeout_parses_to_the_same_time_up_to_its_unit() {
        for millis in [0, 1, 40, 250, 99_999, 100_000, 99_999_999, 100_000_000] {
            let timeout = Duration::from_millis(millis);
            let headers = HeaderMap::from_iter([(GRPC_TIMEOUT, format(timeout))]);
            let read = parse(&headers).unwrap();
            assert!(
                timeout.abs_diff(read) < Duration::from_secs(1),
                "{timeout:?}"
            );
        }
        assert_eq!(format(Duration::from_millis(40)), "40000u");
        assert_eq!(format(Duration::from_secs(100)), "100000m");
    }
}
