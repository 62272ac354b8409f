//! The gRPC service of operators for import, export, password resets and moderators.

use std::sync::Arc;

use chassis::{
    batch::{Batcher, Flattened, Limits},
    deadline::Deadline,
    per_item::{self, answer_each},
};
use minitwit_proto::user::v1::{
    self as proto, deletion_service_server::DeletionService,
    operator_service_server::OperatorService,
};
use secrecy::{ExposeSecret as _, SecretString};
use tonic::{Request, Response, Status};

use crate::{
    batches::Insert,
    deletion::{Deletions, store::DeletionStore},
    hasher::{Hasher, Priority},
    operator::store::{AccountExport, OperatorStore},
    password::PasswordHash,
    service::{Users, concurrently, lookup_name, no_such_user, user_to_wire},
    store::{NewAccount, User, UserStore},
    throttle::AttemptStore,
    validate,
};

mod import;
pub mod store;

/// The `OperatorService` over its stores.
pub struct Operators<S: UserStore, A: AttemptStore, O: OperatorStore, D: DeletionStore> {
    users: Arc<S>,
    import: Batcher<Flattened<Insert<S>>>,
    hasher: Hasher,
    store: O,
    deletions: Arc<Deletions<S, A, D>>,
}

impl<S: UserStore, A: AttemptStore, O: OperatorStore, D: DeletionStore> Operators<S, A, O, D> {
    /// Creates the service over the store of `users` and over `store`. Its rpcs of deletions are those of
    /// `deletions`.
    pub fn new(
        users: &Users<S, A>,
        deletions: Arc<Deletions<S, A, D>>,
        hasher: Hasher,
        store: O,
    ) -> Self {
        let users = Arc::clone(&users.authenticator().store);
        let import = Flattened(Insert(Arc::clone(&users)));
        Self {
            users,
            import: Batcher::new("user.import", Limits::BULK, import),
            hasher,
            store,
            deletions,
        }
    }

    async fn find(&self, name: String) -> Result<User, Status> {
        let found = self.users.find_by_name(vec![name]).await?.pop().flatten();
        found.ok_or_else(no_such_user)
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
            return Err(no_such_user());
        }
        self.find(name).await
    }

    async fn set_moderator(&self, name: String, moderator: bool) -> Result<User, Status> {
        if !self.store.set_moderator(name.clone(), moderator).await? {
            return Err(no_such_user());
        }
        self.find(name).await
    }

    async fn export(&self, name: String) -> Result<AccountExport, Status> {
        self.store.export(name).await?.ok_or_else(no_such_user)
    }
}

#[tonic::async_trait]
impl<S: UserStore, A: AttemptStore, O: OperatorStore, D: DeletionStore> OperatorService
    for Operators<S, A, O, D>
{
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
                .map(|(before, inserted)| Ok((before.is_some(), import::stored(inserted?)?)))
                .collect())
        })
        .await?;
        Ok(Response::new(proto::ImportUsersResponse {
            results: per_item::results(imported, |(stored_before, user)| proto::ImportUserResult {
                stored_before,
                ..user_to_wire(&user).into()
            }),
        }))
    }

    async fn export_users(
        &self,
        request: Request<proto::ExportUsersRequest>,
    ) -> Result<Response<proto::ExportUsersResponse>, Status> {
        let names = request.into_inner().usernames.into_iter().map(lookup_name);
        let exported = concurrently(names, |name| self.export(name));
        Ok(Response::new(proto::ExportUsersResponse {
            results: per_item::results(exported.await, export_to_wire),
        }))
    }

    async fn reset_passwords(
        &self,
        request: Request<proto::ResetPasswordsRequest>,
    ) -> Result<Response<proto::ResetPasswordsResponse>, Status> {
        let deadline = Deadline::of(&request);
        let resets = request.into_inner().resets.into_iter().map(|reset| {
            validate::password(&reset.one_time_password)?;
            let password = SecretString::from(reset.one_time_password);
            Ok((lookup_name(reset.username)?, password))
        });
        let reset = concurrently(resets, |(name, password)| {
            self.reset(name, password, deadline)
        });
        Ok(Response::new(proto::ResetPasswordsResponse {
            results: per_item::results(reset.await, |user| user_to_wire(&user)),
        }))
    }

    async fn set_moderators(
        &self,
        request: Request<proto::SetModeratorsRequest>,
    ) -> Result<Response<proto::SetModeratorsResponse>, Status> {
        let updates = request.into_inner().updates.into_iter();
        let updates = updates.map(|update| Ok((lookup_name(update.username)?, update.moderator)));
        let set = concurrently(updates, |(name, moderator)| {
            self.set_moderator(name, moderator)
        });
        Ok(Response::new(proto::SetModeratorsResponse {
            results: per_item::results(set.await, |user| user_to_wire(&user)),
        }))
    }

    async fn delete_users(
        &self,
        request: Request<proto::DeleteUsersRequest>,
    ) -> Result<Response<proto::DeleteUsersResponse>, Status> {
        self.deletions.delete_users(request).await
    }

    async fn list_deletions(
        &self,
        request: Request<proto::ListDeletionsRequest>,
    ) -> Result<Response<proto::ListDeletionsResponse>, Status> {
        self.deletions.list_deletions(request).await
    }

    async fn lease_deletions(
        &self,
        request: Request<proto::LeaseDeletionsRequest>,
    ) -> Result<Response<proto::LeaseDeletionsResponse>, Status> {
        self.deletions.lease_deletions(request).await
    }

    async fn conclude_deletions(
        &self,
        request: Request<proto::ConcludeDeletionsRequest>,
    ) -> Result<Response<proto::ConcludeDeletionsResponse>, Status> {
        self.deletions.conclude_deletions(request).await
    }
}

fn export_to_wire(export: AccountExport) -> proto::UserExport {
    let failures = export
        .failures
        .into_iter()
        .map(|failures| proto::SignInFailures {
            client_address: failures.address,
            failures: failures.failures,
            since_millis: failures.started_millis,
        });
    proto::UserExport {
        user: Some(user_to_wire(&export.user)),
        email: export.email,
        password_format: export.pw_hash.format().to_owned(),
        sign_in_failures: failures.collect(),
    }
}
