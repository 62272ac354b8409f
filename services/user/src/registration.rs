//! Registering an account: a name is taken once, and a taken one costs no hash.

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
    batches::{Find, Insert, Wanted},
    hasher::{Hasher, Priority},
    password::PasswordHash,
    store::{Inserted, NewAccount, User, UserStore},
};

/// How many may wait for the outcome of a registration of the same name.
const WAITING_PER_NAME_MAX: usize = 64;

/// What a person has asked for, within its limits.
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
    pub(crate) names: NamesUnderWay,
}

impl<S: UserStore> Registrar<S> {
    /// Registers one account. Those who want the same name wait for the first of them, so that
    /// only one pays for a hash.
    pub(crate) async fn register(
        &self,
        wanted: Registration,
        deadline: Deadline,
    ) -> Result<Arc<User>, Status> {
        let name = wanted.username.clone();
        let registration = self.register_in_turn(wanted, deadline);
        self.names.in_turn(&name, deadline, registration).await
    }

    async fn register_in_turn(
        &self,
        wanted: Registration,
        deadline: Deadline,
    ) -> Result<Arc<User>, Status> {
        let name = vec![Wanted::Name(wanted.username.clone())];
        let found = self.find.call(name, deadline).await?.pop();
        match found.expect("one answer an item")? {
            // An earlier attempt of the same write: its own success.
            Some(stored) if stored.id == wanted.id => return Ok(stored),
            Some(_) => return Err(name_taken()),
            None => {}
        }
        let password = wanted.password;
        let hash = move || PasswordHash::of(password.expose_secret());
        let account = NewAccount {
            pw_hash: self
                .hasher
                .run(Priority::Registration, deadline, hash)
                .await?,
            id: wanted.id,
            username: wanted.username,
            email: wanted.email.expose_secret().to_owned(),
        };
        match self.insert.call(account, deadline).await? {
            Inserted::Stored(user) => Ok(Arc::new(user)),
            Inserted::NameTaken => Err(name_taken()),
            Inserted::IdTaken => Err(Status::already_exists("the id is another account's")),
        }
    }
}

fn name_taken() -> Status {
    Status::already_exists("The username is already taken")
}

/// The names that are being registered in this process, each by one caller at a time.
#[derive(Debug, Default)]
pub(crate) struct NamesUnderWay(Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>);

impl NamesUnderWay {
    /// Does `work` once nobody else does any on the same name.
    async fn in_turn<T>(
        &self,
        name: &str,
        deadline: Deadline,
        work: impl Future<Output = Result<T, Status>>,
    ) -> Result<T, Status> {
        let place = self.queue(name)?;
        let _turn = tokio::time::timeout_at(deadline.instant(), place.turn.lock())
            .await
            .map_err(|_| Status::deadline_exceeded("no answer in time"))?;
        work.await
    }

    fn queue<'a>(&'a self, name: &'a str) -> Result<Place<'a>, Status> {
        let mut names = self.lock();
        let turn = names.entry(name.to_owned()).or_default();
        if Arc::strong_count(turn) > WAITING_PER_NAME_MAX {
            return Err(Status::resource_exhausted("too many want the same name"));
        }
        Ok(Place {
            all: self,
            name,
            turn: Arc::clone(turn),
        })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<tokio::sync::Mutex<()>>>> {
        // Nothing panics under this lock, so a poisoned one cannot hold a broken state.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place in the queue for a name; the last to leave clears it away.
struct Place<'a> {
    all: &'a NamesUnderWay,
    name: &'a str,
    turn: Arc<tokio::sync::Mutex<()>>,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut names = self.all.lock();
        // The map's and this one: counted under the lock, under which alone others are made.
        if Arc::strong_count(&self.turn) == 2 {
            names.remove(self.name);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn a_name_is_one_callers_at_a_time_and_then_forgotten() {
        let names = NamesUnderWay::default();
        let soon = Deadline::after(Duration::from_millis(20));
        let late = names.in_turn("a", Deadline::after(Duration::from_secs(5)), async {
            let other = names.in_turn("b", soon, async { Ok(()) }).await;
            assert!(other.is_ok());
            names.in_turn("a", soon, async { Ok(()) }).await
        });
        let status = late.await.unwrap_err();
        assert_eq!(status.code(), tonic::Code::DeadlineExceeded);
        assert!(names.lock().is_empty());
    }
}
