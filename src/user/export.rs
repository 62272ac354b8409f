//! Export of all data that the services store about one account.

use std::collections::{BTreeSet, HashMap};

use anyhow::Context as _;
use chassis::{deadline::Deadline, per_item, pool::Pool};
use minitwit_client::{accounts::Accounts, address::SuiteAddress, outcome::single};
use minitwit_proto::{
    follower::v1::{
        Direction, ExportFollowsRequest, FollowUpdate,
        operator_service_client::OperatorServiceClient as FollowerOperators,
    },
    message::v1::{
        ExportMessagesRequest, FlaggableMessage,
        operator_service_client::OperatorServiceClient as MessageOperators,
    },
    user::v1::{ExportUsersRequest, UserExport},
};
use serde_json::{Value, json};
use tonic::Status;
use uuid::Uuid;

use super::{CALL_TIMEOUT, call_failed, operators, refused};
use crate::names::{names, of_millis, rfc3339};

/// Exports the account with the given name.
pub(super) async fn export(address: &SuiteAddress, name: &str) -> anyhow::Result<Value> {
    let pools = address.pools();
    let account = account(pools.user.clone(), name, address).await?;
    let user = account
        .user
        .clone()
        .context("the user service sent an account without a name")?;
    let id = Uuid::from_slice(&user.id)?;

    let messages = messages(pools.message.clone(), id)
        .await
        .with_context(|| format!("asking the message service at {}", address.message))?;
    let follows = async |direction| {
        follows(pools.follower.clone(), id, direction)
            .await
            .with_context(|| format!("asking the follower service at {}", address.follower))
    };
    let followees = follows(Direction::Followees).await?;
    let followers = follows(Direction::Followers).await?;

    let related = followees.iter().map(|edge| &edge.followee_id);
    let related = related.chain(followers.iter().map(|edge| &edge.follower_id));
    let related: BTreeSet<Uuid> = related.filter_map(|id| Uuid::from_slice(id).ok()).collect();
    let names = names(&Accounts::new(pools.user), related)
        .await
        .with_context(|| format!("asking the user service at {}", address.user))?;
    let followees = followees
        .iter()
        .filter_map(|edge| follow(&names, &edge.followee_id, edge));
    let followers = followers
        .iter()
        .filter_map(|edge| follow(&names, &edge.follower_id, edge));
    let failures = account.sign_in_failures.iter().map(|failures| {
        json!({
            "address": failures.client_address,
            "failures": failures.failures,
            "since": of_millis(failures.since_millis),
        })
    });
    Ok(json!({
        "id": id.to_string(),
        "name": user.username,
        "email": account.email,
        "registered": rfc3339(id),
        "moderator": user.moderator,
        "avatar_hash": user.avatar_hash,
        "password_format": account.password_format,
        "session_epoch": user.session_epoch,
        "sign_in_failures": failures.collect::<Vec<_>>(),
        "messages": messages.iter().filter_map(message).collect::<Vec<_>>(),
        "follows": followees.collect::<Vec<_>>(),
        "followers": followers.collect::<Vec<_>>(),
    }))
}

async fn account(pool: Pool, name: &str, address: &SuiteAddress) -> anyhow::Result<UserExport> {
    let request = ExportUsersRequest {
        usernames: vec![name.to_owned()],
    };
    let response = operators(pool)
        .export_users(Deadline::after(CALL_TIMEOUT).request(request))
        .await
        .map_err(|status| call_failed(&status, address))?;
    single(response.into_inner().results).map_err(|status| refused(name, &status))
}

/// Reads pages until an empty page follows. `read` receives the last item of the previous page.
async fn all_pages<T>(
    mut read: impl AsyncFnMut(Option<&T>) -> Result<Vec<T>, Status>,
) -> Result<Vec<T>, Status> {
    let mut all: Vec<T> = Vec::new();
    loop {
        let page = read(all.last()).await?;
        if page.is_empty() {
            return Ok(all);
        }
        all.extend(page);
    }
}

async fn messages(pool: Pool, author: Uuid) -> Result<Vec<FlaggableMessage>, Status> {
    let mut client =
        MessageOperators::new(pool).max_decoding_message_size(chassis::grpc::MESSAGE_BYTES_MAX);
    all_pages(async |last: Option<&FlaggableMessage>| {
        let last = last.and_then(|last| last.message.as_ref());
        let request = ExportMessagesRequest {
            author_id: per_item::encode_id(author),
            after_id: last.map(|last| last.id.clone()).unwrap_or_default(),
            ..ExportMessagesRequest::default()
        };
        let request = Deadline::after(CALL_TIMEOUT).request(request);
        Ok(client.export_messages(request).await?.into_inner().messages)
    })
    .await
}

async fn follows(
    pool: Pool,
    account: Uuid,
    direction: Direction,
) -> Result<Vec<FollowUpdate>, Status> {
    let mut client =
        FollowerOperators::new(pool).max_decoding_message_size(chassis::grpc::MESSAGE_BYTES_MAX);
    all_pages(async |last: Option<&FollowUpdate>| {
        let related = |edge: &FollowUpdate| match direction {
            Direction::Followers => edge.follower_id.clone(),
            _ => edge.followee_id.clone(),
        };
        let request = ExportFollowsRequest {
            account_id: per_item::encode_id(account),
            direction: direction.into(),
            after_id: last.map(related).unwrap_or_default(),
            ..ExportFollowsRequest::default()
        };
        let request = Deadline::after(CALL_TIMEOUT).request(request);
        Ok(client.export_follows(request).await?.into_inner().edges)
    })
    .await
}

fn message(flaggable: &FlaggableMessage) -> Option<Value> {
    let message = flaggable.message.as_ref()?;
    let id = Uuid::from_slice(&message.id).ok()?;
    let flag = Uuid::from_slice(&flaggable.flag_stamp).ok();
    Some(json!({
        "id": id.to_string(),
        "published": rfc3339(id),
        "text": message.text,
        "flagged": flaggable.flagged,
        "flag_changed": flag.and_then(rfc3339),
    }))
}

/// Converts a follow relation, or `None` if the related account is deleted.
fn follow(names: &HashMap<Uuid, String>, related: &[u8], edge: &FollowUpdate) -> Option<Value> {
    let related = Uuid::from_slice(related).ok()?;
    let stamp = Uuid::from_slice(&edge.stamp).ok();
    Some(json!({
        "name": names.get(&related)?,
        "following": edge.following,
        "since": stamp.and_then(rfc3339),
    }))
}
