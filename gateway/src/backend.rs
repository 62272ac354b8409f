//! Calls of the services, as the handlers use them.
//!
//! Calls without rendering come from [`minitwit_client`]. The lists that clients read, `timelines` and
//! `follows`, are rendered and cached here.

use std::sync::Arc;

use chassis::stamp::Clock;
use minitwit_client::{
    Pools, accounts::Accounts, deletion::DeletionWatch, follows::FollowWrites, messages::Messages,
    reads::Reads,
};
use minitwit_proto::{
    follower::v1::follower_service_client::FollowerServiceClient,
    message::v1::message_service_client::MessageServiceClient,
};

use crate::meter::Counters;

pub(crate) mod background;
pub mod follows;
pub(crate) mod keys;
pub mod latest;
pub(crate) mod moderation;
pub(crate) mod render_cache;
pub mod timelines;

/// Calls of the services and the caches of one gateway.
///
/// The background tasks run while the gateway serves.
pub struct Backend {
    pub(crate) clock: Arc<Clock>,
    pub(crate) counters: Counters,
    pub(crate) accounts: Accounts,
    pub(crate) deletions: DeletionWatch,
    pub(crate) latest: latest::Latest,
    pub(crate) timelines: timelines::Timelines,
    pub(crate) follows: follows::Follows,
    pub(crate) follow_writes: FollowWrites,
    pub(crate) messages: Messages,
    pub(crate) reads: Reads,
    pub(crate) moderation: moderation::Moderation,
    pub(crate) pools: Pools,
}

impl Backend {
    /// Creates a backend that calls the services behind `pools`. Its cache of rendered lists holds at
    /// most `rendered_bytes_max` bytes.
    pub fn new(pools: Pools, rendered_bytes_max: u64) -> Self {
        let follower = FollowerServiceClient::new(pools.follower.clone())
            .max_decoding_message_size(chassis::grpc::MESSAGE_BYTES_MAX);
        let message = MessageServiceClient::new(pools.message.clone())
            .max_decoding_message_size(chassis::grpc::MESSAGE_BYTES_MAX);

        let clock = Arc::new(Clock::default());
        let accounts = Accounts::new(pools.user.clone());
        let cache = render_cache::RenderCache::new(rendered_bytes_max);
        Self {
            latest: latest::Latest::new(pools.user.clone(), Arc::clone(&clock)),
            reads: Reads::new(follower.clone(), message.clone(), accounts.clone()),
            timelines: timelines::Timelines::new(message.clone(), accounts.clone(), cache.clone()),
            follows: follows::Follows::new(follower.clone(), accounts.clone(), cache),
            follow_writes: FollowWrites::new(follower, Arc::clone(&clock)),
            messages: Messages::new(message),
            deletions: DeletionWatch::new(&pools, accounts.clone()),
            moderation: moderation::Moderation::new(&pools, accounts.clone(), Arc::clone(&clock)),
            counters: Counters::default(),
            accounts,
            clock,
            pools,
        }
    }
}
