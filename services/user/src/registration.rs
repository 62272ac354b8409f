//! Registration of accounts. Each name is taken once, and if the name exists, no password is hashed.

use std::{
    collections::HashMap,
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use chassis::{
    batch::{Batcher, Flattened},
    deadline::Deadline,
};
use secrecy::{ExposeSecret, SecretString};
use tonic::Status;
use uuid::Uuid;

use crate::{
    batches::{Find, Insert, UserKey},
    hasher::{Hasher, Priority},
    password::PasswordHash,
    store::{InsertOutcome, NewAccount, User, UserStore},
};

/// Maximum number of registrations of the same name that wait for the lock of the name.
const WAITERS_PER_NAME_MAX: usize = 64;

/// A registration whose fields are within their limits.
#[derive(Debug)]
pub(crate) struct Registration {
    pub(crate) id: Uuid,
    pub(crate) username: String,
    pub(crate) email: SecretString,
    pub(crate) password: SecretString,
}

/// Registers accounts.
pub(crate) struct Registrar<S: UserStore> {
    pub(crate) find: Batcher<Flattened<Find<S>>>,
    pub(crate) insert: Batcher<Insert<S>>,
    pub(crate) hasher: Hasher,
    pub(crate) names: NameLocks,
}

impl<S: UserStore> Registrar<S> {
    /// Registers one account. Registrations of the same name run one after the other, so only the first
    /// of them hashes its password.
    pub(crate) async fn register(
        &self,
        registration: Registration,
        deadline: Deadline,
    ) -> Result<Arc<User>, Status> {
        let name = registration.username.clone();
        let register = self.register_locked(registration, deadline);
        self.names.with_lock(&name, deadline, register).await
    }

    async fn register_locked(
        &self,
        registration: Registration,
        deadline: Deadline,
    ) -> Result<Arc<User>, Status> {
        let key = vec![UserKey::Name(registration.username.clone())];
        let found = self.find.call(key, deadline).await?.pop();
        match found.expect("one result per item")? {
            // An earlier attempt of the same write has stored the account.
            Some(stored) if stored.id == registration.id => return Ok(stored),
            Some(_) => return Err(name_taken()),
            None => {}
        }
        let password = registration.password;
        let hash = move || PasswordHash::of(password.expose_secret());
        let account = NewAccount {
            pw_hash: self
                .hasher
                .run(Priority::Registration, deadline, hash)
                .await?,
            id: registration.id,
            username: registration.username,
            email: registration.email.expose_secret().to_owned(),
        };
        match self.insert.call(account, deadline).await? {
            InsertOutcome::Stored(user) => Ok(Arc::new(user)),
            InsertOutcome::NameTaken => Err(name_taken()),
            InsertOutcome::IdTaken => Err(Status::already_exists("the id is another account's")),
        }
    }
}

fn name_taken() -> Status {
    Status::already_exists("The username is already taken")
}

/// Locks of the names that are being registered in this process.
#[derive(Debug, Default)]
pub(crate) struct NameLocks(Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>);

impl NameLocks {
    /// Runs `work` while it holds the lock of `name`. Waits for the lock until `deadline` at most.
    async fn with_lock<T>(
        &self,
        name: &str,
        deadline: Deadline,
        work: impl Future<Output = Result<T, Status>>,
    ) -> Result<T, Status> {
        let waiter = self.waiter(name)?;
        let _guard = tokio::time::timeout_at(deadline.instant(), waiter.lock.lock())
            .await
            .map_err(|_| Status::deadline_exceeded("no answer in time"))?;
        work.await
    }

    fn waiter<'a>(&'a self, name: &'a str) -> Result<Waiter<'a>, Status> {
        let mut names = self.names();
        let lock = names.entry(name.to_owned()).or_default();
        if Arc::strong_count(lock) > WAITERS_PER_NAME_MAX {
            return Err(Status::resource_exhausted(
                "too many registrations of the same name are waiting",
            ));
        }
        Ok(Waiter {
            locks: self,
            name,
            lock: Arc::clone(lock),
        })
    }

    fn names(&self) -> MutexGuard<'_, HashMap<String, Arc<tokio::sync::Mutex<()>>>> {
        // No code panics under this lock, so the state behind a poisoned lock is consistent.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waiter for the lock of a name, or its holder. The last waiter of a name removes the lock.
struct Waiter<'a> {
    locks: &'a NameLocks,
    name: &'a str,
    lock: Arc<tokio::sync::Mutex<()>>,
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        let mut names = self.locks.names();
        // Two references are those of the map and of this waiter. References are created only under the
        // lock of the map, so the count cannot grow here.
        if Arc::strong_count(&self.lock) == 2 {
            names.remove(self.name);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn a_name_has_one_lock_holder_at_a_time_and_its_lock_is_removed_afterwards() {
        let names = NameLocks::default();
        let short = Deadline::after(Duration::from_millis(20));
        let nested = names.with_lock("a", Deadline::after(Duration::from_secs(5)), async {
            let other = names.with_lock("b", short, async { Ok(()) }).await;
            assert!(other.is_ok());
            names.with_lock("a", short, async { Ok(()) }).await
        });
        let status = nested.await.unwrap_err();
        assert_eq!(status.code(), tonic::Code::DeadlineExceeded);
        assert!(names.names().is_empty());
    }
}
