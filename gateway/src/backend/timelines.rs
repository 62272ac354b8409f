//! Timelines, rendered, cached, and rendered again only after a change.

use std::sync::Arc;

use bytes::Bytes;
use chassis::{
    batch::{BatchHandler, Batcher, Limits, dedup},
    deadline::Deadline,
    per_item,
    pool::Pool,
};
use minitwit_client::{
    accounts::Accounts,
    batching::{LIMITS, batcher},
    messages::Entry,
    outcome::{TimelineUpdate, each, fan_out_complete, incomplete},
};
use minitwit_proto::message::v1::{
    Authors, Everybody, ListTimelinesRequest, TimelineQuery,
    message_service_client::MessageServiceClient, timeline_query,
};
use tonic::Status;
use uuid::Uuid;

use super::{
    keys::{Scope, TimelineKey},
    render_cache::{Body, RenderCache, Rendered},
};
use crate::render::timeline::EntryIndex;
use authorship::Authorship;

mod authorship;

/// Limits of the batcher for timelines of several authors. The maximum weight is the maximum number of
/// authors that the message service merges in one request.
const MERGED_LIMITS: Limits = Limits {
    batch_weight_max: 2_000,
    ..LIMITS
};

/// Timelines of the message service.
pub(crate) struct Timelines {
    single: Batcher<List>,
    /// Batcher for timelines of several authors. One such timeline can take as long as hundreds of
    /// other timelines, so it must not delay them.
    merged: Batcher<List>,
}

impl Timelines {
    pub(super) fn new(
        client: MessageServiceClient<Pool>,
        accounts: Accounts,
        cache: RenderCache,
    ) -> Self {
        let list = List {
            client,
            accounts,
            cache,
        };
        Self {
            single: batcher("gateway.list_timelines", list.clone()),
            merged: Batcher::new("gateway.list_merged_timelines", MERGED_LIMITS, list),
        }
    }

    /// Returns the current timeline.
    pub(crate) async fn list(
        &self,
        key: TimelineKey,
        deadline: Deadline,
    ) -> Result<Arc<Rendered>, Status> {
        let batcher = match key.scope {
            Scope::Everybody | Scope::Author(_) => &self.single,
            Scope::Authors(_) => &self.merged,
        };
        batcher.call(key, deadline).await
    }
}

#[derive(Clone)]
struct List {
    client: MessageServiceClient<Pool>,
    accounts: Accounts,
    cache: RenderCache,
}

impl BatchHandler for List {
    type Item = TimelineKey;
    type Output = Arc<Rendered>;

    async fn run(
        &self,
        keys: Vec<TimelineKey>,
        deadline: Deadline,
    ) -> Result<Vec<Result<Arc<Rendered>, Status>>, Status> {
        let (keys, positions) = dedup(keys);
        // The references keep responses that the service reports as unchanged, even if the cache
        // evicts them during the rpc.
        let cached = self.cache.get_each(&keys);
        let queries = keys
            .iter()
            .zip(&cached)
            .map(|(key, cached)| query(key, cached.as_deref()));
        let request = deadline.request(ListTimelinesRequest {
            queries: queries.collect(),
        });
        let response = self
            .client
            .clone()
            .list_timelines(request)
            .await?
            .into_inner();

        let updates = each(response.results);
        let timelines = updates
            .iter()
            .flatten()
            .filter_map(TimelineUpdate::timeline);
        let authors = Authorship::look_up(&self.accounts, timelines, deadline).await;
        let mut results = Vec::with_capacity(keys.len());
        for ((key, cached), update) in keys.into_iter().zip(cached).zip(updates) {
            results.push(match (update, cached) {
                (Ok(TimelineUpdate::Whole(timeline)), _) => authors
                    .entries(timeline.messages)
                    .map(|entries| render(&key, timeline.version, entries))
                    .map(|rendered| self.cache.insert(key, rendered)),
                (Ok(TimelineUpdate::Added(added)), Some(cached)) if key.grows() => authors
                    .entries(added.messages)
                    .map(|newer| grow(&key, &cached, added.version, &newer))
                    .map(|rendered| self.cache.insert(key, rendered)),
                (Ok(TimelineUpdate::Unchanged), Some(cached)) => Ok(cached),
                (Ok(TimelineUpdate::Unchanged | TimelineUpdate::Added(_)), _) => Err(incomplete()),
                (Err(status), _) => Err(status),
            });
        }
        fan_out_complete(&results, &positions)
    }

    /// Number of authors that are merged.
    fn weight(key: &TimelineKey) -> usize {
        (key.scope.heap_bytes() / size_of::<Uuid>()).max(1)
    }
}

/// Body of a rendered timeline, as the cache stores it.
fn body(scope: &Scope, bytes: Bytes) -> Body {
    match scope {
        Scope::Everybody => Body::Plain(bytes),
        Scope::Author(_) | Scope::Authors(_) => Body::compressed(bytes),
    }
}

