//! The operator's hand: import, export, resets, moderators, and accounts that are deleted.
//!
//! A deletion is durable the moment that it is answered: there is nobody of that name any more. What
//! the account wrote is other services', which this one never calls; so the deletion stays pending,
//! is handed out to whoever asks for work, and is concluded when that one says that all is gone.

use std::sync::Arc;

use chassis::{
    batch::{Batcher, Flattened, Limits},
    deadline::Deadline,
    per_item::{self, answer_each},
};
use futures_util::future::join_all;
use minitwit_proto::{
    limits::{DELETED_USERS_MAX, DELETION_LEASE_MILLIS_MAX},
    user::v1::{self as proto, operator_service_server::OperatorService},
};
use secrecy::{ExposeSecret as _, SecretString};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::{
    batches::{Insert, now_millis},
    hasher::{Hasher, Priority},
    operator::store::{Lease, OperatorStore},
    password::PasswordHash,
    service,
    sign_in::{Check, Doorkeeper, Purpose},
    store::{NewAccount, User, UserStore},
    throttle::AttemptStore,
    validate,
};

mod import;
pub mod store;
mod wire;

/// The service over its stores.
pub struct Operators<S: UserStore, A: AttemptStore, O: OperatorStore> {
    users: Arc<S>,
    import: Batcher<Flattened<Insert<S>>>,
    doorkeeper: Arc<Doorkeeper<S, A>>,
    hasher: Hasher,
    store: O,
}

impl<S: UserStore, A: AttemptStore, O: OperatorStore> Operators<S, A, O> {
    /// The service beside that of `users`.
    pub fn new(users: &service::Users<S, A>, hasher: Hasher, store: O) -> Self {
        let doorkeeper = users.doorkeeper();
        let import = Flattened(Insert(Arc::clone(&doorkeeper.store)));
        Self {
            users: Arc::clone(&doorkeeper.store),
            import: Batcher::new("user.import", Limits::BULK, import),
            doorkeeper,
            hasher,
            store,
        }
    }

    async fn find(&self, name: String) -> Result<User, Status> {
        let found = self.users.find_by_name(vec![name]).await?.pop().flatten();
        found.ok_or_else(nobody)
    }

    async fn reset(
        &self,
        name: String,
        password: SecretString,
        deadline: Deadline,
    ) -> Result<User, Status> {
        let hash = move || PasswordHash::one_time(password.expose_secret());
        let hash = self.hasher.run(Priority::SignIn, deadline, hash).await?;
        if !self.store.reset(name.clone(), &hash).await? {
            return Err(nobody());
        }
        self.find(name).await
    }

    async fn set_moderator(&self, name: String, moderator: bool) -> Result<User, Status> {
        if !self.store.set_moderator(name.clone(), moderator).await? {
            return Err(nobody());
        }
        self.find(name).await
    }

    async fn delete(
        &self,
        id: Uuid,
        check: Option<Check>,
        lease_millis: i64,
        deadline: Deadline,
    ) -> Result<(), Status> {
        if let Some(check) = check {
            // Perhaps an earlier attempt of the same write: its own success.
            if self.store.is_deleted(id).await? {
                return Ok(());
            }
            let checked = self.doorkeeper.check(check, Purpose::OwnAccount, deadline);
            if checked.await?.user.id != id {
                return Err(Status::invalid_argument("the name is another account's"));
            }
        }
        let now = now_millis();
        if !self.store.delete(id, now, now + lease_millis).await? {
            return Err(nobody());
        }
        Ok(())
    }
}

#[tonic::async_trait]
impl<S: UserStore, A: AttemptStore, O: OperatorStore> OperatorService for Operators<S, A, O> {
    async fn import_users(
        &self,
        request: Request<proto::ImportUsersRequest>,
    ) -> Result<Response<proto::ImportUsersResponse>, Status> {
        let deadline = Deadline::of(&request);
        let users = request.into_inner().users.into_iter().map(import::account);
        let imported = answer_each(users, async |valid: Vec<NewAccount>| {
            let ids = valid.iter().map(|account| account.id).collect();
            let before = self.users.find_by_id(ids).await?;
            let inserted = self.import.call(valid, deadline).await?;
            let each = before.into_iter().zip(inserted);
            Ok(each
                .map(|(before, inserted)| Ok((before.is_some(), import::outcome(inserted?)?)))
                .collect())
        })
        .await?;
        let results = imported.into_iter().map(wire::imported);
        Ok(Response::new(proto::ImportUsersResponse {
            results: results.collect(),
        }))
    }

    async fn export_users(
        &self,
        request: Request<proto::ExportUsersRequest>,
    ) -> Result<Response<proto::ExportUsersResponse>, Status> {
        let names = request.into_inner().usernames.into_iter().map(known_name);
        let exported = answer_each(names, async |valid: Vec<String>| {
            let each = valid.into_iter().map(async |name| {
                let kept = self.store.export(name).await?;
                kept.ok_or_else(nobody)
            });
            Ok(join_all(each).await)
        })
        .await?;
        let results = exported.into_iter().map(wire::exported);
        Ok(Response::new(proto::ExportUsersResponse {
            results: results.collect(),
        }))
    }

