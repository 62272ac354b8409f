//! Contracts of the stores of the service, tested on each engine.

#![expect(clippy::unwrap_used, reason = "the helpers are tests too")]

mod concurrent_deletion;
mod delta;
mod listing;
mod migration;
mod operator;
mod stored;
mod support;
mod versions;

use database::db::Migrations;
use minitwit_message::{
    deletion::store::SqlDeletionStore, migrations, moderation::store::SqlModerationStore,
    operator::store::SqlOperatorStore, store::SqlMessageStore,
};
use sqlx::migrate::Migrator;
use test_database::{Engine, TestDatabase, empty_database};

macro_rules! contract {
    ($($module:ident::$test:ident),+ $(,)?) => {
        mod sqlite { $(#[tokio::test]
            async fn $test() {
                let (store, _database) = super::open(super::Engine::Sqlite).await;
                super::$module::$test(store).await;
            })+ }
        mod postgres { $(#[tokio::test]
            async fn $test() {
                let (store, database) = super::open(super::Engine::Postgres).await;
                super::$module::$test(store).await;
                database.assert_no_table_scans(&[]).await;
            })+ }
    };
}

contract!(
    listing::the_newest_message_is_first_and_a_page_has_at_most_its_limit,
    listing::messages_are_ordered_by_id_and_not_by_arrival,
    listing::pages_list_each_message_once,
    stored::a_message_that_is_inserted_twice_is_listed_once,
    stored::a_text_is_stored_exactly,
    stored::a_flagged_message_is_in_no_list,
    stored::the_greatest_stamp_of_several_flags_wins,
    listing::a_version_changes_when_its_list_changes,
    listing::a_late_message_with_an_older_id_changes_the_version,
    listing::several_authors_are_merged_by_time,
    listing::results_of_many_kinds_of_queries_are_in_the_order_of_the_request,
    listing::an_unknown_author_has_an_empty_list_of_version_0,
    delta::a_page_with_its_deltas_applied_is_the_current_page,
    stored::messages_are_found_and_counted_in_the_order_of_the_request,
);

/// The stores of the service over one database.
struct Stores {
    messages: SqlMessageStore,
    operators: SqlOperatorStore,
    moderation: SqlModerationStore,
    deletions: SqlDeletionStore,
}

macro_rules! operator_contract {
    ($($test:ident),+ $(,)?) => {
        mod operator_sqlite { $(#[tokio::test]
            async fn $test() {
                let (stores, _database) = super::stores(super::Engine::Sqlite).await;
                super::operator::$test(stores).await;
            })+ }
        mod operator_postgres { $(#[tokio::test]
            async fn $test() {
                let (stores, database) = super::stores(super::Engine::Postgres).await;
                super::operator::$test(stores).await;
                database.assert_no_table_scans(&[]).await;
            })+ }
    };
}

operator_contract!(
    an_import_reports_which_messages_had_been_stored_before,
    a_flag_that_is_set_here_takes_precedence_over_an_imported_flag,
    flagged_messages_are_listed_page_by_page_with_the_latest_flag_first,
    an_export_has_all_messages_of_an_author_oldest_first,
    messages_of_an_author_are_deleted_in_several_calls,
    concurrent_writes_of_flags_do_not_deadlock,
);

#[test]
fn both_engines_have_the_same_migrations() {
    test_database::assert_same_migrations(&migrations());
}

/// Test of a rollback, in which an operator deploys the older release, and its migrations run first.
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
        operators: SqlOperatorStore::new(db.clone()),
        moderation: SqlModerationStore::new(db.clone()),
        deletions: SqlDeletionStore::new(db),
    };
    (stores, database)
}
