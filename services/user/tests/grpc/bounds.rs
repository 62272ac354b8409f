//! Requests that fail because the queue of the hasher is full or the database is unavailable.

use database::store::StoreError;
use minitwit_proto::user::v1::{
    LookupUsersRequest, NewUser, PasswordCheck, RegisterUsersRequest, UserRef,
    VerifyPasswordsRequest, register_user_result::Outcome, user_ref,
    user_service_server::UserService,
};
use minitwit_user::{
    hasher::{Hasher, Limits},
    migrations,
    password::PasswordHash,
    service::Users,
    store::{Credential, InsertOutcome, NewAccount, SqlUserStore, User, UserStore},
    throttle::SqlAttemptStore,
};
use test_database::{Engine, empty_database};
use tonic::{Code, Request};
use uuid::Uuid;

/// Limits of a hasher that refuses every job.
const NO_QUEUE: Limits = Limits {
    threads: 1,
    registrations_max: 0,
    sign_ins_max: 0,
};

#[tokio::test]
async fn a_taken_name_needs_no_hash_and_a_new_name_is_refused_if_the_queue_is_full() {
    let database = empty_database(Engine::Sqlite).await;
    let db = database.open(&migrations()).await;
    let store = SqlUserStore::new(db.clone());
    let alice = NewAccount {
        id: Uuid::now_v7(),
        username: "alice".to_owned(),
        email: "someone@example.com".to_owned(),
        pw_hash: PasswordHash::stored(String::new()),
    };
    let id = alice.id;
    store.insert(vec![alice]).await.unwrap();
    let service = Users::new(store, SqlAttemptStore::new(db), Hasher::new(NO_QUEUE));

    let users = vec![
        new_user(Uuid::now_v7(), "alice"),
        new_user(Uuid::now_v7(), "bob"),
        new_user(id, "alice"),
    ];
    let request = Request::new(RegisterUsersRequest { users });
    let response = service.register_users(request).await.unwrap();
    let codes: Vec<Code> = response
        .into_inner()
        .results
        .into_iter()
        .map(|result| match result.outcome.unwrap() {
            Outcome::User(_) => Code::Ok,
            Outcome::Error(error) => Code::from_i32(error.code),
        })
        .collect();
    let expected = [Code::AlreadyExists, Code::ResourceExhausted, Code::Ok];
    assert_eq!(codes, expected);
}

#[tokio::test]
async fn calls_are_unavailable_while_the_database_is_unavailable() {
    let database = empty_database(Engine::Sqlite).await;
    let attempts = SqlAttemptStore::new(database.open(&migrations()).await);
    let service = Users::new(UnavailableStore, attempts, Hasher::new(Limits::default()));
    let name = user_ref::Ref::Username("alice".to_owned());
    let users = vec![UserRef { r#ref: Some(name) }];
    let request = Request::new(LookupUsersRequest { users });
    let lookup = service.lookup_users(request).await.unwrap_err();
    // The whole call fails although the service processes each registration and each sign-in on its own.
    // So the caller tries another replica, which may reach the database.
    let users = ["alice", "bob"].map(|name| new_user(Uuid::now_v7(), name));
    let request = Request::new(RegisterUsersRequest {
        users: users.into(),
    });
    let registration = service.register_users(request).await.unwrap_err();
    let check = PasswordCheck {
        username: "alice".to_owned(),
        password: "secret".to_owned(),
        ..PasswordCheck::default()
    };
    let request = Request::new(VerifyPasswordsRequest {
        checks: vec![check],
    });
    let sign_in = service.verify_passwords(request).await.unwrap_err();
    for status in [lookup, registration, sign_in] {
        assert_eq!(status.code(), Code::Unavailable);
        assert_eq!(status.message(), "the database is unavailable");
    }
}

fn new_user(id: Uuid, username: &str) -> NewUser {
    NewUser {
        id: id.as_bytes().to_vec().into(),
        username: username.to_owned(),
        email: "someone@example.com".to_owned(),
        password: "secret".to_owned(),
    }
}

/// A store whose database cannot be reached.
struct UnavailableStore;

impl UnavailableStore {
    fn unavailable<T>() -> Result<T, StoreError> {
        Err(sqlx::Error::PoolTimedOut.into())
    }
}

impl UserStore for UnavailableStore {
    async fn insert(&self, _: Vec<NewAccount>) -> Result<Vec<InsertOutcome>, StoreError> {
        Self::unavailable()
    }

    async fn find_by_name(&self, _: Vec<String>) -> Result<Vec<Option<User>>, StoreError> {
        Self::unavailable()
    }

    async fn find_by_id(&self, _: Vec<Uuid>) -> Result<Vec<Option<User>>, StoreError> {
        Self::unavailable()
    }

    async fn find_credentials(
        &self,
        _: Vec<String>,
    ) -> Result<Vec<Option<Credential>>, StoreError> {
        Self::unavailable()
    }

    async fn replace_hash(
        &self,
        _: Uuid,
        _: &PasswordHash,
        _: &PasswordHash,
    ) -> Result<bool, StoreError> {
        Self::unavailable()
    }

    async fn end_sessions(
        &self,
        _: Uuid,
        _: i64,
        _: Option<&PasswordHash>,
    ) -> Result<bool, StoreError> {
        Self::unavailable()
    }
}
