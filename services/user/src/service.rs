//! The gRPC face of accounts: validate, batch, translate. Nothing else.

use std::sync::{Arc, atomic::AtomicI64};

use chassis::{
    batch::{BatchHandler, Batcher, Flattened, Limits},
    deadline::Deadline,
    per_item::{self, answer_each},
    skew::SkewWatch,
};
use futures_util::future::join_all;
use minitwit_proto::user::v1::{
    self as proto, change_password_result, end_sessions_result, lookup_user_result,
    register_user_result, user_ref, user_service_server::UserService, verify_password_result,
};
use tonic::{Request, Response, Status};

use crate::{
    batches::{CountAttempt, Find, FindCredential, Insert, Wanted},
    hasher::Hasher,
    registration::{NamesUnderWay, Registrar, Registration},
    session::PasswordChange,
    sign_in::{Check, Doorkeeper, Purpose},
    store::{User, UserStore},
    throttle::AttemptStore,
    validate,
};

/// Two statements at a time leave the other connections to the other kinds of calls.
const LIMITS: Limits = Limits {
    workers: 2,
    batch_weight_max: 256,
    queue_max: 1024,
};

/// The service over its stores.
pub struct Users<S: UserStore, A: AttemptStore> {
    find: Batcher<Flattened<Find<S>>>,
    registrar: Registrar<S>,
    doorkeeper: Arc<Doorkeeper<S, A>>,
    skew: SkewWatch,
}

