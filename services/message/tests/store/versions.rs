//! Stored versions of authors while several writers change their messages.

use std::{collections::HashMap, sync::atomic::AtomicBool, sync::atomic::Ordering::Relaxed};

use minitwit_message::{
    deletion::store::DeletionStore as _,
    operator::store::{ImportedMessage, OperatorStore as _},
};
use sqlx::{Connection as _, PgConnection};
use test_database::Engine;
use uuid::Uuid;

use crate::{
    Stores,
    delta::{Reader, deltas},
    support::{all, by, flag, ids, insert, message, whole},
};

const WRITERS: usize = 5;
const ROUNDS: usize = 40;

/// Stored versions.
const STORED: &str =
    "SELECT author_id, version FROM timeline WHERE version <> 0 ORDER BY author_id";
/// Versions computed from the messages.
const COMPUTED: &str = "SELECT author_id, bit_xor(uuid_hash_extended(id, 0)) FROM message
    WHERE NOT flagged GROUP BY author_id ORDER BY author_id";

/// Runs a writer. The writers store and import the same messages, and they set and remove the same flags. From
/// time to time a writer deletes the messages of an author.
async fn write(stores: &Stores, authors: &[Uuid; 3], pool: &[Uuid], writer: usize) {
    for round in 0..ROUNDS {
        let pick = |step: usize| pool[(round * 5 + writer + step) % pool.len()];
        let author = |id: Uuid| authors[id.as_bytes()[15] as usize % authors.len()];
        let messages = [0, 1, 2, 3].map(|step| message(pick(step), author(pick(step)), "hello"));
        match (round + writer) % 5 {
            0 | 1 => insert(&stores.messages, messages.to_vec()).await,
            2 => {
                let imported = messages.map(|message| ImportedMessage {
                    flagged_by: (round % 3 == 0).then(|| "the old system".to_owned()),
                    message,
                });
                stores.operators.import(imported.to_vec()).await.unwrap();
            }
            3 if round % 10 == writer => {
                let author = authors[round / 10 % authors.len()];
                stores.deletions.delete(vec![author]).await.unwrap();
            }
            _ => {
                flag(&stores.messages, pick(0), round % 2 == 0).await;
            }
        }
    }
}

#[tokio::test]
async fn a_stored_version_is_that_of_the_messages_with_concurrent_writers() {
    let (stores, database) = crate::stores(Engine::Postgres).await;
    let authors = [(); 3].map(|()| Uuid::now_v7());
    let pool: Vec<Uuid> = (0..60).map(|_| Uuid::now_v7()).collect();
    let queries = [by(&authors[..1]), by(&authors[1..]), by(&authors)].map(all);

    let written = AtomicBool::new(false);
    let writers = async {
        let each = |writer| write(&stores, &authors, &pool, writer);
        futures_util::future::join_all((0..WRITERS).map(each)).await;
        written.store(true, Relaxed);
    };
    let reader = async {
        let mut seen: HashMap<(usize, i64), Vec<Uuid>> = HashMap::new();
        let mut readers = Vec::new();
        for query in &queries {
            readers.push(Reader::new(&stores.messages, query.clone()).await);
        }
        while !written.load(Relaxed) {
            let timelines = whole(&stores.messages, &queries).await;
            for (index, timeline) in timelines.iter().enumerate() {
                let list = seen.entry((index, timeline.version));
                assert_eq!(*list.or_insert_with(|| ids(timeline)), ids(timeline));
            }
            let deltas = deltas(&stores.messages, &readers).await;
            for (index, (reader, delta)) in readers.iter_mut().zip(&deltas).enumerate() {
                reader.apply(delta);
                let list = seen.entry((index, reader.version));
                assert_eq!(*list.or_insert_with(|| reader.ids.clone()), reader.ids);
            }
        }
        seen.len()
    };
    let ((), seen) = tokio::join!(writers, reader);
    assert!(seen > queries.len(), "nothing changed while it was read");

    let mut connection = PgConnection::connect(&database.url).await.unwrap();
    let mut fetch = async |sql: &'static str| -> Vec<(Uuid, i64)> {
        let rows = sqlx::query_as(sql).fetch_all(&mut connection).await;
        rows.unwrap()
    };
    let stored = fetch(STORED).await;
    assert!(!stored.is_empty(), "all messages were deleted");
    assert_eq!(stored, fetch(COMPUTED).await);

    // After the deletion of all messages no version is stored.
    while stores.deletions.delete(authors.to_vec()).await.unwrap() {}
    assert_eq!(fetch("SELECT author_id, version FROM timeline").await, []);
}
