//! Import of the old system's follow relations.

use std::collections::HashMap;

use chassis::per_item;
use minitwit_client::outcome::ItemResult as _;
use minitwit_proto::follower::v1::{
    FollowUpdate, ImportFollowResult, ImportFollowsRequest, import_follow_result::Outcome,
    operator_service_client::OperatorServiceClient,
};
use uuid::Uuid;

use crate::{
    accounts::{Accounts, NoAccount},
    key,
    old::{OldDatabase, OldFollow},
    progress::Stage,
    report::{Report, Tally},
    run::ImportJob,
    sender::{Row, Sender, request},
};

/// Check of the rows, which recognises repeated relations.
struct FollowCheck<'a> {
    accounts: &'a Accounts,
    /// Row that each relation was found in first.
    seen: HashMap<(Uuid, Uuid), i64>,
}

impl FollowCheck<'_> {
    /// Checks a row. Returns the relation to import, or adds the reason to `tally`.
    fn check(&mut self, follow: OldFollow, tally: &mut Tally) -> Option<Row<FollowUpdate>> {
        match self.edge(follow) {
            Ok((follower, followee)) => {
                if let Some(first) = self.seen.get(&(follower, followee)) {
                    tally.merge(follow.row, format!("it says the same as row {first}"));
                    return None;
                }
                let Some(stamp) = key::follow(follow.row) else {
                    tally.refuse(follow.row, "its number is out of bounds");
                    return None;
                };
                self.seen.insert((follower, followee), follow.row);
                Some(Row {
                    number: follow.row,
                    content: FollowUpdate {
                        follower_id: per_item::encode_id(follower),
                        followee_id: per_item::encode_id(followee),
                        following: true,
                        stamp: per_item::encode_id(stamp),
                    },
                })
            }
            Err(reason) => {
                tally.refuse(follow.row, reason);
                None
            }
        }
    }

    fn edge(&self, follow: OldFollow) -> Result<(Uuid, Uuid), String> {
        let follower = self.account("who", follow.who_id)?;
        let followee = self.account("whom", follow.whom_id)?;
        Ok((follower, followee))
    }

    fn account(&self, column: &str, user_id: Option<i64>) -> Result<Uuid, String> {
        let user_id = user_id.ok_or_else(|| format!("{column} it is about is no number"))?;
        self.accounts.get(user_id).map_err(|reason| match reason {
            NoAccount::Unknown => format!("there is no user {user_id}"),
            NoAccount::NotImported => format!("user {user_id} was not brought over"),
        })
    }
}

/// Imports the follow relations.
pub(crate) async fn import(
    job: &ImportJob<'_>,
    old: &OldDatabase,
    accounts: &Accounts,
    report: &mut Report,
) -> anyhow::Result<()> {
    report.follows.rows = old.count("follower").await?;
    let stage = Stage::begin("follows", report.follows.rows);
    let mut follow_check = FollowCheck {
        accounts,
        seen: HashMap::new(),
    };
    let tally = std::cell::RefCell::new(&mut report.follows);
    let mut after = i64::MIN;
    let next = async || {
        let page = old.follows(after, job.args.batch).await?;
        let Some(last) = page.last() else {
            return Ok(None);
        };
        after = last.row;
        let mut rows = Vec::with_capacity(page.len());
        for follow in page {
            match follow_check.check(follow, &mut tally.borrow_mut()) {
                Some(row) => rows.push(row),
                None => stage.step(),
            }
        }
        Ok(Some(rows))
    };
    let done = |row: Row<FollowUpdate>, result: ImportFollowResult| {
        stage.step();
        let mut tally = tally.borrow_mut();
        let stored_before = result.stored_before;
        match result.into_result() {
            Ok(()) => tally.stored(stored_before),
            Err(status) => tally.refuse(row.number, status.message()),
        }
    };
    let sender = Sender::new("follower", job.args, &stage);
    let Some(services) = job.services else {
        let send = async |updates: Vec<_>| {
            let applied = ImportFollowResult {
                outcome: Some(Outcome::Applied(minitwit_proto::common::v1::Applied {})),
                stored_before: false,
            };
            Ok(vec![applied; updates.len()])
        };
        return sender.send_all(next, send, done).await;
    };
    let client = OperatorServiceClient::new(services.follower.clone())
        .max_decoding_message_size(chassis::grpc::MESSAGE_BYTES_MAX);
    let send = async |updates| {
        let mut client = client.clone();
        let response = client.import_follows(request(ImportFollowsRequest { updates }));
        Ok(response.await?.into_inner().results)
    };
    sender.send_all(next, send, done).await
}
