//! The gRPC service of accounts. It validates requests, batches them and converts the results.

use std::{
    future::Future,
    sync::{Arc, atomic::AtomicI64},
};

use chassis::{
    batch::{BatchHandler, Batcher, Flattened, Limits},
    deadline::Deadline,
    per_item::{self, answer_each},
    skew::SkewWatch,
};
use futures_util::future::join_all;
use minitwit_proto::user::v1::{self as proto, user_ref, user_service_server::UserService};
use tonic::{Request, Response, Status};

use crate::{
    batches::{CountAttempt, Find, FindCredential, Insert, UserKey},
    hasher::Hasher,
    registration::{NameLocks, Registrar, Registration},
    session::PasswordChange,
    sign_in::{Authenticator, Check, Purpose},
    store::{User, UserStore},
    throttle::AttemptStore,
    validate,
};

/// Limits of each kind of call. With two workers, one kind cannot use all connections to the database.
const LIMITS: Limits = Limits {
    workers: 2,
    batch_weight_max: 256,
    queue_max: 1024,
};

/// The `UserService` over its stores.
pub struct Users<S: UserStore, A: AttemptStore> {
    find: Batcher<Flattened<Find<S>>>,
    registrar: Registrar<S>,
    authenticator: Arc<Authenticator<S, A>>,
    skew: SkewWatch,
}

impl<S: UserStore, A: AttemptStore> Users<S, A> {
    /// Creates the service over `store`, with failed sign-ins counted in `attempts`.
    pub fn new(store: S, attempts: A, hasher: Hasher) -> Self {
        let (store, attempts) = (Arc::new(store), Arc::new(attempts));
        let find = batcher("user.find", Flattened(Find(Arc::clone(&store))));
        Self {
            registrar: Registrar {
                find: find.clone(),
                insert: batcher("user.insert", Insert(Arc::clone(&store))),
                hasher: hasher.clone(),
                names: NameLocks::default(),
            },
            authenticator: Arc::new(Authenticator {
                find: batcher("user.find_credential", FindCredential(Arc::clone(&store))),
                count: batcher("user.count_attempt", CountAttempt(Arc::clone(&attempts))),
                store,
                attempts,
                hasher,
                pruned_millis: AtomicI64::new(0),
            }),
            find,
            skew: SkewWatch::new("account"),
        }
    }

    pub(crate) fn authenticator(&self) -> Arc<Authenticator<S, A>> {
        Arc::clone(&self.authenticator)
    }
}

fn batcher<H: BatchHandler>(name: &'static str, handler: H) -> Batcher<H> {
    Batcher::new(name, LIMITS, handler)
}

#[tonic::async_trait]
impl<S: UserStore, A: AttemptStore> UserService for Users<S, A> {
    async fn register_users(
        &self,
        request: Request<proto::RegisterUsersRequest>,
    ) -> Result<Response<proto::RegisterUsersResponse>, Status> {
        let deadline = Deadline::of(&request);
        let users = request.into_inner().users.into_iter().map(registration);
        let registered = answer_each(users, async |valid| {
            let each = valid.into_iter().map(|registration: Registration| {
                self.skew.check(registration.id);
                self.registrar.register(registration, deadline)
            });
            per_item::fail_if_all_unavailable(join_all(each).await)
        })
        .await?;
        Ok(Response::new(proto::RegisterUsersResponse {
            results: per_item::results(registered, |user| user_to_wire(&user)),
        }))
    }

    async fn lookup_users(
        &self,
        request: Request<proto::LookupUsersRequest>,
    ) -> Result<Response<proto::LookupUsersResponse>, Status> {
        let deadline = Deadline::of(&request);
        let keys = request.into_inner().users.into_iter().map(user_key);
        let found = answer_each(keys, async |valid| {
            let found = self.find.call(valid, deadline).await?;
            let each = found.into_iter();
            Ok(each.map(|user| user?.ok_or_else(no_such_user)).collect())
        })
        .await?;
        Ok(Response::new(proto::LookupUsersResponse {
            results: per_item::results(found, |user| user_to_wire(&user)),
        }))
    }

