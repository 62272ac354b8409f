//! JSON of the simulator's API.

use std::io::Write;

use bytes::Bytes;
use chassis::stamp;
use serde::Serialize;

use super::Entry;

#[derive(Serialize)]
struct Message<'a> {
    content: &'a str,
    pub_date: u64,
    user: &'a str,
}

#[derive(Serialize)]
struct Followees<'a> {
    follows: &'a [&'a str],
}

/// Writes one message of a timeline.
pub(super) fn write_message(entry: &Entry, out: &mut impl Write) {
    let message = Message {
        content: &entry.text,
        pub_date: stamp::millis(entry.id) / 1000,
        user: &entry.author.username,
    };
    serde_json::to_writer(out, &message).expect("texts and numbers are valid JSON");
}

/// Renders the names of the accounts that an account follows.
pub(crate) fn followees(names: &[&str]) -> Bytes {
    serde_json::to_vec(&Followees { follows: names })
        .expect("texts are valid JSON")
        .into()
}
