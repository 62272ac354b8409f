//! Accounts by name and by id.

use std::sync::Arc;

use chassis::{
    batch::{BatchHandler, Batcher, dedup, fan_out},
    deadline::Deadline,
    per_item,
    pool::Pool,
};
use minitwit_proto::user::v1::{
    LookupUsersRequest, NewUser, PasswordCheck, RegisterUsersRequest, User, UserRef,
    VerifyPasswordsRequest, lookup_user_result, register_user_result, user_ref,
    user_service_client::UserServiceClient, verify_password_result,
};
use quick_cache::sync::Cache;
use tonic::{Code, Status};
use uuid::Uuid;

use super::batcher;

/// How many accounts are remembered.
const ACCOUNTS_MAX: usize = 100_000;

/// The longest user name, in bytes; a longer one is nobody's, so nobody is asked.
pub(crate) const USERNAME_BYTES_MAX: usize = 255;

/// An account, as others may see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// The id.
    pub id: Uuid,
    /// The name; it never changes.
    pub username: String,
    /// What an avatar is drawn from: MD5 of the email address, in hex.
    pub avatar_hash: String,
    /// Which generation of the account's sessions is valid.
    pub session_epoch: i64,
    /// Whether it may flag messages.
    pub moderator: bool,
}

/// Somebody whose password was right.
#[derive(Clone, Debug)]
pub(crate) struct Verified {
    pub(crate) account: Arc<Account>,
    /// Whether it was good for this one sign-in.
    pub(crate) one_time_password: bool,
}

/// How an account is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Who {
    Named(String),
    Id(Uuid),
}

/// The accounts of the user service. A known name is an id for as long as the account lives, so it
/// is remembered until [`deletions`](super::deletions) tells that it is gone; an unknown one is asked
/// for every time, because it may be taken any moment.
#[derive(Clone)]
pub struct Accounts {
    client: UserServiceClient<Pool>,
    lookups: Batcher<Lookup>,
    memory: Arc<Memory>,
}

struct Memory {
    by_name: Cache<String, Arc<Account>>,
    by_id: Cache<Uuid, Arc<Account>>,
}

impl Memory {
    fn remember(&self, account: &Arc<Account>) {
        self.by_name
            .insert(account.username.clone(), Arc::clone(account));
        self.by_id.insert(account.id, Arc::clone(account));
    }
}

impl Accounts {
    pub(super) fn new(client: UserServiceClient<Pool>) -> Self {
        let memory = Arc::new(Memory {
            by_name: Cache::new(ACCOUNTS_MAX),
            by_id: Cache::new(ACCOUNTS_MAX),
        });
        let lookup = Lookup {
            client: client.clone(),
            memory: Arc::clone(&memory),
        };
        Self {
            client,
            lookups: batcher("gateway.lookup_users", lookup),
            memory,
        }
    }

    /// Finds an account by its name; what it says beside name and id may be out of date.
    pub(crate) async fn find(
        &self,
        name: &str,
        deadline: Deadline,
    ) -> Result<Option<Arc<Account>>, Status> {
        if let Some(known) = self.memory.by_name.get(name) {
            return Ok(Some(known));
        }
        if name.is_empty() || name.len() > USERNAME_BYTES_MAX || name.contains('\0') {
            return Ok(None);
        }
        self.fresh(Who::Named(name.to_owned()), deadline).await
    }

    /// Asks the user service for an account as it is now.
    pub(crate) async fn fresh(
        &self,
        who: Who,
        deadline: Deadline,
    ) -> Result<Option<Arc<Account>>, Status> {
        match self.lookups.call(who, deadline).await {
            Ok(account) => Ok(Some(account)),
            Err(status) if status.code() == Code::NotFound => Ok(None),
            Err(status) => Err(status),
        }
    }

    /// The accounts of ids, in their order; `None` where there is none.
    pub(crate) async fn of_ids(
        &self,
        ids: &[Uuid],
        deadline: Deadline,
    ) -> Result<Vec<Option<Arc<Account>>>, Status> {
        let (accounts, looked_up) = self.as_far_as_known(ids, deadline).await;
        looked_up.map(|()| accounts)
    }

    /// The accounts of ids, in their order, and whether those that were not known could be looked up:
    /// if so, `None` stands where there is none, else also for some that may be.
    pub(crate) async fn as_far_as_known(
        &self,
        ids: &[Uuid],
        deadline: Deadline,
    ) -> (Vec<Option<Arc<Account>>>, Result<(), Status>) {
        let mut accounts: Vec<Option<Arc<Account>>> =
            ids.iter().map(|id| self.memory.by_id.get(id)).collect();
        let missing: Vec<usize> = (0..ids.len())
            .filter(|&place| accounts[place].is_none())
            .collect();
        if missing.is_empty() {
            return (accounts, Ok(()));
        }
        let asked = missing.iter().map(|&place| Who::Id(ids[place])).collect();
        let lookup = Lookup {
            client: self.client.clone(),
            memory: Arc::clone(&self.memory),
        };
        let answers = match lookup.run(asked, deadline).await {
            Ok(answers) => answers,
            Err(status) => return (accounts, Err(status)),
        };
        let mut looked_up = Ok(());
        for (place, answer) in missing.into_iter().zip(answers) {
            match answer {
                Ok(account) => accounts[place] = Some(account),
                Err(status) if status.code() == Code::NotFound => {}
                Err(status) => looked_up = Err(status),
            }
        }
        (accounts, looked_up)
    }