    async fn verify_passwords(
        &self,
        request: Request<proto::VerifyPasswordsRequest>,
    ) -> Result<Response<proto::VerifyPasswordsResponse>, Status> {
        let deadline = Deadline::of(&request);
        let checks = request.into_inner().checks.into_iter().map(check);
        let verified = answer_each(checks, async |valid| {
            let each = valid
                .into_iter()
                .map(|check| self.authenticator.check(check, Purpose::SignIn, deadline));
            per_item::fail_if_all_unavailable(join_all(each).await)
        })
        .await?;
        Ok(Response::new(proto::VerifyPasswordsResponse {
            results: per_item::results(verified, |verified| proto::VerifyPasswordResult {
                one_time_password: verified.one_time_password,
                ..user_to_wire(&verified.user).into()
            }),
        }))
    }

    async fn change_passwords(
        &self,
        request: Request<proto::ChangePasswordsRequest>,
    ) -> Result<Response<proto::ChangePasswordsResponse>, Status> {
        let deadline = Deadline::of(&request);
        let changes = request.into_inner().changes.into_iter().map(change);
        let changed = concurrently(changes, |change| {
            self.authenticator.change_password(change, deadline)
        });
        Ok(Response::new(proto::ChangePasswordsResponse {
            results: per_item::results(changed.await, |user| user_to_wire(&user)),
        }))
    }

    async fn end_sessions(
        &self,
        request: Request<proto::EndSessionsRequest>,
    ) -> Result<Response<proto::EndSessionsResponse>, Status> {
        let ends = request.into_inner().ends.into_iter();
        let ends = ends.map(|end| {
            Ok((
                per_item::id("account_id", &end.account_id)?,
                end.session_epoch,
            ))
        });
        let ended = concurrently(ends, |(id, epoch)| {
            self.authenticator.end_sessions(id, epoch)
        });
        Ok(Response::new(proto::EndSessionsResponse {
            results: per_item::results(ended.await, |user| user_to_wire(&user)),
        }))
    }
}

/// Processes the valid items of a list concurrently, each on its own. Returns one result per item, in the
/// order of the list.
pub(crate) async fn concurrently<T, O, F>(
    items: impl IntoIterator<Item = Result<T, Status>>,
    process: impl Fn(T) -> F,
) -> Vec<Result<O, Status>>
where
    F: Future<Output = Result<O, Status>>,
{
    let started: Vec<Result<F, Status>> =
        items.into_iter().map(|item| item.map(&process)).collect();
    join_all(started.into_iter().map(async |item| item?.await)).await
}

fn registration(user: proto::NewUser) -> Result<Registration, Status> {
    validate::username(&user.username)?;
    validate::email(&user.email)?;
    validate::password(&user.password)?;
    Ok(Registration {
        id: per_item::id("id", &user.id)?,
        username: user.username,
        email: user.email.into(),
        password: user.password.into(),
    })
}

fn user_key(user: proto::UserRef) -> Result<UserKey, Status> {
    use user_ref::Ref;
    match user.r#ref {
        Some(Ref::Username(name)) => Ok(UserKey::Name(lookup_name(name)?)),
        Some(Ref::Id(id)) => Ok(UserKey::Id(per_item::id("id", &id)?)),
        None => Err(Status::invalid_argument("a look-up needs a name or an id")),
    }
}

/// Checks that an account can have this name. No account has a name outside the limits, so the database is
/// not queried, and it never gets a NUL.
pub(crate) fn lookup_name(name: String) -> Result<String, Status> {
    validate::username(&name).map_err(|_| no_such_user())?;
    Ok(name)
}

pub(crate) fn no_such_user() -> Status {
    Status::not_found("no such user")
}

pub(crate) fn check(check: proto::PasswordCheck) -> Result<Check, Status> {
    validate::client_address(&check.client_address)?;
    // A name that no account can have gets the same answer as an unknown name.
    validate::username(&check.username).map_err(|_| Status::not_found("Invalid username"))?;
    Ok(Check {
        username: check.username,
        password: check.password.into(),
        address: check.client_address,
    })
}

fn change(change: proto::PasswordChange) -> Result<PasswordChange, Status> {
    let old = change
        .check
        .ok_or_else(|| Status::invalid_argument("the old password is missing"))?;
    validate::password(&change.new_password)?;
    Ok(PasswordChange {
        check: check(old)?,
        new: change.new_password.into(),
        epoch: change.session_epoch,
    })
}

pub(crate) fn user_to_wire(user: &User) -> proto::User {
    proto::User {
        id: per_item::encode_id(user.id),
        username: user.username.clone(),
        avatar_hash: user.avatar_hash.clone(),
        session_epoch: user.session_epoch,
        moderator: user.moderator,
    }
}
