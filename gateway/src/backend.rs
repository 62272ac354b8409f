//! The services as the handlers see them: one call each, whatever it takes behind.
//!
//! Each kind of call has its batcher: concurrent requests share one rpc, and those who want the
//! same thing share one item of it.

use std::sync::Arc;

use chassis::{
    batch::{BatchHandler, Batcher, Limits},
    pool::Pool,
    stamp::Clock,
};
use minitwit_proto::{
    follower::v1::follower_service_client::FollowerServiceClient,
    message::v1::message_service_client::MessageServiceClient,
    user::v1::{
        api_client_service_client::ApiClientServiceClient, user_service_client::UserServiceClient,
    },
};

use crate::meter::Counters;

pub mod accounts;
pub mod deletions;
pub mod follows;
pub(crate) mod keep;
pub mod latest;
pub(crate) mod moderation;
pub(crate) mod reads;
mod sessions;
pub mod timelines;
pub mod writes;

/// The channels to the services.
#[derive(Clone, Debug)]
pub struct Pools {
    /// To the user service.
    pub user: Pool,
    /// To the follower service.
    pub follower: Pool,
    /// To the message service.
    pub message: Pool,
}

/// Everything behind the gateway.
pub struct Backend {
    pub(crate) clock: Arc<Clock>,
    pub(crate) counters: Counters,
    pub(crate) accounts: accounts::Accounts,
    pub(crate) deletions: Arc<deletions::Deletions>,
    pub(crate) latest: latest::Latest,
    pub(crate) timelines: timelines::Timelines,
    pub(crate) follows: follows::Follows,
    pub(crate) messages: writes::Messages,
    pub(crate) reads: reads::Reads,
    pub(crate) moderation: moderation::Moderation,
    pub(crate) pools: Pools,
}

impl Backend {
    /// A backend over the channels; it keeps at most `rendered_bytes_max` of rendered answers.
    pub fn new(pools: Pools, rendered_bytes_max: u64) -> Self {
        let users = UserServiceClient::new(pools.user.clone());
        let api_clients = ApiClientServiceClient::new(pools.user.clone());
        let follower = FollowerServiceClient::new(pools.follower.clone())
            .max_decoding_message_size(chassis::grpc::MESSAGE_BYTES_MAX);
        let message = MessageServiceClient::new(pools.message.clone())
            .max_decoding_message_size(chassis::grpc::MESSAGE_BYTES_MAX);

        let clock = Arc::new(Clock::default());
        let accounts = accounts::Accounts::new(users);
        let kept = keep::Keep::new(rendered_bytes_max);
        Self {
            latest: latest::Latest::new(api_clients, Arc::clone(&clock)),
            reads: reads::Reads::new(follower.clone(), message.clone(), accounts.clone()),
            timelines: timelines::Timelines::new(message.clone(), accounts.clone(), kept.clone()),
            follows: follows::Follows::new(follower, accounts.clone(), Arc::clone(&clock), kept),
            messages: writes::Messages::new(message),
            deletions: deletions::Deletions::new(&pools, accounts.clone()),
            moderation: moderation::Moderation::new(&pools, accounts.clone(), Arc::clone(&clock)),
            counters: Counters::default(),
            accounts,
            clock,
            pools,
        }
    }
}

/// Two rpcs of a kind at a time: one that waits for a stuck replica does not hold up the others,
/// and the more there are, the less is shared.
const LIMITS: Limits = Limits {
    workers: 2,
    batch_weight_max: 128,
    queue_max: 2048,
};

fn batcher<W: BatchHandler>(name: &'static str, work: W) -> Batcher<W> {
    Batcher::new(name, LIMITS, work)
}
