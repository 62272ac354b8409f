//! User names of accounts that are known by id, and times in output.

use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

use chassis::{deadline::Deadline, stamp};
use minitwit_client::accounts::Accounts;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use tonic::Status;
use uuid::Uuid;

/// Maximum number of names in one call.
const NAMES_PER_CALL_MAX: usize = 500;

/// Timeout of one call.
const CALL_TIMEOUT: Duration = Duration::from_secs(5);

/// Looks up the user names of accounts. A deleted account has no name in the result.
///
/// # Errors
///
/// The user service is unavailable.
pub(crate) async fn names(
    accounts: &Accounts,
    ids: BTreeSet<Uuid>,
) -> Result<HashMap<Uuid, String>, Status> {
    let ids: Vec<Uuid> = ids.into_iter().collect();
    let mut names = HashMap::with_capacity(ids.len());
    for chunk in ids.chunks(NAMES_PER_CALL_MAX) {
        let found = accounts
            .lookup(chunk, Deadline::after(CALL_TIMEOUT))
            .await?;
        for account in found.into_iter().flatten() {
            names.insert(account.id, account.username.clone());
        }
    }
    Ok(names)
}

/// Time of a key in the format of RFC 3339, or `None` for a key without a time, such as the id of an
/// account that was imported from the old system.
pub(crate) fn rfc3339(key: Uuid) -> Option<String> {
    of_millis(i64::try_from(stamp::millis(key)).ok()?)
}

/// Time in milliseconds since 1970 in the format of RFC 3339, or `None` if it is zero.
pub(crate) fn of_millis(millis: i64) -> Option<String> {
    let nanos = i128::from(Some(millis).filter(|millis| *millis > 0)?) * 1_000_000;
    let time = OffsetDateTime::from_unix_timestamp_nanos(nanos).ok()?;
    time.format(&Rfc3339).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_a_key_is_shown_if_the_key_has_a_time() {
        let key = stamp::from_name(1_700_000_000_123, 7);
        assert_eq!(rfc3339(key).as_deref(), Some("2023-11-14T22:13:20.123Z"));
        assert_eq!(rfc3339(stamp::from_name(0, 7)), None);
    }
}
