//! Ids as text.

use std::io::Write;

use uuid::{Uuid, fmt::Hyphenated};

/// Writes an id in its hyphenated form.
pub(super) fn write_id(id: Uuid, out: &mut impl Write) {
    let mut buffer = [0; Hyphenated::LENGTH];
    let text = id.hyphenated().encode_lower(&mut buffer);
    out.write_all(text.as_bytes())
        .expect("a byte vector accepts every write");
}