/// Renders a timeline.
fn render(key: &TimelineKey, version: i64, mut entries: Vec<Entry>) -> Rendered {
    let shown = key.format.shown(key.limit);
    let more = entries.len() > shown;
    entries.truncate(shown);
    let timeline = key.format.render(&entries);
    Rendered {
        version,
        body: body(&key.scope, timeline.body),
        first: entries.first().map(|entry| entry.id),
        last: timeline.index.last_id(),
        more,
        index: if key.grows() {
            timeline.index
        } else {
            EntryIndex::default()
        },
        ..Rendered::default()
    }
}

/// Renders a timeline that consists of `newer` entries and the cached timeline.
fn grow(key: &TimelineKey, cached: &Rendered, version: i64, newer: &[Entry]) -> Rendered {
    let shown = key.format.shown(key.limit);
    let cut = newer.len() + cached.index.len() > shown;
    let newer = &newer[..newer.len().min(shown)];
    let timeline = key
        .format
        .grow(&cached.body.bytes(), &cached.index, newer, shown);
    Rendered {
        version,
        body: body(&key.scope, timeline.body),
        first: newer.first().map(|entry| entry.id).or(cached.first),
        last: timeline.index.last_id(),
        more: cached.more || (cut && key.format.has_pages()),
        index: timeline.index,
        ..Rendered::default()
    }
}

fn query(key: &TimelineKey, cached: Option<&Rendered>) -> TimelineQuery {
    let scope = match &key.scope {
        Scope::Everybody => timeline_query::Scope::Everybody(Everybody {}),
        Scope::Author(id) => timeline_query::Scope::Authors(Authors {
            ids: per_item::encode_id(*id),
        }),
        Scope::Authors(ids) => timeline_query::Scope::Authors(Authors { ids: ids.clone() }),
    };
    TimelineQuery {
        scope: Some(scope),
        limit: key.limit,
        before_id: key.before.map(per_item::encode_id).unwrap_or_default(),
        known_version: cached.map(|cached| cached.version),
        known_newest_id: cached
            .filter(|_| key.grows())
            .map(|cached| per_item::encode_id(cached.first.unwrap_or_default())),
    }
}

#[cfg(test)]
mod tests {
    use crate::render::timeline::Format;
    use proptest::prelude::*;

    use super::*;
    use crate::render::timeline::tests::{FORMATS, entries};

    #[test]
    fn the_weight_of_a_timeline_is_the_number_of_its_authors() {
        let weight = |scope| List::weight(&TimelineKey::newest(scope, 30, Format::Json));
        assert_eq!(weight(Scope::Everybody), 1);
        assert_eq!(weight(Scope::Author(Uuid::nil())), 1);
        assert_eq!(weight(Scope::Authors(Bytes::from(vec![0; 48]))), 3);
    }

    /// Entries that the service returns for a limit, newest first.
    fn read(entries: &[Entry], limit: u32) -> Vec<Entry> {
        entries.iter().take(limit as usize).cloned().collect()
    }

    proptest! {
        #[test]
        fn a_cached_timeline_that_grows_equals_a_timeline_rendered_again(
            entries in entries(12),
            steps in prop::collection::vec(0_usize..4, 1..8),
            limit in 1_u32..14,
        ) {
            let scopes = [Scope::Everybody, Scope::Author(Uuid::nil())];
            for (scope, format) in scopes.iter().flat_map(|scope| FORMATS.map(|format| (scope, format))) {
                let key = TimelineKey::newest(scope.clone(), limit, format);
                let mut first = entries.len() / 2;
                let mut grown = render(&key, 0, read(&entries[first..], limit));
                for step in &steps {
                    let newer = &entries[first.saturating_sub(*step)..first];
                    first -= newer.len();
                    grown = grow(&key, &grown, 1, &read(newer, limit));
                    let again = render(&key, 1, read(&entries[first..], limit));
                    prop_assert_eq!(grown.body.bytes(), again.body.bytes(), "{:?}", key);
                    prop_assert_eq!(&grown.index, &again.index, "{:?}", key);
                    prop_assert_eq!(
                        (grown.version, grown.first, grown.last, grown.more),
                        (again.version, again.first, again.last, again.more),
                        "{:?}", key
                    );
                }
            }
        }
    }

    #[test]
    fn a_query_names_the_newest_message_only_if_the_timeline_starts_with_it() {
        let newest = Uuid::from_u128(7);
        let cached = Rendered {
            version: 5,
            first: Some(newest),
            ..Rendered::default()
        };
        for format in FORMATS {
            let mut key = TimelineKey::newest(Scope::Everybody, 31, format);
            let asked = query(&key, Some(&cached));
            assert_eq!(asked.known_version, Some(5));
            assert_eq!(asked.known_newest_id, Some(per_item::encode_id(newest)));
            assert_eq!(query(&key, None).known_newest_id, None);
            key.before = Some(newest);
            let asked = query(&key, Some(&cached));
            assert_eq!(asked.known_version, Some(5));
            assert_eq!(asked.known_newest_id, None);
        }
    }
}
