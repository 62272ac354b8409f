//! Cache of rendered responses, each with the version that the response was rendered from.
//!
//! The gateway serves no cached response before the owning service has confirmed the version. A
//! confirmed response saves the transfer of the list and the rendering.

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

use super::keys::{FollowsKey, TimelineKey};
use crate::render::timeline::EntryIndex;

/// Approximate memory of a cache entry without the bytes that its key, body and index hold. It covers
/// the key and the response themselves, and the links and slots of the cache.
const OVERHEAD_BYTES: usize = size_of::<Key>() + size_of::<Rendered>() + 64;

/// Typical weight of a cache entry, from which the cache computes its initial capacity.
const TYPICAL_ENTRY_BYTES: u64 = 1024;

/// Number of cache shards. Each shard has its own lock. The cache stores no entry that is larger than a
/// shard.
const SHARDS: usize = 8;

/// Rendered response.
#[derive(Debug, Default)]
pub(crate) struct Rendered {
    /// Version of the list.
    pub(crate) version: i64,
    pub(crate) body: Body,
    /// Positions of the entries in the body. Empty if the body cannot grow.
    pub(crate) index: EntryIndex,
    /// Id of the first entry.
    pub(crate) first: Option<Uuid>,
    /// Id of the last entry, for formats with pages.
    pub(crate) last: Option<Uuid>,
    /// Whether the list continues on a next page.
    pub(crate) more: bool,
    /// Whole page around the body, for visitors without session and flashes. The page does not count in
    /// the weight, because only the newest page of the public timeline has one.
    pub(crate) page: OnceLock<Bytes>,
}

/// Body of a response, as the cache stores it.
#[derive(Debug)]
pub(crate) enum Body {
    Plain(Bytes),
    /// LZ4 block. Decompression takes a few microseconds, and rendering again takes hundreds.
    Compressed(Vec<u8>),
}

/// Sizes of bodies that are worth compressing. Concurrent readers share a longer body without a
/// copy.
const COMPRESSED_BYTES: Range<usize> = 1024..65_536;

impl Default for Body {
    fn default() -> Self {
        Self::Plain(Bytes::new())
    }
}

impl Body {
    /// Compresses a body that is not sent with most requests.
    pub(crate) fn compressed(bytes: Bytes) -> Self {
        if !COMPRESSED_BYTES.contains(&bytes.len()) {
            return Self::Plain(bytes);
        }
        let mut compressed = lz4_flex::block::compress_prepend_size(&bytes);
        compressed.shrink_to_fit();
        Self::Compressed(compressed)
    }

    /// Bytes to send.
    pub(crate) fn bytes(&self) -> Bytes {
        match self {
            Self::Plain(bytes) => bytes.clone(),
            Self::Compressed(compressed) => decompress(compressed).into(),
        }
    }

    /// Body of a text format.
    pub(crate) fn text(&self) -> Cow<'_, str> {
        const TEXT: &str = "the format is UTF-8 text";
        match self {
            Self::Plain(bytes) => str::from_utf8(bytes).expect(TEXT).into(),
            Self::Compressed(compressed) => String::from_utf8(decompress(compressed))
                .expect(TEXT)
                .into(),
        }
    }

    fn stored_bytes(&self) -> usize {
        match self {
            Self::Plain(bytes) => bytes.len(),
            Self::Compressed(compressed) => compressed.len(),
        }
    }
}

fn decompress(compressed: &[u8]) -> Vec<u8> {
    lz4_flex::block::decompress_size_prepended(compressed)
        .expect("the gateway compressed the block itself")
}

/// Key of a rendered response.
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
struct BytesWeighter;

impl Weighter<Key, Arc<Rendered>> for BytesWeighter {
    fn weight(&self, key: &Key, rendered: &Arc<Rendered>) -> u64 {
        let key = match key {
            Key::Timeline(key) => key.scope.heap_bytes(),
            Key::Follows(_) => 0,
        };
        let rendered = rendered.body.stored_bytes() + rendered.index.heap_bytes();
        (OVERHEAD_BYTES + key + rendered) as u64
    }
}

/// Cache of rendered responses with a maximum size in bytes. Clones share the cache.
#[derive(Clone)]
pub(super) struct RenderCache {
    cache: Arc<Cache<Key, Arc<Rendered>, BytesWeighter>>,
    hits: Counter,
    misses: Counter,
    renderings: Counter,
    bytes: Gauge,
}

impl RenderCache {
    /// Creates a cache that uses at most `bytes_max`.
    pub(super) fn new(bytes_max: u64) -> Self {
        let options = OptionsBuilder::new()
            .shards(SHARDS)
            .weight_capacity(bytes_max)
            .estimated_items_capacity(
                usize::try_from(bytes_max / TYPICAL_ENTRY_BYTES).unwrap_or(usize::MAX),
            )
            .build()
            .expect("all required options are set");
        Self {
            cache: Arc::new(Cache::with_options(
                options,
                BytesWeighter,
                DefaultHashBuilder::default(),
                DefaultLifecycle::default(),
            )),
            hits: counter!("minitwit_kept_answers_total", "outcome" => "found"),
            misses: counter!("minitwit_kept_answers_total", "outcome" => "absent"),
            renderings: counter!("minitwit_rendered_answers_total"),
            bytes: gauge!("minitwit_kept_answers_bytes"),
        }
    }

    /// Returns the cached response of each key, in the order of the keys.
    pub(super) fn get_each<K: Clone + Into<Key>>(&self, keys: &[K]) -> Vec<Option<Arc<Rendered>>> {
        let cached: Vec<_> = keys
            .iter()
            .map(|key| self.cache.get(&key.clone().into()))
            .collect();
        let hits = cached.iter().flatten().count() as u64;
        self.hits.increment(hits);
        self.misses.increment(keys.len() as u64 - hits);
        cached
    }

    /// Stores a response.
    pub(super) fn insert(&self, key: impl Into<Key>, rendered: Rendered) -> Arc<Rendered> {
        let rendered = Arc::new(rendered);
        self.cache.insert(key.into(), Arc::clone(&rendered));
        self.renderings.increment(1);
        #[expect(
            clippy::cast_precision_loss,
            reason = "the size of a process's memory is far below 2^52"
        )]
        self.bytes.set(self.cache.weight() as f64);
        rendered
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_compressed_body_is_sent_unchanged() {
        let long = r#"{"content":"Hæ, hvað?","pub_date":1700000000,"user":"Roger"},"#.repeat(100);
        for text in ["", "[]", &long] {
            let body = Body::compressed(Bytes::copy_from_slice(text.as_bytes()));
            assert_eq!(body.bytes(), text.as_bytes());
            assert_eq!(body.text(), text);
        }
        let body = Body::compressed(long.clone().into());
        assert!(body.stored_bytes() < long.len() / 4);
    }
}
