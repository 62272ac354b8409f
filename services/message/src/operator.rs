//! The operator's hand: import, export, the list of flagged messages, and what goes with its author.

use std::sync::Arc;

use chassis::{
    batch::{Batcher, Flattened, Limits},
    deadline::Deadline,
    per_item::{self, answer_each},
};
use minitwit_proto::{
    common::v1::Applied,
    limits::{EXPORT_ITEMS_MAX, FLAGGED_MESSAGES_MAX, IMPORT_ITEMS_MAX},
    message::v1::{self as proto, import_message_result, operator_service_server::OperatorService},
};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::{
    operator::{
        batches::Import,
        store::{FlaggableMessage, ImportedMessage, OperatorStore},
    },
    service,
};

mod batches;
pub mod store;

/// The service over a store.
pub struct Operators<S: OperatorStore> {
    import: Batcher<Flattened<Import<S>>>,
    store: Arc<S>,
}

impl<S: OperatorStore> Operators<S> {
    /// The service over `store`.
    pub fn new(store: S) -> Self {
        let store = Arc::new(store);
        let import = Flattened(Import(Arc::clone(&store)));
        Self {
            import: Batcher::new("message.import", Limits::BULK, import),
            store,
        }
    }
}

#[tonic::async_trait]
impl<S: OperatorStore> OperatorService for Operators<S> {
    async fn import_messages(
        &self,
        request: Request<proto::ImportMessagesRequest>,
    ) -> Result<Response<proto::ImportMessagesResponse>, Status> {
        use import_message_result::Outcome;
        let deadline = Deadline::of(&request);
        let proto::ImportMessagesRequest {
            messages,
            moderator,
        } = request.into_inner();
        per_item::check_length(
            "messages are imported",
            &messages,
            IMPORT_ITEMS_MAX as usize,
        )?;
        let messages = messages
            .into_iter()
            .map(|message| imported(message, &moderator));
        let imported = answer_each(messages, async |valid| {
            self.import.call(valid, deadline).await
        })
        .await?;
        let results = imported.into_iter().map(|imported| match imported {
            Ok(stored_before) => proto::ImportMessageResult {
                outcome: Some(Outcome::Applied(Applied {})),
                stored_before,
            },
            Err(status) => proto::ImportMessageResult {
                outcome: Some(Outcome::Error(per_item::error(&status))),
                stored_before: false,
            },
        });
        Ok(Response::new(proto::ImportMessagesResponse {
            results: results.collect(),
        }))
    }

    async fn export_messages(
        &self,
        request: Request<proto::ExportMessagesRequest>,
    ) -> Result<Response<proto::ExportMessagesResponse>, Status> {
        let request = request.into_inner();
        let author = per_item::id("author_id", &request.author_id)?;
        let after = per_item::id_or("after_id", &request.after_id, Uuid::nil())?;
        let after = per_item::id_or("page_token", &request.page_token, after)?;
        let messages = self.store.export(author, after).await?;
        let last = messages.last().map(|last| last.message.id);
        let next = last.filter(|_| messages.len() >= EXPORT_ITEMS_MAX);
        Ok(Response::new(proto::ExportMessagesResponse {
            next_page_token: next.map(per_item::encode_id).unwrap_or_default(),
            messages: messages.into_iter().map(to_wire).collect(),
        }))
    }

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
            next_page_token: next.map(per_item::encode_id).unwrap_or_default(),
            messages: messages.into_iter().map(to_wire).collect(),
        }))
    }

    async fn delete_messages(
        &self,
        request: Request<proto::DeleteMessagesRequest>,
    ) -> Result<Response<proto::DeleteMessagesResponse>, Status> {
        let ids = request.into_inner().author_ids;
        let authors: Vec<Uuid> = per_item::each_id("author_id", &ids)?;
        if authors.is_empty() {
            return Ok(Response::new(proto::DeleteMessagesResponse::default()));
        }
        let more = self.store.delete(authors).await?;
        Ok(Response::new(proto::DeleteMessagesResponse { more }))
    }
}

fn imported(message: proto::ImportedMessage, moderator: &str) -> Result<ImportedMessage, Status> {
    let new = proto::NewMessage {
        id: message.id,
        author_id: message.author_id,
        text: message.text,
    };
    Ok(ImportedMessage {
        message: service::new_message(new)?,
        flagged_by: message.flagged.then(|| moderator.to_owned()),
    })
}

fn to_wire(flaggable: FlaggableMessage) -> proto::FlaggableMessage {
    let optional = |id: Option<Uuid>| {
        let id = id.filter(|id| !id.is_nil());
        id.map_or_else(Vec::new, |id| id.as_bytes().to_vec()).into()
    };
    proto::FlaggableMessage {
        message: Some(service::message_to_wire(&flaggable.message)),
        flagged: flaggable.flagged,
        flag_stamp: optional(flaggable.flag_stamp),
        moderator: flaggable.flagged_by.unwrap_or_default(),
        moderator_id: optional(flaggable.flagged_by_id),
    }
}
