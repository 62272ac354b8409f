//! Contract of the deltas between a timeline and the version of a caller.

use minitwit_message::store::{
    ConditionalQuery, KnownVersion, MessageStore, TimelineDelta, TimelineQuery,
};
use test_database::Engine;
use uuid::Uuid;

use crate::support::{all, by, everybody, flag, ids, insert, message, post, whole};

/// Caller that keeps a page and applies deltas to it.
pub(crate) struct Reader {
    query: TimelineQuery,
    pub(crate) version: i64,
    pub(crate) ids: Vec<Uuid>,
}

impl Reader {
    pub(crate) async fn new(store: &impl MessageStore, query: TimelineQuery) -> Self {
        let mut reader = Self {
            query,
            version: 0,
            ids: Vec::new(),
        };
        let [timeline] = whole(store, std::slice::from_ref(&reader.query))
            .await
            .try_into()
            .unwrap();
        reader.apply(&TimelineDelta::Whole(timeline.into()));
        reader
    }

    fn conditional_query(&self) -> ConditionalQuery {
        let known = KnownVersion {
            version: self.version,
            newest: Some(self.ids.first().copied().unwrap_or_default()),
        };
        ConditionalQuery {
            query: self.query.clone(),
            known: Some(known),
        }
    }

    pub(crate) fn apply(&mut self, delta: &TimelineDelta) {
        let timeline = match delta {
            TimelineDelta::Unchanged => return,
            TimelineDelta::Added(timeline) => timeline,
            TimelineDelta::Whole(timeline) => {
                self.ids.clear();
                timeline
            }
        };
        self.version = timeline.version;
        self.ids.splice(0..0, ids(timeline));
        self.ids.truncate(self.query.limit as usize);
    }
}

pub(crate) async fn deltas(store: &impl MessageStore, readers: &[Reader]) -> Vec<TimelineDelta> {
    let queries: Vec<ConditionalQuery> = readers.iter().map(Reader::conditional_query).collect();
    store.timelines(&queries).await.unwrap()
}

pub(crate) async fn a_page_with_its_deltas_applied_is_the_current_page(store: impl MessageStore) {
    let [alice, bob, carol] = [(); 3].map(|()| Uuid::now_v7());
    let late: Vec<Uuid> = (0..8).map(|_| Uuid::now_v7()).collect();
    let first = post(&store, alice).await;
    let mut readers = Vec::new();
    for limit in [0, 1, 3, 100] {
        for scope in [everybody(), by(&[alice]), by(&[bob]), by(&[alice, bob])] {
            let query = TimelineQuery {
                limit,
                ..all(scope)
            };
            readers.push(Reader::new(&store, query).await);
        }
    }
    let before = late[4];
    let older = TimelineQuery {
        before,
        ..all(by(&[alice]))
    };
    readers.push(Reader::new(&store, older).await);

    for round in 0..24 {
        match round % 8 {
            0 | 5 => drop(post(&store, alice).await),
            1 => drop(flag(&store, first, true).await),
            2 => {
                post(&store, bob).await;
                post(&store, carol).await;
                post(&store, bob).await;
            }
            3 => insert(&store, vec![message(late[round / 3], alice, "late")]).await,
            4 => {
                // The newer message must not hide the older message that arrives at the same time.
                insert(&store, vec![message(late[round / 3], bob, "late")]).await;
                post(&store, bob).await;
            }
            6 => drop(flag(&store, first, false).await),
            _ => {
                let newest = post(&store, alice).await;
                flag(&store, newest, true).await;
            }
        }
        let current_deltas = deltas(&store, &readers).await;
        for (reader, delta) in readers.iter_mut().zip(&current_deltas) {
            reader.apply(delta);
            let [current] = whole(&store, std::slice::from_ref(&reader.query))
                .await
                .try_into()
                .unwrap();
            let (version, query) = (current.version, &reader.query);
            assert_eq!(reader.ids, ids(&current), "round {round}, {query:?}");
            assert_eq!(reader.version, version, "round {round}, {query:?}");
        }
        let again = deltas(&store, &readers).await;
        assert!(again.iter().all(|delta| *delta == TimelineDelta::Unchanged));
    }
}

#[tokio::test]
async fn on_postgres_the_delta_of_a_grown_timeline_has_only_the_added_messages() {
    let (store, _database) = crate::open(Engine::Postgres).await;
    let [alice, bob, late] = [(); 3].map(|()| Uuid::now_v7());
    let mut readers = Vec::new();
    for scope in [everybody(), by(&[alice]), by(&[alice, bob])] {
        let query = TimelineQuery {
            limit: 3,
            ..all(scope)
        };
        readers.push(Reader::new(&store, query).await);
    }
    for _ in 0..5 {
        let new = [post(&store, alice).await, post(&store, alice).await];
        let current_deltas = deltas(&store, &readers).await;
        for (reader, delta) in readers.iter_mut().zip(&current_deltas) {
            let TimelineDelta::Added(added) = delta else {
                panic!("{delta:?} after two new messages");
            };
            assert_eq!(ids(added), [new[1], new[0]]);
            reader.apply(delta);
        }
    }

    // The late message is on no page, but it is part of the versions of the authors.
    post(&store, alice).await;
    insert(&store, vec![message(late, alice, "late")]).await;
    let current_deltas = deltas(&store, &readers).await;
    let is_whole = |delta: &TimelineDelta| matches!(delta, TimelineDelta::Whole(_));
    let whole: Vec<bool> = current_deltas.iter().map(is_whole).collect();
    assert_eq!(whole, [false, true, true]);
}
