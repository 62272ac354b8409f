//! Migrations that run concurrently, and migrations after a migration that was interrupted.

use database::db::{Db, STATEMENT_TIMEOUT};
use minitwit_message::migrations;
use sqlx::{Connection as _, Executor as _, PgConnection};
use test_database::{Engine, TestDatabase, empty_database};

async fn migrate(database: &TestDatabase) {
    let db = Db::open(&database.url.clone().into(), STATEMENT_TIMEOUT).unwrap();
    db.migrate(&migrations()).await.unwrap();
}

/// Whether the index that is built outside of a transaction exists and is valid.
async fn is_built(connection: &mut PgConnection) -> bool {
    const VALID: &str =
        "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass('message_flagged')";
    let valid = sqlx::query_scalar(VALID).fetch_optional(connection).await;
    valid.unwrap().unwrap_or(false)
}

#[tokio::test]
async fn concurrent_migrations_succeed() {
    let database = empty_database(Engine::Postgres).await;
    let each = || migrate(&database);
    tokio::join!(each(), each(), each(), each());

    let mut connection = PgConnection::connect(&database.url).await.unwrap();
    assert!(is_built(&mut connection).await);
}

#[tokio::test]
async fn an_unfinished_index_is_built_again() {
    const UNUSABLE: &str = "UPDATE pg_index SET indisvalid = false
        WHERE indexrelid = 'message_flagged'::regclass";
    const NOT_RECORDED: &str = "DELETE FROM _sqlx_migrations WHERE version = 3";
    let database = empty_database(Engine::Postgres).await;
    migrate(&database).await;
    let mut connection = PgConnection::connect(&database.url).await.unwrap();

    // A migration was interrupted during the build.
    connection.execute(UNUSABLE).await.unwrap();
    connection.execute(NOT_RECORDED).await.unwrap();
    assert!(!is_built(&mut connection).await);
    migrate(&database).await;
    assert!(is_built(&mut connection).await);

    // A migration was interrupted after the build.
    connection.execute(NOT_RECORDED).await.unwrap();
    migrate(&database).await;
    assert!(is_built(&mut connection).await);
}
