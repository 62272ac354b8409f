//! Tests of the service over gRPC.

#![expect(clippy::unwrap_used, reason = "the helpers are tests too")]

use chassis::stamp::Clock;
use minitwit_proto::user::v1::{
    LookupUsersRequest, NewUser, PasswordCheck, RegisterUserResult, RegisterUsersRequest, User,
    UserRef, VerifyPasswordsRequest, lookup_user_result, register_user_result, user_ref,
    user_service_client::UserServiceClient, verify_password_result,
};
use minitwit_user::{migrations, store::SqlUserStore};
use test_database::{Engine, RunningService, TestDatabase, empty_database};
use tonic::{Code, transport::Channel};

mod account;
mod api_client;
mod bounds;
mod deletion;
mod operator;
mod session;
mod sign_in;

type Client = UserServiceClient<Channel>;

/// An account, or the code and message of an error.
type Outcome = Result<User, (Code, String)>;

struct Service {
    running: RunningService,
    database: TestDatabase,
}

impl Service {
    async fn start() -> Self {
        let database = empty_database(Engine::Sqlite).await;
        database.open(&migrations()).await.close().await;
        let config = database.service_config();
        let running = RunningService::start(config, minitwit_user::serve).await;
        Self { running, database }
    }

    /// Starts a second replica over the same database.
    async fn replica(&self) -> RunningService {
        RunningService::start(self.database.service_config(), minitwit_user::serve).await
    }

    async fn client(&self) -> Client {
        UserServiceClient::new(self.running.channel().await)
    }

    async fn store(&self) -> SqlUserStore {
        SqlUserStore::new(self.database.open(&migrations()).await)
    }
}

fn new_user(username: &str) -> NewUser {
    NewUser {
        id: Clock::default().stamp().as_bytes().to_vec().into(),
        username: username.to_owned(),
        email: "someone@example.com".to_owned(),
        password: "secret".to_owned(),
    }
}

fn name(username: &str) -> UserRef {
    let username = user_ref::Ref::Username(username.to_owned());
    UserRef {
        r#ref: Some(username),
    }
}

fn id(bytes: &[u8]) -> UserRef {
    let id = user_ref::Ref::Id(bytes.to_vec().into());
    UserRef { r#ref: Some(id) }
}

fn check(username: &str, password: &str, client_address: &str) -> PasswordCheck {
    PasswordCheck {
        username: username.to_owned(),
        password: password.to_owned(),
        client_address: client_address.to_owned(),
    }
}

fn refused(code: Code, message: &str) -> Outcome {
    Err((code, message.to_owned()))
}

fn taken() -> Outcome {
    refused(Code::AlreadyExists, "The username is already taken")
}

async fn register(client: &mut Client, users: Vec<NewUser>) -> Vec<Outcome> {
    let request = RegisterUsersRequest { users };
    let response = client.register_users(request).await.unwrap();
    let results = response.into_inner().results;
    results.into_iter().map(registered).collect()
}

fn registered(result: RegisterUserResult) -> Outcome {
    use register_user_result::Outcome::{Error, User};
    match result.outcome.unwrap() {
        User(user) => Ok(user),
        Error(error) => Err((Code::from_i32(error.code), error.message)),
    }
}

async fn lookup(client: &mut Client, users: Vec<UserRef>) -> Vec<Outcome> {
    use lookup_user_result::Outcome::{Error, User};
    let request = LookupUsersRequest { users };
    let response = client.lookup_users(request).await.unwrap();
    let results = response.into_inner().results;
    let outcome = |outcome| match outcome {
        User(user) => Ok(user),
        Error(error) => Err((Code::from_i32(error.code), error.message)),
    };
    let outcomes = results
        .into_iter()
        .map(|result| outcome(result.outcome.unwrap()));
    outcomes.collect()
}

async fn verify(client: &mut Client, checks: Vec<PasswordCheck>) -> Vec<Outcome> {
    use verify_password_result::Outcome::{Error, User};
    let request = VerifyPasswordsRequest { checks };
    let response = client.verify_passwords(request).await.unwrap();
    let results = response.into_inner().results;
    let outcome = |outcome| match outcome {
        User(user) => Ok(user),
        Error(error) => Err((Code::from_i32(error.code), error.message)),
    };
    let outcomes = results
        .into_iter()
        .map(|result| outcome(result.outcome.unwrap()));
    outcomes.collect()
}

async fn sign_in(client: &mut Client, username: &str, password: &str, address: &str) -> Outcome {
    let checks = vec![check(username, password, address)];
    verify(client, checks).await.remove(0)
}
