//! Timelines of which those who ask keep something.

use minitwit_message::store::{Asked, Kept, Listed, MessageStore, TimelineQuery};
use test_database::Engine;
use uuid::Uuid;

use crate::support::{all, by, everybody, flag, ids, insert, message, post, whole};

/// A list as somebody keeps it.
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
        reader.hear(&Listed::Whole(timeline.into()));
        reader
    }

    fn asked(&self) -> Asked {
        let kept = Kept {
            version: self.version,
            newest: Some(self.ids.first().copied().unwrap_or_default()),
        };
        Asked {
            query: self.query.clone(),
            kept: Some(kept),
        }
    }

    pub(crate) fn hear(&mut self, listed: &Listed) {
        let timeline = match listed {
            Listed::Unchanged => return,
            Listed::Added(timeline) => timeline,
            Listed::Whole(timeline) => {
                self.ids.clear();
                timeline
            }
        };
        self.version = timeline.version;
        self.ids.splice(0..0, ids(timeline));
        self.ids.truncate(self.query.limit as usize);
    }
}

pub(crate) async fn ask(store: &impl MessageStore, readers: &[Reader]) -> Vec<Listed> {
    let asked: Vec<Asked> = readers.iter().map(Reader::asked).collect();
    store.timelines(&asked).await.unwrap()
}

pub(crate) async fn what_is_told_makes_what_is_kept_the_list_of_now(store: impl MessageStore) {
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
                // Both at once: what has come on top does not hide what has come below.
                insert(&store, vec![message(late[round / 3], bob, "late")]).await;
                post(&store, bob).await;
            }
            6 => drop(flag(&store, first, false).await),
            _ => {
                let newest = post(&store, alice).await;
                flag(&store, newest, true).await;
            }
        }
        let listed = ask(&store, &readers).await;
        for (reader, listed) in readers.iter_mut().zip(&listed) {
            reader.hear(listed);
            let [now] = whole(&store, std::slice::from_ref(&reader.query))
                .await
                .try_into()
                .unwrap();
            let (version, query) = (now.version, &reader.query);
            assert_eq!(reader.ids, ids(&now), "round {round}, {query:?}");
            assert_eq!(reader.version, version, "round {round}, {query:?}");
        }
        let again = ask(&store, &readers).await;
        assert!(again.iter().all(|listed| *listed == Listed::Unchanged));
    }
}

#[tokio::test]
async fn on_postgres_a_list_that_has_only_grown_is_told_by_what_was_added() {
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
        let listed = ask(&store, &readers).await;
        for (reader, listed) in readers.iter_mut().zip(&listed) {
            let Listed::Added(added) = listed else {
                panic!("{listed:?} after two new messages");
            };
            assert_eq!(ids(added), [new[1], new[0]]);
            reader.hear(listed);
        }
    }

    // What comes below as well is on nobody's page, but in the authors' versions.
    post(&store, alice).await;
    insert(&store, vec![message(late, alice, "late")]).await;
    let listed = ask(&store, &readers).await;
    let is_whole = |listed: &Listed| matches!(listed, Listed::Whole(_));
    let whole: Vec<bool> = listed.iter().map(is_whole).collect();
    assert_eq!(whole, [false, true, true]);
}
