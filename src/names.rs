//! Names and times of what the services know by ids alone.

use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

use chassis::{deadline::Deadline, per_item, pool::Pool, stamp};
use minitwit_proto::user::v1::{
    LookupUsersRequest, UserRef, lookup_user_result::Outcome, user_ref::Ref,
    user_service_client::UserServiceClient,
};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use tonic::Status;
use uuid::Uuid;

/// How many names are asked for at once.
const CHUNK: usize = 500;

/// How long one question may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// The names of accounts; of those that are gone there is none.
///
/// # Errors
///
/// The user service cannot be reached.
pub(crate) async fn names(
    pool: Pool,
    ids: BTreeSet<Uuid>,
) -> Result<HashMap<Uuid, String>, Status> {
    let mut client = UserServiceClient::new(pool);
    let ids: Vec<Uuid> = ids.into_iter().collect();
    let mut names = HashMap::with_capacity(ids.len());
    for chunk in ids.chunks(CHUNK) {
        let users = chunk.iter().map(|id| UserRef {
            r#ref: Some(Ref::Id(per_item::encode_id(*id))),
        });
        let request = LookupUsersRequest {
            users: users.collect(),
        };
        let response = client
            .lookup_users(Deadline::after(PATIENCE).request(request))
            .await?;
        for (id, result) in chunk.iter().zip(response.into_inner().results) {
            if let Some(Outcome::User(user)) = result.outcome {
                names.insert(*id, user.username);
            }
        }
    }
    Ok(names)
}

/// When a key was made, as RFC 3339; `None` for keys that tell no time, such as those of accounts
/// that were brought over from the old system.
pub(crate) fn rfc3339(key: Uuid) -> Option<String> {
    of_millis(i64::try_from(stamp::millis(key)).ok()?)
}

/// A time in milliseconds since 1970, as RFC 3339; `None` for none.
pub(crate) fn of_millis(millis: i64) -> Option<String> {
    let nanos = i128::from(Some(millis).filter(|millis| *millis > 0)?) * 1_000_000;
    let time = OffsetDateTime::from_unix_timestamp_nanos(nanos).ok()?;
    time.format(&Rfc3339).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_tells_its_time_if_it_has_one() {
        let key = stamp::from_name(1_700_000_000_123, 7);
        assert_eq!(rfc3339(key).as_deref(), Some("2023-11-14T22:13:20.123Z"));
        assert_eq!(rfc3339(stamp::from_name(0, 7)), None);
    }
}
