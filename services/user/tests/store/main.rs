//! Contracts of the stores of the service, tested on each engine.

#![expect(clippy::unwrap_used, reason = "the helpers are tests too")]

use database::db::Db;
use minitwit_user::migrations;
use test_database::{Engine, TestDatabase, empty_database};

/// Defines each test of a contract for an empty database of each engine.
macro_rules! contract {
    ($($test:ident),+ $(,)?) => {
        mod sqlite {
            $(#[tokio::test]
            async fn $test() {
                let (db, _database) = crate::open(crate::Engine::Sqlite).await;
                super::$test(db).await;
            })+
        }
        mod postgres {
            $(#[tokio::test]
            async fn $test() {
                let (db, database) = crate::open(crate::Engine::Postgres).await;
                super::$test(db).await;
                // The table has one row per API client, so it is small.
                database.assert_no_table_scans(&["api_client"]).await;
            })+
        }
    };
}

mod account;
mod attempt;
mod deletion;
mod latest;
mod operator;

async fn open(engine: Engine) -> (Db, TestDatabase) {
    let database = empty_database(engine).await;
    (database.open(&migrations()).await, database)
}

#[test]
fn both_engines_have_the_same_migrations() {
    let all = migrations();
    let names = |migrator: &sqlx::migrate::Migrator| -> Vec<(i64, String)> {
        let each = migrator.iter();
        each.map(|migration| (migration.version, migration.description.to_string()))
            .collect()
    };
    assert_eq!(names(&all.sqlite), names(&all.postgres));
}
