//! Rendered answers, kept together with the version that they were rendered from.
//!
//! Nothing here is ever served unasked: each request asks the owning service whether the version
//! still holds. Only the payload and the rendering are saved.

use std::{
    borrow::Cow,
    ops::Range,
    sync::{Arc, OnceLock},
};

use bytes::Bytes;
use metrics::{Counter, Gauge, counter, gauge};
use quick_cache::{
    DefaultHashBuilder, OptionsBuilder, Weighter,
    sync::{Cache, DefaultLifecycle},
};
use uuid::Uuid;

use super::{follows::FollowsKey, timelines::TimelineKey};

/// What an entry costs beside the bytes that its key and its body hold: the key and the answer
/// themselves, and the cache's links and slots, roughly.
const OVERHEAD_BYTES: usize = size_of::<Key>() + size_of::<Rendered>() + 64;

/// What an entry weighs by experience, to lay the cache out.
const ENTRY_BYTES: u64 = 1024;

/// Parts of the cache with a lock each; what is larger than a part is not kept.
const SHARDS: usize = 8;

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

/// What was rendered.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Key {
    Timeline(TimelineKey),
    Follows(FollowsKey),
}

impl From<TimelineKey> for Key {
    fn from(key: TimelineKey) -> Self {
        Self::Timeline(key)
    }
}

impl From<FollowsKey> for Key {
    fn from(key: FollowsKey) -> Self {
        Self::Follows(key)
    }
}

#[derive(Clone)]
struct InBytes;

impl Weighter<Key, Arc<Rendered>> for InBytes {
    fn weight(&self, key: &Key, rendered: &Arc<Rendered>) -> u64 {
        let key = match key {
            Key::Timeline(key) => key.scope.bytes(),
            Key::Follows(_) => 0,
        };
        (OVERHEAD_BYTES + key + rendered.body.len_kept()) as u64
    }
}

/// Rendered answers, at most so many bytes of them. Clones share them.
#[derive(Clone)]
pub(super) struct Keep {
    cache: Arc<Cache<Key, Arc<Rendered>, InBytes>>,
    found: Counter,
    absent: Counter,
    rendered: Counter,
    bytes: Gauge,
}

impl Keep {
    /// Keeps at most `bytes_max`.
    pub(super) fn new(bytes_max: u64) -> Self {
        let options = OptionsBuilder::new()
            .shards(SHARDS)
            .weight_capacity(bytes_max)
            .estimated_items_capacity(
                usize::try_from(bytes_max / ENTRY_BYTES).unwrap_or(usize::MAX),
            )
            .build()
            .expect("all that it asks for is set");
        Self {
            cache: Arc::new(Cache::with_options(
                options,
                InBytes,
                DefaultHashBuilder::default(),
                DefaultLifecycle::default(),
            )),
            found: counter!("minitwit_kept_answers_total", "outcome" => "found"),
            absent: counter!("minitwit_kept_answers_total", "outcome" => "absent"),
            rendered: counter!("minitwit_rendered_answers_total"),
            bytes: gauge!("minitwit_kept_answers_bytes"),
        }
    }

    /// What is kept of each, in the order of the keys.
    pub(super) fn get_each<K: Clone + Into<Key>>(&self, keys: &[K]) -> Vec<Option<Arc<Rendered>>> {
        let kept: Vec<_> = keys
            .iter()
            .map(|key| self.cache.get(&key.clone().into()))
            .collect();
        let found = kept.iter().flatten().count() as u64;
        self.found.increment(found);
        self.absent.increment(keys.len() as u64 - found);
        kept
    }

    pub(super) fn insert(&self, key: impl Into<Key>, rendered: Rendered) -> Arc<Rendered> {
        let rendered = Arc::new(rendered);
        self.cache.insert(key.into(), Arc::clone(&rendered));
        self.rendered.increment(1);
        #[expect(
            clippy::cast_precision_loss,
            reason = "a memory's size is far below 2^52"
        )]
        self.bytes.set(self.cache.weight() as f64);
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
