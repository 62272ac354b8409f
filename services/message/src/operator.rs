//! The gRPC service of operators for import and export.

use std::sync::Arc;

use chassis::{
    batch::{Batcher, Flattened, Limits},
    deadline::Deadline,
    per_item::{self, answer_each},
};
use minitwit_proto::{
    common::v1::Applied,
    limits::{EXPORT_ITEMS_MAX, IMPORT_ITEMS_MAX},
    message::v1::{
        self as proto, deletion_service_server::DeletionService,
        moderation_service_server::ModerationService, operator_service_server::OperatorService,
    },
};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::{
    deletion::{Deletions, store::DeletionStore},
    moderation::{Moderation, flaggable_to_wire, store::ModerationStore},
    operator::{
        batches::Import,
        store::{ImportedMessage, OperatorStore},
    },
    service,
};

mod batches;
pub mod store;

/// The `OperatorService` over a store.
pub struct Operators<S: OperatorStore, M: ModerationStore, D: DeletionStore> {
    import: Batcher<Flattened<Import<S>>>,
    store: Arc<S>,
    moderation: Arc<Moderation<M>>,
    deletions: Arc<Deletions<D>>,
}

impl<S: OperatorStore, M: ModerationStore, D: DeletionStore> Operators<S, M, D> {
    /// Creates the service over `store`. Its rpcs of flagged messages and of deletions are those of
    /// `moderation` and `deletions`.
    pub fn new(store: S, moderation: Arc<Moderation<M>>, deletions: Arc<Deletions<D>>) -> Self {
        let store = Arc::new(store);
        let import = Flattened(Import(Arc::clone(&store)));
        Self {
            import: Batcher::new("message.import", Limits::BULK, import),
            store,
            moderation,
            deletions,
        }
    }
}

#[tonic::async_trait]
impl<S: OperatorStore, M: ModerationStore, D: DeletionStore> OperatorService
    for Operators<S, M, D>
{
    async fn import_messages(
        &self,
        request: Request<proto::ImportMessagesRequest>,
    ) -> Result<Response<proto::ImportMessagesResponse>, Status> {
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
        Ok(Response::new(proto::ImportMessagesResponse {
            results: per_item::results(imported, |stored_before| proto::ImportMessageResult {
                stored_before,
                ..Applied {}.into()
            }),
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
            messages: messages.into_iter().map(flaggable_to_wire).collect(),
            next_page_token: next.map(per_item::encode_id).unwrap_or_default(),
        }))
    }

    async fn list_flagged(
        &self,
        request: Request<proto::ListFlaggedRequest>,
    ) -> Result<Response<proto::ListFlaggedResponse>, Status> {
        self.moderation.list_flagged(request).await
    }

    async fn delete_messages(
        &self,
        request: Request<proto::DeleteMessagesRequest>,
    ) -> Result<Response<proto::DeleteMessagesResponse>, Status> {
        self.deletions.delete_messages(request).await
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
