//! Answers of the operator's hand on their way out.

use chassis::per_item;
use minitwit_proto::{
    common::v1::Applied,
    user::v1::{self as proto, delete_user_result, export_user_result, import_user_result},
};
use tonic::Status;

use super::store::{AccountExport, Deleted, Lease};
use crate::{service::user_to_wire, store::User};

pub(super) fn imported(imported: Result<(bool, User), Status>) -> proto::ImportUserResult {
    use import_user_result::Outcome;
    match imported {
        Ok((stored_before, user)) => proto::ImportUserResult {
            outcome: Some(Outcome::User(user_to_wire(&user))),
            stored_before,
        },
        Err(status) => proto::ImportUserResult {
            outcome: Some(Outcome::Error(per_item::error(&status))),
            stored_before: false,
        },
    }
}

pub(super) fn exported(exported: Result<AccountExport, Status>) -> proto::ExportUserResult {
    use export_user_result::Outcome;
    proto::ExportUserResult {
        outcome: Some(match exported {
            Ok(kept) => Outcome::User(export(kept)),
            Err(status) => Outcome::Error(per_item::error(&status)),
        }),
    }
}

fn export(kept: AccountExport) -> proto::UserExport {
    let failures = kept
        .failures
        .into_iter()
        .map(|of_address| proto::SignInFailures {
            client_address: of_address.address,
            failures: of_address.failures,
            since_millis: of_address.started_millis,
        });
    proto::UserExport {
        user: Some(user_to_wire(&kept.user)),
        email: kept.email,
        password_format: kept.pw_hash.format().to_owned(),
        sign_in_failures: failures.collect(),
    }
}

pub(super) fn deleted(deleted: Result<(), Status>) -> proto::DeleteUserResult {
    use delete_user_result::Outcome;
    proto::DeleteUserResult {
        outcome: Some(match deleted {
            Ok(()) => Outcome::Applied(Applied {}),
            Err(status) => Outcome::Error(per_item::error(&status)),
        }),
    }
}

pub(super) fn deleted_user(deleted: Deleted) -> proto::DeletedUser {
    proto::DeletedUser {
        account_id: per_item::encode_id(deleted.id),
        username: deleted.username,
    }
}

pub(super) fn lease(lease: Lease) -> proto::DeletionLease {
    proto::DeletionLease {
        account_id: per_item::encode_id(lease.account_id),
        leased_millis: lease.leased_millis,
    }
}
