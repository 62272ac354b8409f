//! The old system's messages on their way.

use chassis::per_item;
use minitwit_proto::{
    limits::TEXT_BYTES_MAX,
    message::v1::{
        ImportMessageResult, ImportMessagesRequest, ImportedMessage,
        import_message_result::Outcome, operator_service_client::OperatorServiceClient,
    },
};

use crate::{
    accounts::{Accounts, NoAccount},
    courier::{Courier, Parcel, request},
    key,
    old::{OldDatabase, OldMessage},
    progress::Stage,
    report::Report,
    run::Import,
};

/// Who has flagged what comes flagged.
const MODERATOR: &str = "the old system";

/// Judges a row: a message to be brought over under its number, or the reason why not.
fn judge(
    message: OldMessage,
    accounts: &Accounts,
) -> Result<Parcel<ImportedMessage>, (i64, String)> {
    let row = message.message_id.unwrap_or(message.row);
    let content = imported(message, accounts).map_err(|reason| (row, reason))?;
    Ok(Parcel { row, content })
}

fn imported(message: OldMessage, accounts: &Accounts) -> Result<ImportedMessage, String> {
    let message_id = message.message_id.ok_or("it has no number")?;
    let user_id = message.author_id.ok_or("its author is no number")?;
    let author = accounts.get(user_id).map_err(|why| match why {
        NoAccount::Unknown => format!("its author, user {user_id}, does not exist"),
        NoAccount::NotBrought => format!("its author, user {user_id}, was not brought over"),
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

/// Brings the messages over.
pub(crate) async fn bring(
    import: &Import<'_>,
    old: &OldDatabase,
    accounts: &Accounts,
    report: &mut Report,
) -> anyhow::Result<()> {
    let rows = old.count("message").await?;
    report.messages.rows = rows;
    let stage = Stage::begin("messages", rows);
    let tally = std::cell::RefCell::new(&mut report.messages);
    let mut after = i64::MIN;
    let next = async || {
        let page = old.messages(after, import.args.batch).await?;
        let Some(last) = page.last() else {
            return Ok(None);
        };
        after = last.row;
        let mut parcels = Vec::with_capacity(page.len());
        for message in page {
            match judge(message, accounts) {
                Ok(parcel) => parcels.push(parcel),
                Err((row, reason)) => {
                    stage.step();
                    tally.borrow_mut().refuse(row, reason);
                }
            }
        }
        Ok(Some(parcels))
    };
    let done = |parcel: Parcel<ImportedMessage>, said: ImportMessageResult| {
        stage.step();
        let mut tally = tally.borrow_mut();
        match said.outcome {
            Some(Outcome::Applied(_)) => tally.delivered(said.stored_before),
            Some(Outcome::Error(error)) => tally.refuse(parcel.row, error.message),
            None => tally.refuse(parcel.row, "the service did not say what became of it"),
        }
    };
    let courier = Courier::new("message", import.args, &stage);
    let Some(services) = import.services else {
        let send = async |messages: Vec<_>| {
            let applied = ImportMessageResult {
                outcome: Some(Outcome::Applied(minitwit_proto::common::v1::Applied {})),
                stored_before: false,
            };
            Ok(vec![applied; messages.len()])
        };
        return courier.carry(next, send, done).await;
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
    courier.carry(next, send, done).await
}
