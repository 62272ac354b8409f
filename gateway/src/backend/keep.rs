//! Rendered answers, kept together with the version that they were rendered from.
//!
//! Nothing here is ever served unasked: each request asks the owning service whether the version
//! still holds. Only the payload and the rendering are saved.

use std::{
    borrow::Cow,
    hash::Hash,
    ops::Range,
    sync::{Arc, OnceLock},
};

use bytes::Bytes;
use moka::sync::Cache;
use uuid::Uuid;

/// What an entry costs beside its body: key, counters and pointers, roughly.
const OVERHEAD_BYTES: usize = 256;

/// An answer ready to be sent.
#[derive(Debug, Default)]
pub(crate) struct Rendered {
    /// The version it was rendered from.
    pub(crate) version: i64,
    /// What is sent.
    pub(crate) body: Body,
    /// The first id that is listed.
    pub(crate) first: Option<Uuid>,
    /// The last id that is listed.
    pub(crate) last: Option<Uuid>,
    /// Whether there are more than are listed.
    pub(crate) more: bool,
    /// The whole page around the body, once somebody has asked for it who sees what everybody
    /// sees. It weighs nothing: only the newest public messages are looked at like that.
    pub(crate) page: OnceLock<Bytes>,
}

/// What is sent, as it is kept.
#[derive(Debug)]
pub(crate) enum Body {
    /// As it is.
    Plain(Bytes),
    /// Packed, so that more of it can be kept: to unpack it takes a few microseconds, to read and
    /// render it again hundreds.
    Packed(Vec<u8>),
}

/// What is shorter is not worth packing; what is longer is better shared by those who read it at the
/// same moment.
const PACKED_BYTES: Range<usize> = 1024..65_536;

impl Default for Body {
    fn default() -> Self {
        Self::Plain(Bytes::new())
    }
}

impl Body {
    /// A body that is not sent all the time.
    pub(crate) fn packed(bytes: Bytes) -> Self {
        if !PACKED_BYTES.contains(&bytes.len()) {
            return Self::Plain(bytes);
        }
        let mut packed = lz4_flex::block::compress_prepend_size(&bytes);
        packed.shrink_to_fit();
        Self::Packed(packed)
    }

    /// The body, ready to be sent.
    pub(crate) fn bytes(&self) -> Bytes {
        match self {
            Self::Plain(bytes) => bytes.clone(),
            Self::Packed(packed) => unpack(packed).into(),
        }
    }

    /// The body of something that was rendered as text.
    pub(crate) fn text(&self) -> Cow<'_, str> {
        const TEXT: &str = "rendered as text";
        match self {
            Self::Plain(bytes) => str::from_utf8(bytes).expect(TEXT).into(),
            Self::Packed(packed) => String::from_utf8(unpack(packed)).expect(TEXT).into(),
        }
    }

    fn len_kept(&self) -> usize {
        match self {
            Self::Plain(bytes) => bytes.len(),
            Self::Packed(packed) => packed.len(),
        }
    }
}

fn unpack(packed: &[u8]) -> Vec<u8> {
    lz4_flex::block::decompress_size_prepended(packed).expect("what was packed here")
}

/// Rendered answers, at most so many bytes of them.
#[derive(Clone)]
pub(super) struct Keep<K: Hash + Eq + Send + Sync + 'static>(Cache<K, Arc<Rendered>>);

impl<K: Hash + Eq + Send + Sync + 'static> Keep<K> {
    /// Keeps at most `bytes_max`; `key_bytes` tells what a key holds beside its own size.
    pub(super) fn new(bytes_max: u64, key_bytes: fn(&K) -> usize) -> Self {
        let weigh = move |key: &K, rendered: &Arc<Rendered>| {
            let bytes = rendered.body.len_kept() + key_bytes(key) + OVERHEAD_BYTES;
            u32::try_from(bytes).unwrap_or(u32::MAX)
        };
        Self(
            Cache::builder()
                .max_capacity(bytes_max)
                .weigher(weigh)
                .build(),
        )
    }

    pub(super) fn get(&self, key: &K) -> Option<Arc<Rendered>> {
        self.0.get(key)
    }

    pub(super) fn insert(&self, key: K, rendered: Rendered) -> Arc<Rendered> {
        let rendered = Arc::new(rendered);
        self.0.insert(key, Arc::clone(&rendered));
        rendered
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packed_body_is_sent_as_it_was() {
        let long = r#"{"content":"Hæ, hvað?","pub_date":1700000000,"user":"Roger"},"#.repeat(100);
        for text in ["", "[]", &long] {
            let body = Body::packed(Bytes::copy_from_slice(text.as_bytes()));
            assert_eq!(body.bytes(), text.as_bytes());
            assert_eq!(body.text(), text);
        }
        let body = Body::packed(long.clone().into());
        assert!(body.len_kept() < long.len() / 4);
    }
}
