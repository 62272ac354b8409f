//! Everything that the services keep of one account.

use std::collections::{BTreeSet, HashMap};

use anyhow::{Context as _, bail};
use chassis::{deadline::Deadline, per_item, pool::Pool};
use minitwit_proto::{
    follower::v1::{
        Direction, ExportFollowsRequest, FollowUpdate,
        operator_service_client::OperatorServiceClient as FollowerOperators,
    },
    message::v1::{
        ExportMessagesRequest, FlaggableMessage,
        operator_service_client::OperatorServiceClient as MessageOperators,
    },
    user::v1::{ExportUsersRequest, UserExport, export_user_result::Outcome},
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{PATIENCE, answered, operators, refused};
use crate::{
    address::SuiteAddress,
    names::{names, of_millis, rfc3339},
};

/// Everything that is kept of the account of a name.
pub(super) async fn of(address: &SuiteAddress, name: &str) -> anyhow::Result<Value> {
    let pools = address.pools();
    let kept = account(pools.user.clone(), name, address).await?;
    let user = kept.user.clone().context("an account without a name")?;
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

    let others = followees.iter().map(|edge| &edge.followee_id);
    let others = others.chain(followers.iter().map(|edge| &edge.follower_id));
    let others: BTreeSet<Uuid> = others.filter_map(|id| Uuid::from_slice(id).ok()).collect();
    let names = names(pools.user, others)
        .await
        .with_context(|| format!("asking the user service at {}", address.user))?;
    let follow = |other: &[u8], edge: &FollowUpdate| follow(&names, other, edge);
    let followees = followees
        .iter()
        .filter_map(|edge| follow(&edge.followee_id, edge));
    let followers = followers
        .iter()
        .filter_map(|edge| follow(&edge.follower_id, edge));
    let failures = kept.sign_in_failures.iter().map(|failures| {
        json!({
            "address": failures.client_address,
            "failures": failures.failures,
            "since": of_millis(failures.since_millis),
        })
    });
    Ok(json!({
        "id": id.to_string(),
        "name": user.username,
        "email": kept.email,
        "registered": rfc3339(id),
        "moderator": user.moderator,
        "avatar_hash": user.avatar_hash,
        "password_format": kept.password_format,
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
    let mut client = operators(pool);
    let response = client.export_users(Deadline::after(PATIENCE).request(request));
    let response = answered(response.await, &address.user)?;
    match per_item::only(response.results, |result| result.outcome) {
        Some(Outcome::User(kept)) => Ok(kept),
        Some(Outcome::Error(error)) => Err(refused(name, error)),
        None => bail!("the user service did not answer for {name:?}"),
    }
}

async fn messages(pool: Pool, author: Uuid) -> anyhow::Result<Vec<FlaggableMessage>> {
    let mut client =
        MessageOperators::new(pool).max_decoding_message_size(chassis::grpc::MESSAGE_BYTES_MAX);
    let mut all: Vec<FlaggableMessage> = Vec::new();
    loop {
        let last = all.last().and_then(|last| last.message.as_ref());
        let request = ExportMessagesRequest {
            author_id: per_item::encode_id(author),
            after_id: last.map(|last| last.id.clone()).unwrap_or_default(),
        };
        let response = client
            .export_messages(Deadline::after(PATIENCE).request(request))
            .await?;
        let page = response.into_inner().messages;
        if page.is_empty() {
            return Ok(all);
        }
        all.extend(page);
    }
}

async fn follows(
    pool: Pool,
    account: Uuid,
    direction: Direction,
) -> anyhow::Result<Vec<FollowUpdate>> {
    let mut client =
        FollowerOperators::new(pool).max_decoding_message_size(chassis::grpc::MESSAGE_BYTES_MAX);
    let mut all: Vec<FollowUpdate> = Vec::new();
    loop {
        let other = |edge: &FollowUpdate| match direction {
            Direction::Followers => edge.follower_id.clone(),
            _ => edge.followee_id.clone(),
        };
        let request = ExportFollowsRequest {
            account_id: per_item::encode_id(account),
            direction: direction.into(),
            after_id: all.last().map(other).unwrap_or_default(),
        };
        let response = client
            .export_follows(Deadline::after(PATIENCE).request(request))
            .await?;
        let page = response.into_inner().edges;
        if page.is_empty() {
            return Ok(all);
        }
        all.extend(page);
    }
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

/// An edge; `None` when whoever is at the other end is gone.
fn follow(names: &HashMap<Uuid, String>, other: &[u8], edge: &FollowUpdate) -> Option<Value> {
    let other = Uuid::from_slice(other).ok()?;
    let stamp = Uuid::from_slice(&edge.stamp).ok();
    Some(json!({
        "name": names.get(&other)?,
        "following": edge.following,
        "since": stamp.and_then(rfc3339),
    }))
}
