//! The versions that are kept, while several write the same authors' messages.

use std::{collections::HashMap, sync::atomic::AtomicBool, sync::atomic::Ordering::Relaxed};

use minitwit_message::operator::store::{ImportedMessage, OperatorStore as _};
use sqlx::{Connection as _, PgConnection};
use test_database::Engine;
use uuid::Uuid;

use crate::{
    Stores,
    kept::{Reader, ask},
    support::{all, by, flag, ids, insert, message, whole},
};

const WRITERS: usize = 5;
const ROUNDS: usize = 40;

/// What is kept, and what should be.
const KEPT: &str = "SELECT author_id, version FROM timeline WHERE version <> 0 ORDER BY author_id";
const COMPUTED: &str = "SELECT author_id, bit_xor(uuid_hash_extended(id, 0)) FROM message
    WHERE NOT flagged GROUP BY author_id ORDER BY author_id";

/// Each writer stores what another one stores as well, flags it, takes the flag back, imports; now and
/// then one deletes an author's messages.
async fn write(stores: &Stores, authors: &[Uuid; 3], pool: &[Uuid], writer: usize) {
    for round in 0..ROUNDS {
        let one = |step: usize| pool[(round * 5 + writer + step) % pool.len()];
        let author = |id: Uuid| authors[id.as_bytes()[15] as usize % authors.len()];
        let messages = [0, 1, 2, 3].map(|step| message(one(step), author(one(step)), "hello"));
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
                let one = authors[round / 10 % authors.len()];
                stores.operators.delete(vec![one]).await.unwrap();
            }
            _ => {
                flag(&stores.messages, one(0), round % 2 == 0).await;
            }
        }
    }
}

#[tokio::test]
async fn a_kept_version_is_that_of_the_messages_whoever_writes_them() {
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
        let mut keepers = Vec::new();
        for query in &queries {
            keepers.push(Reader::new(&stores.messages, query.clone()).await);
        }
        while !written.load(Relaxed) {
            let timelines = whole(&stores.messages, &queries).await;
            for (place, timeline) in timelines.iter().enumerate() {
                let list = seen.entry((place, timeline.version));
                assert_eq!(*list.or_insert_with(|| ids(timeline)), ids(timeline));
            }
            let listed = ask(&stores.messages, &keepers).await;
            for (place, (keeper, listed)) in keepers.iter_mut().zip(&listed).enumerate() {
                keeper.hear(listed);
                let list = seen.entry((place, keeper.version));
                assert_eq!(*list.or_insert_with(|| keeper.ids.clone()), keeper.ids);
            }
        }
        seen.len()
    };
    let ((), seen) = tokio::join!(writers, reader);
    assert!(seen > queries.len(), "nothing changed while it was read");

    let mut connection = PgConnection::connect(&database.url).await.unwrap();
    let mut ask = async |sql: &'static str| -> Vec<(Uuid, i64)> {
        let asked = sqlx::query_as(sql).fetch_all(&mut connection).await;
        asked.unwrap()
    };
    let kept = ask(KEPT).await;
    assert!(!kept.is_empty(), "all was deleted");
    assert_eq!(kept, ask(COMPUTED).await);

    // Of those who are gone nothing is kept.
    while stores.operators.delete(authors.to_vec()).await.unwrap() {}
    assert_eq!(ask("SELECT author_id, version FROM timeline").await, []);
}
