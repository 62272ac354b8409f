//! Times of messages as text.

use chassis::stamp;
use time::{
    OffsetDateTime, format_description::StaticFormatDescription, macros::format_description,
};
use uuid::Uuid;

/// Formats the time that a version 7 UUID contains, in UTC.
fn format(id: Uuid, format: StaticFormatDescription) -> String {
    let seconds = i64::try_from(stamp::millis(id) / 1000).unwrap_or_default();
    let time = OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    time.format(&format)
        .expect("a date has all components of the format")
}

/// Time of a message to the minute, as timelines show it.
pub(crate) fn short(id: Uuid) -> String {
    format(
        id,
        format_description!("[year]-[month]-[day] @ [hour]:[minute]"),
    )
}

/// Time of a message to the second, for readers.
pub(crate) fn exact(id: Uuid) -> String {
    format(
        id,
        format_description!("[year]-[month]-[day] [hour]:[minute]:[second] UTC"),
    )
}

/// Time of a message as RFC 3339, for programs.
pub(crate) fn rfc3339(id: Uuid) -> String {
    format(
        id,
        format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]Z"),
    )
}
