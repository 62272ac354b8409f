//! Writes under a key: what a repeated, hedged or overtaken one comes to.

use chassis::{
    batch::{BatchHandler, Batcher},
    deadline::Deadline,
    per_item::{self, WriteOutcome},
    pool::Pool,
    stamp::{self, Clock},
};
use minitwit_proto::{
    common::v1::Superseded,
    message::v1::{
        CreateMessagesRequest, NewMessage, create_message_result,
        message_service_client::MessageServiceClient,
    },
};
use tonic::Status;
use uuid::Uuid;

use super::{accounts::incomplete, batcher};

/// A write older than this is not sent again under a new stamp: longer than any caller waits for one,
/// and more than clocks that are kept differ.
const AGE_MAX_MILLIS: u64 = 1_000;

/// Writes a state until it stands. A greater stamp that was stored before ours came from a clock
/// ahead of ours, so the clock moves past it and the write, still alive, is sent again; a write
/// whose caller has gone is not, and so can undo nothing when it is delivered late. Nor is one that
/// an edge named long ago: this process was frozen, and the edge has repeated it elsewhere.
pub(super) async fn outlast<F>(
    clock: &Clock,
    key: Uuid,
    write: impl Fn(Uuid) -> F,
) -> Result<(), Status>
where
    F: Future<Output = Result<WriteOutcome, Status>>,
{
    let mut current = key;
    loop {
        match write(current).await? {
            WriteOutcome::Applied => return Ok(()),
            WriteOutcome::Superseded(stored) => {
                if stamp::unix_millis().saturating_sub(stamp::millis(key)) > AGE_MAX_MILLIS {
                    return Err(Status::unavailable("overtaken by a later write"));
                }
                clock.observe(stored);
                current = clock.stamp();
            }
        }
    }
}

/// Reads a greater stored stamp from the wire.
pub(super) fn superseded_by(superseded: &Superseded) -> Result<WriteOutcome, Status> {
    per_item::id("stored_stamp", &superseded.stored_stamp).map(WriteOutcome::Superseded)
}

/// The writes of the message service.
pub(crate) struct Messages {
    posts: Batcher<Post>,
}

impl Messages {
    pub(super) fn new(client: MessageServiceClient<Pool>) -> Self {
        Self {
            posts: batcher("gateway.create_messages", Post { client }),
        }
    }

    /// Stores a message; its key is its id, and its time the time of publication.
    pub(crate) async fn post(
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
        use create_message_result::Outcome;
        let request = deadline.request(CreateMessagesRequest { messages });
        let response = self
            .client
            .clone()
            .create_messages(request)
            .await?
            .into_inner();
        let results = response
            .results
            .into_iter()
            .map(|result| match result.outcome {
                Some(Outcome::Applied(_)) => Ok(()),
                Some(Outcome::Error(error)) => Err(per_item::status(error)),
                None => Err(incomplete()),
            });
        Ok(results.collect())
    }
}
