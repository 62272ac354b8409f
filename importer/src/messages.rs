//! Import of the old system's messages.

use chassis::per_item;
use minitwit_client::outcome::ItemResult as _;
use minitwit_proto::{
    limits::TEXT_BYTES_MAX,
    message::v1::{
        ImportMessageResult, ImportMessagesRequest, ImportedMessage,
        import_message_result::Outcome, operator_service_client::OperatorServiceClient,
    },
};

use crate::{
    accounts::{Accounts, NoAccount},
    key,
    old::{OldDatabase, OldMessage},
    progress::Stage,
    report::Report,
    run::ImportJob,
    sender::{Row, Sender, request},
};

/// Name of the moderator of all imported flags.
const MODERATOR: &str = "the old system";

/// Checks a row. Returns the message to import, or the number of the row and the reason.
fn check(message: OldMessage, accounts: &Accounts) -> Result<Row<ImportedMessage>, (i64, String)> {
    let number = message.message_id.unwrap_or(message.row);
    let content = imported(message, accounts).map_err(|reason| (number, reason))?;
    Ok(Row { number, content })
}

fn imported(message: OldMessage, accounts: &Accounts) -> Result<ImportedMessage, String> {
    let message_id = message.message_id.ok_or("it has no number")?;
    let user_id = message.author_id.ok_or("its author is no number")?;
    let author = accounts.get(user_id).map_err(|reason| match reason {
        NoAccount::Unknown => format!("its author, user {user_id}, does not exist"),
        NoAccount::NotImported => format!("its author, user {user_id}, was not brought over"),
    })?;
    let text = message.text.take("the text", TEXT_BYTES_MAX)?;
    let millis = message
        .published_millis
        .ok_or("its time of publication is no number")?;
    let id = key::message(message_id, user_id, millis, &text)
        .ok_or("its time of publication, or its number, is out of bounds")?;
    Ok(ImportedMessage {
        id: per_item::encode_id(id),
        author_id: per_item::encode_id(author),
        text,
        flagged: message.flagged,
    })
}

/// Imports the messages.
pub(crate) async fn import(
    job: &ImportJob<'_>,
    old: &OldDatabase,
    accounts: &Accounts,
    report: &mut Report,
) -> anyhow::Result<()> {
    report.messages.rows = old.count("message").await?;
    let stage = Stage::begin("messages", report.messages.rows);
    let tally = std::cell::RefCell::new(&mut report.messages);
    let mut after = i64::MIN;
    let next = async || {
        let page = old.messages(after, job.args.batch).await?;
        let Some(last) = page.last() else {
            return Ok(None);
        };
        after = last.row;
        let mut rows = Vec::with_capacity(page.len());
        for message in page {
            match check(message, accounts) {
                Ok(row) => rows.push(row),
                Err((number, reason)) => {
                    stage.step();
                    tally.borrow_mut().refuse(number, reason);
                }
            }
        }
        Ok(Some(rows))
    };
    let done = |row: Row<ImportedMessage>, result: ImportMessageResult| {
        stage.step();
        let mut tally = tally.borrow_mut();
        let stored_before = result.stored_before;
        match result.into_result() {
            Ok(()) => tally.stored(stored_before),
            Err(status) => tally.refuse(row.number, status.message()),
        }
    };
    let sender = Sender::new("message", job.args, &stage);
    let Some(services) = job.services else {
        let send = async |messages: Vec<_>| {
            let applied = ImportMessageResult {
                outcome: Some(Outcome::Applied(minitwit_proto::common::v1::Applied {})),
                stored_before: false,
            };
            Ok(vec![applied; messages.len()])
        };
        return sender.send_all(next, send, done).await;
    };
    let client = OperatorServiceClient::new(services.message.clone())
        .max_decoding_message_size(chassis::grpc::MESSAGE_BYTES_MAX);
    let send = async |messages| {
        let mut client = client.clone();
        let message = ImportMessagesRequest {
            messages,
            moderator: MODERATOR.to_owned(),
        };
        let response = client.import_messages(request(message));
        Ok(response.await?.into_inner().results)
    };
    sender.send_all(next, send, done).await
}