    async fn reset_passwords(
        &self,
        request: Request<proto::ResetPasswordsRequest>,
    ) -> Result<Response<proto::ResetPasswordsResponse>, Status> {
        use proto::reset_password_result::Outcome;
        let deadline = Deadline::of(&request);
        let resets = request.into_inner().resets.into_iter().map(|reset| {
            validate::password(&reset.one_time_password)?;
            let password = SecretString::from(reset.one_time_password);
            Ok((known_name(reset.username)?, password))
        });
        let reset = answer_each(resets, async |valid| {
            let each = valid.into_iter();
            let each = each.map(|(name, password)| self.reset(name, password, deadline));
            Ok(join_all(each).await)
        })
        .await?;
        let results = reset.into_iter().map(|reset| proto::ResetPasswordResult {
            outcome: Some(match reset {
                Ok(user) => Outcome::User(service::user_to_wire(&user)),
                Err(status) => Outcome::Error(per_item::error(&status)),
            }),
        });
        Ok(Response::new(proto::ResetPasswordsResponse {
            results: results.collect(),
        }))
    }

    async fn set_moderators(
        &self,
        request: Request<proto::SetModeratorsRequest>,
    ) -> Result<Response<proto::SetModeratorsResponse>, Status> {
        use proto::set_moderator_result::Outcome;
        let updates = request.into_inner().updates.into_iter();
        let updates = updates.map(|update| Ok((known_name(update.username)?, update.moderator)));
        let set = answer_each(updates, async |valid| {
            let each = valid.into_iter();
            let each = each.map(|(name, moderator)| self.set_moderator(name, moderator));
            Ok(join_all(each).await)
        })
        .await?;
        let results = set.into_iter().map(|set| proto::SetModeratorResult {
            outcome: Some(match set {
                Ok(user) => Outcome::User(service::user_to_wire(&user)),
                Err(status) => Outcome::Error(per_item::error(&status)),
            }),
        });
        Ok(Response::new(proto::SetModeratorsResponse {
            results: results.collect(),
        }))
    }

    async fn delete_users(
        &self,
        request: Request<proto::DeleteUsersRequest>,
    ) -> Result<Response<proto::DeleteUsersResponse>, Status> {
        let deadline = Deadline::of(&request);
        let deletions = request.into_inner().deletions.into_iter().map(|deletion| {
            let check = deletion.check.map(service::check).transpose()?;
            let lease_millis = i64::from(deletion.lease_millis.min(DELETION_LEASE_MILLIS_MAX));
            Ok((
                per_item::id("account_id", &deletion.account_id)?,
                check,
                lease_millis,
            ))
        });
        let deleted = answer_each(deletions, async |valid| {
            let each = valid.into_iter();
            let each = each.map(|(id, check, lease)| self.delete(id, check, lease, deadline));
            Ok(join_all(each).await)
        })
        .await?;
        let results = deleted.into_iter().map(wire::deleted);
        Ok(Response::new(proto::DeleteUsersResponse {
            results: results.collect(),
        }))
    }

    async fn list_deletions(
        &self,
        request: Request<proto::ListDeletionsRequest>,
    ) -> Result<Response<proto::ListDeletionsResponse>, Status> {
        let now_millis = now_millis();
        let since = match request.get_ref().since_millis {
            0 => now_millis,
            since => since,
        };
        let (deleted, pending) = tokio::try_join!(
            self.store.deleted_since(since),
            self.store.pending(now_millis)
        )?;
        Ok(Response::new(proto::ListDeletionsResponse {
            truncated: deleted.len() >= DELETED_USERS_MAX,
            deleted: deleted.into_iter().map(wire::deleted_user).collect(),
            now_millis,
            pending: !pending.is_empty(),
        }))
    }

    async fn lease_deletions(
        &self,
        request: Request<proto::LeaseDeletionsRequest>,
    ) -> Result<Response<proto::LeaseDeletionsResponse>, Status> {
        let proto::LeaseDeletionsRequest {
            limit,
            lease_millis,
        } = request.into_inner();
        let now = now_millis();
        let until = now + i64::from(lease_millis.min(DELETION_LEASE_MILLIS_MAX));
        let mut ids = self.store.pending(now).await?;
        ids.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        let leases = if ids.is_empty() {
            Vec::new()
        } else {
            self.store.lease(ids, now, until).await?
        };
        Ok(Response::new(proto::LeaseDeletionsResponse {
            leases: leases.into_iter().map(wire::lease).collect(),
        }))
    }

    async fn conclude_deletions(
        &self,
        request: Request<proto::ConcludeDeletionsRequest>,
    ) -> Result<Response<proto::ConcludeDeletionsResponse>, Status> {
        let leases = request.into_inner().leases;
        let leases: Vec<Lease> = leases
            .iter()
            .map(|lease| {
                Ok(Lease {
                    account_id: per_item::id("account_id", &lease.account_id)?,
                    leased_millis: lease.leased_millis,
                })
            })
            .collect::<Result<_, Status>>()?;
        if !leases.is_empty() {
            self.store.conclude(&leases).await?;
        }
        Ok(Response::new(proto::ConcludeDeletionsResponse {}))
    }
}

/// What no account can be called needs no look: a database would choke on a NUL.
fn known_name(name: String) -> Result<String, Status> {
    validate::username(&name).map_err(|_| nobody())?;
    Ok(name)
}

fn nobody() -> Status {
    Status::not_found("no such user")
}
