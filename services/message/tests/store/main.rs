//! The promises that every [`MessageStore`](minitwit_message::store::MessageStore) keeps, checked on
//! each engine.

#![expect(clippy::unwrap_used, reason = "the helpers are tests too")]

mod deleting;
mod keeping;
mod kept;
mod listing;
mod migrating;
mod operator;
mod support;
mod versions;

use database::db::Migrations;
use minitwit_message::{migrations, operator::store::SqlOperatorStore, store::SqlMessageStore};
use sqlx::migrate::Migrator;
use test_database::{Engine, TestDatabase, empty_database};

macro_rules! contract {
    ($($module:ident::$promise:ident),+ $(,)?) => {
        mod sqlite { $(#[tokio::test]
            async fn $promise() {
                let (store, _database) = super::open(super::Engine::Sqlite).await;
                super::$module::$promise(store).await;
            })+ }
        mod postgres { $(#[tokio::test]
            async fn $promise() {
                let (store, database) = super::open(super::Engine::Postgres).await;
                super::$module::$promise(store).await;
                database.assert_no_table_scans(&[]).await;
            })+ }
    };
}

contract!(
    listing::the_newest_is_first_and_so_many_as_asked,
    listing::newest_is_by_id_whatever_the_order_of_arrival,
    listing::pages_show_each_message_once,
    keeping::inserted_twice_a_message_is_listed_once,
    keeping::a_text_is_kept_exactly,
    keeping::a_flagged_message_is_shown_nowhere,
    keeping::of_several_flags_the_greatest_stamp_wins,
    listing::a_version_changes_when_its_list_does,
    listing::a_late_message_with_an_older_id_changes_the_version,
    listing::several_authors_are_merged_by_time,
    listing::timelines_of_many_kinds_answer_in_their_places,
    listing::an_unknown_author_has_an_empty_list_of_version_0,
    kept::what_is_told_makes_what_is_kept_the_list_of_now,
    keeping::messages_are_found_and_counted_in_the_order_asked,
);

/// The store and the operator's side of it, over one database.
struct Stores {
    messages: SqlMessageStore,
    operators: SqlOperatorStore,
}

macro_rules! operator_contract {
    ($($promise:ident),+ $(,)?) => {
        mod operator_sqlite { $(#[tokio::test]
            async fn $promise() {
                let (stores, _database) = super::stores(super::Engine::Sqlite).await;
                super::operator::$promise(stores).await;
            })+ }
        mod operator_postgres { $(#[tokio::test]
            async fn $promise() {
                let (stores, database) = super::stores(super::Engine::Postgres).await;
                super::operator::$promise(stores).await;
                database.assert_no_table_scans(&[]).await;
            })+ }
    };
}

operator_contract!(
    an_import_is_told_what_had_been_there,
    an_imported_flag_is_older_than_any_given_here,
    flagged_messages_are_listed_by_their_flags_page_by_page,
    an_export_has_all_of_an_author_oldest_first,
    what_an_author_wrote_is_deleted_bit_by_bit,
    flags_set_side_by_side_do_not_wait_for_one_another_in_a_circle,
);

#[test]
fn both_engines_have_the_same_migrations() {
    test_database::assert_same_migrations(&migrations());
}

/// A release is brought back by deploying it, and its migrations run first as always.
#[tokio::test]
async fn an_older_release_leaves_a_newer_schema_as_it_is() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let database = empty_database(engine).await;
        let opened = database.open(&migrations()).await;
        let none = Migrations {
            sqlite: Migrator::with_migrations(Vec::new()),
            postgres: Migrator::with_migrations(Vec::new()),
        };
        opened.migrate(&none).await.unwrap();
    }
}

async fn open(engine: Engine) -> (SqlMessageStore, TestDatabase) {
    let database = empty_database(engine).await;
    let store = SqlMessageStore::new(database.open(&migrations()).await);
    (store, database)
}

async fn stores(engine: Engine) -> (Stores, TestDatabase) {
    let database = empty_database(engine).await;
    let db = database.open(&migrations()).await;
    let stores = Stores {
        messages: SqlMessageStore::new(db.clone()),
        operators: SqlOperatorStore::new(db),
    };
    (stores, database)
}
