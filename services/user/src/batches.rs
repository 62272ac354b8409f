//! Handlers that execute batches of calls with one statement each.

use std::sync::Arc;

use chassis::{
    batch::{BatchHandler, dedup, fan_out},
    deadline::Deadline,
    per_item::WriteOutcome,
    stamp,
};
use tonic::Status;
use uuid::Uuid;

use crate::{
    latest::{ApiClientStore, LatestUpdate},
    store::{Credential, InsertOutcome, NewAccount, User, UserStore},
    throttle::{Admission, Attempt, AttemptStore},
};

/// Key of an account in a look-up.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum UserKey {
    Name(String),
    Id(Uuid),
}

/// Looks up accounts. All names share one statement and all ids another. Both run concurrently.
pub(crate) struct Find<S>(pub(crate) Arc<S>);

impl<S: UserStore> BatchHandler for Find<S> {
    type Item = UserKey;
    type Output = Option<Arc<User>>;

    async fn run(
        &self,
        keys: Vec<UserKey>,
        _: Deadline,
    ) -> Result<Vec<Result<Self::Output, Status>>, Status> {
        let (distinct, positions) = dedup(keys);
        let (mut names, mut name_indexes) = (Vec::new(), Vec::new());
        let (mut ids, mut id_indexes) = (Vec::new(), Vec::new());
        let mut users = vec![None; distinct.len()];
        for (index, key) in distinct.into_iter().enumerate() {
            match key {
                UserKey::Name(name) => {
                    names.push(name);
                    name_indexes.push(index);
                }
                UserKey::Id(id) => {
                    ids.push(id);
                    id_indexes.push(index);
                }
            }
        }
        let by_name = async {
            if names.is_empty() {
                return Ok(Vec::new());
            }
            self.0.find_by_name(names).await
        };
        let by_id = async {
            if ids.is_empty() {
                return Ok(Vec::new());
            }
            self.0.find_by_id(ids).await
        };
        let (by_name, by_id) = tokio::try_join!(by_name, by_id)?;
        let found = name_indexes.into_iter().zip(by_name);
        for (index, user) in found.chain(id_indexes.into_iter().zip(by_id)) {
            users[index] = user.map(Arc::new);
        }
        Ok(fan_out(&users, &positions).into_iter().map(Ok).collect())
    }
}

/// Stores accounts with one statement and one commit.
pub(crate) struct Insert<S>(pub(crate) Arc<S>);

impl<S: UserStore> BatchHandler for Insert<S> {
    type Item = NewAccount;
    type Output = InsertOutcome;

    async fn run(
        &self,
        accounts: Vec<NewAccount>,
        _: Deadline,
    ) -> Result<Vec<Result<InsertOutcome, Status>>, Status> {
        let inserted = self.0.insert(accounts).await?;
        Ok(inserted.into_iter().map(Ok).collect())
    }
}

/// Looks up the credentials of sign-ins.
pub(crate) struct FindCredential<S>(pub(crate) Arc<S>);

impl<S: UserStore> BatchHandler for FindCredential<S> {
    type Item = String;
    type Output = Option<Credential>;

    async fn run(
        &self,
        names: Vec<String>,
        _: Deadline,
    ) -> Result<Vec<Result<Self::Output, Status>>, Status> {
        let found = self.0.find_credentials(names).await?;
        Ok(found.into_iter().map(Ok).collect())
    }
}

/// Counts sign-in attempts before their passwords are checked.
pub(crate) struct CountAttempt<A>(pub(crate) Arc<A>);

impl<A: AttemptStore> BatchHandler for CountAttempt<A> {
    type Item = Attempt;
    type Output = Admission;

    async fn run(
        &self,
        attempts: Vec<Attempt>,
        _: Deadline,
    ) -> Result<Vec<Result<Admission, Status>>, Status> {
        let admissions = self.0.count(&attempts, now_millis()).await?;
        Ok(admissions.into_iter().map(Ok).collect())
    }
}

/// Stores values of `latest` with one statement and one commit.
pub(crate) struct SetLatest<C>(pub(crate) Arc<C>);

impl<C: ApiClientStore> BatchHandler for SetLatest<C> {
    type Item = LatestUpdate;
    type Output = WriteOutcome;

    async fn run(
        &self,
        updates: Vec<LatestUpdate>,
        _: Deadline,
    ) -> Result<Vec<Result<WriteOutcome, Status>>, Status> {
        let outcomes = self.0.set_latest(updates).await?;
        Ok(outcomes.into_iter().map(Ok).collect())
    }
}

/// Reads values of `latest`.
pub(crate) struct GetLatest<C>(pub(crate) Arc<C>);

impl<C: ApiClientStore> BatchHandler for GetLatest<C> {
    type Item = String;
    type Output = Option<i64>;

    async fn run(
        &self,
        clients: Vec<String>,
        _: Deadline,
    ) -> Result<Vec<Result<Self::Output, Status>>, Status> {
        let (distinct, positions) = dedup(clients);
        let values = self.0.latest(distinct).await?;
        Ok(fan_out(&values, &positions).into_iter().map(Ok).collect())
    }
}

/// Current time in milliseconds since 1970, in the integer type of the databases.
pub(crate) fn now_millis() -> i64 {
    i64::try_from(stamp::unix_millis()).expect("the year is below 292 million")
}
