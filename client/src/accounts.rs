//! Accounts by name and by id, and the cache of accounts.

use std::sync::Arc;

use chassis::{
    batch::{BatchHandler, Batcher, dedup},
    deadline::Deadline,
    per_item,
    pool::Pool,
};
use minitwit_proto::{
    limits::USERNAME_BYTES_MAX,
    user::v1::{
        LookupUsersRequest, User, UserRef, user_ref, user_service_client::UserServiceClient,
    },
};
use quick_cache::sync::Cache;
use tonic::{Code, Status};
use uuid::Uuid;

use crate::{
    batching::batcher,
    outcome::{ItemResult as _, fan_out_complete},
};

mod sign_in;

pub use sign_in::SignIn;

/// Maximum number of accounts in the cache.
const CACHED_ACCOUNTS_MAX: usize = 100_000;

/// Public data of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Id of the account.
    pub id: Uuid,
    /// User name, which never changes.
    pub username: String,
    /// MD5 of the email address in hexadecimal, from which the avatar is generated.
    pub avatar_hash: String,
    /// Current session epoch. Sessions of other epochs have ended. Sessions of other generations have
    /// ended.
    pub session_epoch: i64,
    /// Whether the account may flag messages.
    pub moderator: bool,
}

impl TryFrom<User> for Account {
    type Error = Status;

    fn try_from(user: User) -> Result<Self, Status> {
        Ok(Self {
            id: per_item::id("id", &user.id)?,
            username: user.username,
            avatar_hash: user.avatar_hash,
            session_epoch: user.session_epoch,
            moderator: user.moderator,
        })
    }
}

/// Reference to an account, by name or by id.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum AccountRef {
    /// The user name.
    Name(String),
    /// The id.
    Id(Uuid),
}

/// Accounts of the user service.
///
/// A user name keeps its id while the account exists. An account therefore stays in the cache until
/// [`deletion`](crate::deletion) reports it as deleted. An unknown name is never cached, because it
/// may be registered at any moment. Clones share the cache.
#[derive(Clone)]
pub struct Accounts {
    client: UserServiceClient<Pool>,
    lookups: Batcher<Lookup>,
    cache: Arc<AccountCache>,
}

struct AccountCache {
    by_name: Cache<String, Arc<Account>>,
    by_id: Cache<Uuid, Arc<Account>>,
}

impl AccountCache {
    fn insert(&self, user: User) -> Result<Arc<Account>, Status> {
        let account = Arc::new(Account::try_from(user)?);
        self.by_name
            .insert(account.username.clone(), Arc::clone(&account));
        self.by_id.insert(account.id, Arc::clone(&account));
        Ok(account)
    }
}

impl Accounts {
    /// Accounts of the user service behind `pool`.
    pub fn new(pool: Pool) -> Self {
        let client = UserServiceClient::new(pool);
        let cache = Arc::new(AccountCache {
            by_name: Cache::new(CACHED_ACCOUNTS_MAX),
            by_id: Cache::new(CACHED_ACCOUNTS_MAX),
        });
        let lookup = Lookup {
            client: client.clone(),
            cache: Arc::clone(&cache),
        };
        Self {
            client,
            lookups: batcher("gateway.lookup_users", lookup),
            cache,
        }
    }

    /// Finds an account by name, in the cache or at the user service. In a cached account, only the name
    /// and the id are sure to be current.
    pub async fn find_by_name(
        &self,
        name: &str,
        deadline: Deadline,
    ) -> Result<Option<Arc<Account>>, Status> {
        if let Some(account) = self.cache.by_name.get(name) {
            return Ok(Some(account));
        }
        // No account has an empty name, a longer name, or a name with a NUL character.
        if name.is_empty() || name.len() > USERNAME_BYTES_MAX || name.contains('\0') {
            return Ok(None);
        }
        self.fetch(AccountRef::Name(name.to_owned()), deadline)
            .await
    }

    /// Fetches the current account from the user service, without the cache.
    pub async fn fetch(
        &self,
        account: AccountRef,
        deadline: Deadline,
    ) -> Result<Option<Arc<Account>>, Status> {
        match self.lookups.call(account, deadline).await {
            Ok(account) => Ok(Some(account)),
            Err(status) if status.code() == Code::NotFound => Ok(None),
            Err(status) => Err(status),
        }
    }

    /// Looks up the accounts of `ids`, in the cache or at the user service. The result has the order of
    /// `ids`, with `None` for each id without an account.
    pub async fn lookup(
        &self,
        ids: &[Uuid],
        deadline: Deadline,
    ) -> Result<Vec<Option<Arc<Account>>>, Status> {
        let (accounts, lookup_result) = self.lookup_partial(ids, deadline).await;
        lookup_result.map(|()| accounts)
    }

    /// Looks up the accounts of `ids` as [`lookup`](Self::lookup) does, and also returns the accounts
    /// that are known if the user service fails. After an error, `None` does not mean that the account
    /// does not exist.
    pub async fn lookup_partial(
        &self,
        ids: &[Uuid],
        deadline: Deadline,
    ) -> (Vec<Option<Arc<Account>>>, Result<(), Status>) {
        let mut accounts: Vec<Option<Arc<Account>>> =
            ids.iter().map(|id| self.cache.by_id.get(id)).collect();
        let missing: Vec<usize> = (0..ids.len())
            .filter(|&index| accounts[index].is_none())
            .collect();
        if missing.is_empty() {
            return (accounts, Ok(()));
        }
        let references = missing
            .iter()
            .map(|&index| AccountRef::Id(ids[index]))
            .collect();
        let lookup = Lookup {
            client: self.client.clone(),
            cache: Arc::clone(&self.cache),
        };
        let results = match lookup.run(references, deadline).await {
            Ok(results) => results,
            Err(status) => return (accounts, Err(status)),
        };
        let mut lookup_result = Ok(());
        for (index, result) in missing.into_iter().zip(results) {
            match result {
                Ok(account) => accounts[index] = Some(account),
                Err(status) if status.code() == Code::NotFound => {}
                Err(status) => lookup_result = Err(status),
            }
        }
        (accounts, lookup_result)
    }

    /// Removes a deleted account from the cache.
    pub(crate) fn evict(&self, id: Uuid, username: &str) {
        self.cache.by_name.remove(username);
        self.cache.by_id.remove(&id);
    }

    /// Removes all accounts from the cache.
    pub(crate) fn evict_all(&self) {
        self.cache.by_name.clear();
        self.cache.by_id.clear();
    }
}

/// Looks up accounts at the user service and puts them into the cache.
struct Lookup {
    client: UserServiceClient<Pool>,
    cache: Arc<AccountCache>,
}

impl BatchHandler for Lookup {
    type Item = AccountRef;
    type Output = Arc<Account>;

    async fn run(
        &self,
        accounts: Vec<AccountRef>,
        deadline: Deadline,
    ) -> Result<Vec<Result<Arc<Account>, Status>>, Status> {
        let (distinct, positions) = dedup(accounts);
        let users = distinct
            .into_iter()
            .map(|account| match account {
                AccountRef::Name(name) => user_ref::Ref::Username(name),
                AccountRef::Id(id) => user_ref::Ref::Id(per_item::encode_id(id)),
            })
            .map(|r#ref| UserRef { r#ref: Some(r#ref) })
            .collect();
        let request = deadline.request(LookupUsersRequest { users });
        let response = self.client.clone().lookup_users(request).await?;
        let results: Vec<_> = response
            .into_inner()
            .results
            .into_iter()
            .map(|result| self.cache.insert(result.into_result()?))
            .collect();
        fan_out_complete(&results, &positions)
    }
}
