//! Posts of messages, and messages with their authors.

use std::sync::Arc;

use chassis::{
    batch::{BatchHandler, Batcher},
    deadline::Deadline,
    per_item,
    pool::Pool,
};
use minitwit_proto::message::v1::{
    CreateMessagesRequest, NewMessage, message_service_client::MessageServiceClient,
};
use tonic::Status;
use uuid::Uuid;

use crate::{accounts::Account, batching::batcher, outcome::each};

/// Message with its author.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Id of the message, whose time is the time of publication.
    pub id: Uuid,
    /// Account that wrote the message.
    pub author: Arc<Account>,
    /// Text, exactly as posted.
    pub text: String,
}

/// Posts messages to the message service.
pub struct Messages {
    posts: Batcher<Post>,
}

impl Messages {
    /// Posts messages by `client`.
    pub fn new(client: MessageServiceClient<Pool>) -> Self {
        Self {
            posts: batcher("gateway.create_messages", Post { client }),
        }
    }

    /// Stores a message. Its key is its id, and the time of the key is the time of publication.
    pub async fn post(
        &self,
        author: Uuid,
        text: String,
        key: Uuid,
        deadline: Deadline,
    ) -> Result<(), Status> {
        let message = NewMessage {
            id: per_item::encode_id(key),
            author_id: per_item::encode_id(author),
            text,
        };
        self.posts.call(message, deadline).await
    }
}

struct Post {
    client: MessageServiceClient<Pool>,
}

impl BatchHandler for Post {
    type Item = NewMessage;
    type Output = ();

    async fn run(
        &self,
        messages: Vec<NewMessage>,
        deadline: Deadline,
    ) -> Result<Vec<Result<(), Status>>, Status> {
        let request = deadline.request(CreateMessagesRequest { messages });
        let response = self.client.clone().create_messages(request).await?;
        Ok(each(response.into_inner().results))
    }
}
