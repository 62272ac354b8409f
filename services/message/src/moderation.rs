//! The gRPC service of moderators, which lists flagged messages.

use chassis::per_item;
use minitwit_proto::{
    limits::FLAGGED_MESSAGES_MAX,
    message::v1::{self as proto, moderation_service_server::ModerationService},
};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::{
    moderation::store::{FlaggableMessage, ModerationStore},
    service,
};

pub mod store;

/// The `ModerationService` over a store.
pub struct Moderation<M: ModerationStore> {
    store: M,
}

impl<M: ModerationStore> Moderation<M> {
    /// Creates the service over `store`.
    pub fn new(store: M) -> Self {
        Self { store }
    }
}

#[tonic::async_trait]
impl<M: ModerationStore> ModerationService for Moderation<M> {
    async fn list_flagged(
        &self,
        request: Request<proto::ListFlaggedRequest>,
    ) -> Result<Response<proto::ListFlaggedResponse>, Status> {
        let request = request.into_inner();
        let before = per_item::id_or("before_stamp", &request.before_stamp, Uuid::max())?;
        let before = per_item::id_or("page_token", &request.page_token, before)?;
        let messages = self.store.flagged(before).await?;
        let last = messages.last().and_then(|last| last.flag_stamp);
        let next = last.filter(|_| messages.len() >= FLAGGED_MESSAGES_MAX);
        Ok(Response::new(proto::ListFlaggedResponse {
            messages: messages.into_iter().map(flaggable_to_wire).collect(),
            next_page_token: next.map(per_item::encode_id).unwrap_or_default(),
        }))
    }
}

pub(crate) fn flaggable_to_wire(flaggable: FlaggableMessage) -> proto::FlaggableMessage {
    let optional = |id: Option<Uuid>| {
        let id = id.filter(|id| !id.is_nil());
        id.map(per_item::encode_id).unwrap_or_default()
    };
    proto::FlaggableMessage {
        message: Some(service::message_to_wire(&flaggable.message)),
        flagged: flaggable.flagged,
        flag_stamp: optional(flaggable.flag_stamp),
        moderator: flaggable.flagged_by.unwrap_or_default(),
        moderator_id: optional(flaggable.flagged_by_id),
    }
}