    /// Creates an account whose id is the key of the write.
    pub(crate) async fn register(
        &self,
        new: NewUser,
        deadline: Deadline,
    ) -> Result<Arc<Account>, Status> {
        use register_user_result::Outcome;
        let request = deadline.request(RegisterUsersRequest { users: vec![new] });
        let response = self
            .client
            .clone()
            .register_users(request)
            .await?
            .into_inner();
        match per_item::only(response.results, |result| result.outcome) {
            Some(Outcome::User(user)) => self.remembered(user),
            Some(Outcome::Error(error)) => Err(per_item::status(error)),
            None => Err(incomplete()),
        }
    }

    pub(super) fn client(&self) -> UserServiceClient<Pool> {
        self.client.clone()
    }

    /// Checks a sign-in; the user service counts those that fail.
    pub(crate) async fn verify(
        &self,
        check: PasswordCheck,
        deadline: Deadline,
    ) -> Result<Verified, Status> {
        use verify_password_result::Outcome;
        let request = deadline.request(VerifyPasswordsRequest {
            checks: vec![check],
        });
        let response = self
            .client
            .clone()
            .verify_passwords(request)
            .await?
            .into_inner();
        let result = response.results.into_iter().next();
        let result = result.ok_or_else(incomplete)?;
        match result.outcome {
            Some(Outcome::User(user)) => Ok(Verified {
                account: self.remembered(user)?,
                one_time_password: result.one_time_password,
            }),
            Some(Outcome::Error(error)) => Err(per_item::status(error)),
            None => Err(incomplete()),
        }
    }

    /// Lets go of an account that is no more.
    pub(super) fn forget(&self, id: Uuid, username: &str) {
        self.memory.by_name.remove(username);
        self.memory.by_id.remove(&id);
    }

    /// Lets go of every account.
    pub(super) fn forget_all(&self) {
        self.memory.by_name.clear();
        self.memory.by_id.clear();
    }

    pub(super) fn remembered(&self, user: User) -> Result<Arc<Account>, Status> {
        let account = Arc::new(account(user)?);
        self.memory.remember(&account);
        Ok(account)
    }
}

/// Looks accounts up and remembers those that are found.
struct Lookup {
    client: UserServiceClient<Pool>,
    memory: Arc<Memory>,
}

impl BatchHandler for Lookup {
    type Item = Who;
    type Output = Arc<Account>;

    async fn run(
        &self,
        asked: Vec<Who>,
        deadline: Deadline,
    ) -> Result<Vec<Result<Arc<Account>, Status>>, Status> {
        use lookup_user_result::Outcome;
        let (distinct, positions) = dedup(asked);
        let users = distinct
            .into_iter()
            .map(|who| match who {
                Who::Named(name) => user_ref::Ref::Username(name),
                Who::Id(id) => user_ref::Ref::Id(per_item::encode_id(id)),
            })
            .map(|r#ref| UserRef { r#ref: Some(r#ref) })
            .collect();
        let request = deadline.request(LookupUsersRequest { users });
        let response = self
            .client
            .clone()
            .lookup_users(request)
            .await?
            .into_inner();
        let answers: Vec<_> = response
            .results
            .into_iter()
            .map(|result| match result.outcome {
                Some(Outcome::User(user)) => {
                    let account = Arc::new(account(user)?);
                    self.memory.remember(&account);
                    Ok(account)
                }
                Some(Outcome::Error(error)) => Err(per_item::status(error)),
                None => Err(incomplete()),
            })
            .collect();
        answer_all(&answers, &positions)
    }
}

fn account(user: User) -> Result<Account, Status> {
    Ok(Account {
        id: per_item::id("id", &user.id)?,
        username: user.username,
        avatar_hash: user.avatar_hash,
        session_epoch: user.session_epoch,
        moderator: user.moderator,
    })
}

/// The status of an answer that breaks the contract.
pub(super) fn incomplete() -> Status {
    Status::internal("the service did not answer each item")
}

/// [`fan_out`], for answers of another process, which may be too few.
pub(super) fn answer_all<T: Clone>(answers: &[T], positions: &[usize]) -> Result<Vec<T>, Status> {
    if positions.iter().any(|&place| place >= answers.len()) {
        return Err(incomplete());
    }
    Ok(fan_out(answers, positions))
}
