//! The old system's follows on their way to become edges.

use std::collections::HashMap;

use chassis::per_item;
use minitwit_proto::follower::v1::{
    FollowUpdate, ImportFollowResult, ImportFollowsRequest, import_follow_result::Outcome,
    operator_service_client::OperatorServiceClient,
};
use uuid::Uuid;

use crate::{
    accounts::{Accounts, NoAccount},
    courier::{Courier, Parcel, request},
    key,
    old::{OldDatabase, OldFollow},
    progress::Stage,
    report::{Report, Tally},
    run::Import,
};

/// Judges follows.
struct Judge<'a> {
    accounts: &'a Accounts,
    /// Which row has brought an edge.
    seen: HashMap<(Uuid, Uuid), i64>,
}

impl Judge<'_> {
    fn judge(&mut self, follow: OldFollow, tally: &mut Tally) -> Option<Parcel<FollowUpdate>> {
        match self.edge(follow) {
            Ok((from, to)) => {
                if let Some(first) = self.seen.get(&(from, to)) {
                    tally.merge(follow.row, format!("it says the same as row {first}"));
                    return None;
                }
                let Some(stamp) = key::follow(follow.row) else {
                    tally.refuse(follow.row, "its number is out of bounds");
                    return None;
                };
                self.seen.insert((from, to), follow.row);
                Some(Parcel {
                    row: follow.row,
                    content: FollowUpdate {
                        follower_id: per_item::encode_id(from),
                        followee_id: per_item::encode_id(to),
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
        let who = self.account("who", follow.who_id)?;
        let whom = self.account("whom", follow.whom_id)?;
        Ok((who, whom))
    }

    fn account(&self, what: &str, user_id: Option<i64>) -> Result<Uuid, String> {
        let user_id = user_id.ok_or_else(|| format!("{what} it is about is no number"))?;
        self.accounts.get(user_id).map_err(|why| match why {
            NoAccount::Unknown => format!("there is no user {user_id}"),
            NoAccount::NotBrought => format!("user {user_id} was not brought over"),
        })
    }
}

/// Brings the follows over.
pub(crate) async fn bring(
    import: &Import<'_>,
    old: &OldDatabase,
    accounts: &Accounts,
    report: &mut Report,
) -> anyhow::Result<()> {
    let rows = old.count("follower").await?;
    report.follows.rows = rows;
    let stage = Stage::begin("follows", rows);
    let mut judge = Judge {
        accounts,
        seen: HashMap::new(),
    };
    let tally = std::cell::RefCell::new(&mut report.follows);
    let mut after = i64::MIN;
    let next = async || {
        let page = old.follows(after, import.args.batch).await?;
        let Some(last) = page.last() else {
            return Ok(None);
        };
        after = last.row;
        let mut parcels = Vec::with_capacity(page.len());
        for follow in page {
            match judge.judge(follow, &mut tally.borrow_mut()) {
                Some(parcel) => parcels.push(parcel),
                None => stage.step(),
            }
        }
        Ok(Some(parcels))
    };
    let done = |parcel: Parcel<FollowUpdate>, said: ImportFollowResult| {
        stage.step();
        let mut tally = tally.borrow_mut();
        match said.outcome {
            Some(Outcome::Applied(_)) => tally.delivered(said.stored_before),
            Some(Outcome::Error(error)) => tally.refuse(parcel.row, error.message),
            None => tally.refuse(parcel.row, "the service did not say what became of it"),
        }
    };
    let courier = Courier::new("follower", import.args, &stage);
    let Some(services) = import.services else {
        let send = async |updates: Vec<_>| {
            let applied = ImportFollowResult {
                outcome: Some(Outcome::Applied(minitwit_proto::common::v1::Applied {})),
                stored_before: false,
            };
            Ok(vec![applied; updates.len()])
        };
        return courier.carry(next, send, done).await;
    };
    let client = OperatorServiceClient::new(services.follower.clone())
        .max_decoding_message_size(chassis::grpc::MESSAGE_BYTES_MAX);
    let send = async |updates| {
        let mut client = client.clone();
        let response = client.import_follows(request(ImportFollowsRequest { updates }));
        Ok(response.await?.into_inner().results)
    };
    courier.carry(next, send, done).await
}
