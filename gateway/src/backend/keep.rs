//! Rendered answers, kept together with the version that they were rendered from.
//!
//! Nothing here is ever served unasked: each request asks the owning service whether the version
//! still holds. Only the payload and the rendering are saved.

use std::{
    hash::Hash,
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
    pub(crate) body: Bytes,
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

/// Rendered answers, at most so many bytes of them.
#[derive(Clone)]
pub(super) struct Keep<K: Hash + Eq + Send + Sync + 'static>(Cache<K, Arc<Rendered>>);

impl<K: Hash + Eq + Send + Sync + 'static> Keep<K> {
    /// Keeps at most `bytes_max`; `key_bytes` tells what a key holds beside its own size.
    pub(super) fn new(bytes_max: u64, key_bytes: fn(&K) -> usize) -> Self {
        let weigh = move |key: &K, rendered: &Arc<Rendered>| {
            let bytes = rendered.body.len() + key_bytes(key) + OVERHEAD_BYTES;
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
