//! What the service does with a batch of calls.

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
    store::{Credential, Inserted, NewAccount, User, UserStore},
    throttle::{Attempt, AttemptStore, Standing},
};

/// How an account is named.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Wanted {
    Name(String),
    Id(Uuid),
}

/// Finds accounts: one statement for all names, one for all ids, side by side.
pub(crate) struct Find<S>(pub(crate) Arc<S>);

impl<S: UserStore> BatchHandler for Find<S> {
    type Item = Wanted;
    type Output = Option<Arc<User>>;

    async fn run(
        &self,
        wanted: Vec<Wanted>,
        _: Deadline,
    ) -> Result<Vec<Result<Self::Output, Status>>, Status> {
        let (distinct, positions) = dedup(wanted);
        let (mut names, mut name_places) = (Vec::new(), Vec::new());
        let (mut ids, mut id_places) = (Vec::new(), Vec::new());
        let mut answers = vec![None; distinct.len()];
        for (place, wanted) in distinct.into_iter().enumerate() {
            match wanted {
                Wanted::Name(name) => {
                    names.push(name);
                    name_places.push(place);
                }
                Wanted::Id(id) => {
                    ids.push(id);
                    id_places.push(place);
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
        let found = name_places.into_iter().zip(by_name);
        for (place, user) in found.chain(id_places.into_iter().zip(by_id)) {
            answers[place] = user.map(Arc::new);
        }
        Ok(fan_out(&answers, &positions).into_iter().map(Ok).collect())
    }
}

/// Stores accounts: one statement, one commit.
pub(crate) struct Insert<S>(pub(crate) Arc<S>);

impl<S: UserStore> BatchHandler for Insert<S> {
    type Item = NewAccount;
    type Output = Inserted;

    async fn run(
        &self,
        accounts: Vec<NewAccount>,
        _: Deadline,
    ) -> Result<Vec<Result<Inserted, Status>>, Status> {
        let inserted = self.0.insert(accounts).await?;
        Ok(inserted.into_iter().map(Ok).collect())
    }
}

/// Finds what sign-ins are checked against.
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

/// Counts sign-ins, before they are checked.
pub(crate) struct CountAttempt<A>(pub(crate) Arc<A>);

impl<A: AttemptStore> BatchHandler for CountAttempt<A> {
    type Item = Attempt;
    type Output = Standing;

    async fn run(
        &self,
        attempts: Vec<Attempt>,
        _: Deadline,
    ) -> Result<Vec<Result<Standing, Status>>, Status> {
        let standings = self.0.count(&attempts, now_millis()).await?;
        Ok(standings.into_iter().map(Ok).collect())
    }
}

/// Stores the `latest` of API clients: one statement, one commit.
pub(crate) struct SetLatest<C>(pub(crate) Arc<C>);

impl<C: ApiClientStore> BatchHandler for SetLatest<C> {
    type Item = LatestUpdate;
    type Output = WriteOutcome;

    async fn run(
        &self,
        updates: Vec<LatestUpdate>,
        _: Deadline,
    ) -> Result<Vec<Result<WriteOutcome, Status>>, Status> {
        let written = self.0.set_latest(updates).await?;
        Ok(written.into_iter().map(Ok).collect())
    }
}

/// Reads the `latest` of API clients.
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

/// Milliseconds since 1970, as a database keeps them.
pub(crate) fn now_millis() -> i64 {
    i64::try_from(stamp::unix_millis()).expect("the year is below 292 million")
}