impl<S: UserStore, A: AttemptStore> Users<S, A> {
    /// The service over `store`, with failed sign-ins counted in `attempts`.
    pub fn new(store: S, attempts: A, hasher: Hasher) -> Self {
        let (store, attempts) = (Arc::new(store), Arc::new(attempts));
        let find = batcher("user.find", Flattened(Find(Arc::clone(&store))));
        Self {
            registrar: Registrar {
                find: find.clone(),
                insert: batcher("user.insert", Insert(Arc::clone(&store))),
                hasher: hasher.clone(),
                names: NamesUnderWay::default(),
            },
            doorkeeper: Arc::new(Doorkeeper {
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

    pub(crate) fn doorkeeper(&self) -> Arc<Doorkeeper<S, A>> {
        Arc::clone(&self.doorkeeper)
    }
}

fn batcher<W: BatchHandler>(name: &'static str, work: W) -> Batcher<W> {
    Batcher::new(name, LIMITS, work)
}

#[tonic::async_trait]
impl<S: UserStore, A: AttemptStore> UserService for Users<S, A> {
    async fn register_users(
        &self,
        request: Request<proto::RegisterUsersRequest>,
    ) -> Result<Response<proto::RegisterUsersResponse>, Status> {
        use register_user_result::Outcome;
        let deadline = Deadline::of(&request);
        let users = request.into_inner().users.into_iter().map(registration);
        let registered = answer_each(users, async |valid| {
            let each = valid.into_iter().map(|wanted: Registration| {
                self.skew.check(wanted.id);
                self.registrar.register(wanted, deadline)
            });
            per_item::fail_if_all_unavailable(join_all(each).await)
        })
        .await?;
        let results = registered.into_iter().map(|registered| match registered {
            Ok(user) => Outcome::User(user_to_wire(&user)),
            Err(status) => Outcome::Error(per_item::error(&status)),
        });
        let results = results.map(|outcome| proto::RegisterUserResult {
            outcome: Some(outcome),
        });
        Ok(Response::new(proto::RegisterUsersResponse {
            results: results.collect(),
        }))
    }

    async fn lookup_users(
        &self,
        request: Request<proto::LookupUsersRequest>,
    ) -> Result<Response<proto::LookupUsersResponse>, Status> {
        use lookup_user_result::Outcome;
        let deadline = Deadline::of(&request);
        let users = request.into_inner().users.into_iter().map(wanted);
        let found = answer_each(users, async |valid| self.find.call(valid, deadline).await).await?;
        let results = found.into_iter().map(|found| match found {
            Ok(Some(user)) => Outcome::User(user_to_wire(&user)),
            Ok(None) => Outcome::Error(per_item::error(&Status::not_found("no such user"))),
            Err(status) => Outcome::Error(per_item::error(&status)),
        });
        let results = results.map(|outcome| proto::LookupUserResult {
            outcome: Some(outcome),
        });
        Ok(Response::new(proto::LookupUsersResponse {
            results: results.collect(),
        }))
    }

    async fn verify_passwords(
        &self,
        request: Request<proto::VerifyPasswordsRequest>,
    ) -> Result<Response<proto::VerifyPasswordsResponse>, Status> {
        use verify_password_result::Outcome;
        let deadline = Deadline::of(&request);
        let checks = request.into_inner().checks.into_iter().map(check);
        let checked = answer_each(checks, async |valid| {
            let each = valid
                .into_iter()
                .map(|valid| self.doorkeeper.check(valid, Purpose::SignIn, deadline));
            per_item::fail_if_all_unavailable(join_all(each).await)
        })
        .await?;
        let results = checked.into_iter().map(|checked| match checked {
            Ok(checked) => proto::VerifyPasswordResult {
                outcome: Some(Outcome::User(user_to_wire(&checked.user))),
                one_time_password: checked.one_time_password,
            },
            Err(status) => proto::VerifyPasswordResult {
                outcome: Some(Outcome::Error(per_item::error(&status))),
                one_time_password: false,
            },
        });
        Ok(Response::new(proto::VerifyPasswordsResponse {
            results: results.collect(),
        }))
    }

    async fn change_passwords(
        &self,
        request: Request<proto::ChangePasswordsRequest>,
    ) -> Result<Response<proto::ChangePasswordsResponse>, Status> {
        use change_password_result::Outcome;
        let deadline = Deadline::of(&request);
        let changes = request.into_inner().changes.into_iter().map(change);
        let changed = answer_each(changes, async |valid| {
            let each = valid
                .into_iter()
                .map(|valid| self.doorkeeper.change_password(valid, deadline));
            Ok(join_all(each).await)
        })
        .await?;
        let results = changed.into_iter().map(|changed| match changed {
            Ok(user) => Outcome::User(user_to_wire(&user)),
            Err(status) => Outcome::Error(per_item::error(&status)),
        });
        let results = results.map(|outcome| proto::ChangePasswordResult {
            outcome: Some(outcome),
        });
        Ok(Response::new(proto::ChangePasswordsResponse {
            results: results.collect(),
        }))
    }

    async fn end_sessions(
        &self,
        request: Request<proto::EndSessionsRequest>,
    ) -> Result<Response<proto::EndSessionsResponse>, Status> {
        use end_sessions_result::Outcome;
        let ends = request.into_inner().ends.into_iter();
        let ends = ends.map(|end| {
            Ok((
                per_item::id("account_id", &end.account_id)?,
                end.session_epoch,
            ))
        });
        let ended = answer_each(ends, async |valid| {
            let each = valid
                .into_iter()
                .map(|(id, epoch)| self.doorkeeper.end_sessions(id, epoch));
            Ok(join_all(each).await)
        })
        .await?;
        let results = ended.into_iter().map(|ended| match ended {
            Ok(user) => Outcome::User(user_to_wire(&user)),
            Err(status) => Outcome::Error(per_item::error(&status)),
        });
        let results = results.map(|outcome| proto::EndSessionsResult {
            outcome: Some(outcome),
        });
        Ok(Response::new(proto::EndSessionsResponse {
            results: results.collect(),
        }))
    }
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

fn wanted(user: proto::UserRef) -> Result<Wanted, Status> {
    use user_ref::Ref;
    match user.r#ref {
        // What no account can be called needs no look: a database would choke on a NUL.
        Some(Ref::Username(name)) if validate::username(&name).is_err() => {
            Err(Status::not_found("no such user"))
        }
        Some(Ref::Username(name)) => Ok(Wanted::Name(name)),
        Some(Ref::Id(id)) => Ok(Wanted::Id(per_item::id("id", &id)?)),
        None => Err(Status::invalid_argument("a look-up needs a name or an id")),
    }
}

pub(crate) fn check(check: proto::PasswordCheck) -> Result<Check, Status> {
    validate::client_address(&check.client_address)?;
    // As a person sees it, what cannot have been registered is simply wrong.
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
