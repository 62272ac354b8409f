//! Encoding of the items of list rpcs, and of one result for each item.

use std::collections::BTreeMap;

use bytes::Bytes;
use minitwit_proto::common::v1::{Applied, ItemError, Superseded};
use tonic::{Code, Status};
use uuid::Uuid;

use crate::retry_after;

/// Encodes the error of one item.
pub fn error(status: &Status) -> ItemError {
    ItemError {
        code: status.code() as i32,
        message: status.message().to_owned(),
        retry_after_seconds: retry_after::seconds(status).unwrap_or_default(),
    }
}

/// Result messages of the items of a list. `to_wire` turns each success into a result message, or into the
/// value of one of its outcomes.
pub fn results<T, W, R>(results: Vec<Result<T, Status>>, to_wire: impl Fn(T) -> W) -> Vec<R>
where
    W: Into<R>,
    R: From<ItemError>,
{
    let result = |result: Result<T, Status>| match result {
        Ok(success) => to_wire(success).into(),
        Err(status) => error(&status).into(),
    };
    results.into_iter().map(result).collect()
}

/// Decodes the error of one item.
pub fn status(error: ItemError) -> Status {
    let code = Code::from_i32(error.code);
    match error.retry_after_seconds {
        0 => Status::new(code, error.message),
        seconds => retry_after::status(code, error.message, seconds),
    }
}

/// Outcome of a write of a state. The write with the greatest stamp wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteOutcome {
    /// The state is that of the write.
    Applied,
    /// A write with the greater stamp given here is stored, so nothing was changed.
    Superseded(Uuid),
}

impl WriteOutcome {
    /// The outcome of a write with `stamp`, when `stored` is the stored stamp after it.
    pub fn from_stamps(stamp: Uuid, stored: Uuid) -> Self {
        if stored > stamp {
            Self::Superseded(stored)
        } else {
            Self::Applied
        }
    }
}

impl From<WriteOutcome> for Result<Applied, Superseded> {
    fn from(outcome: WriteOutcome) -> Self {
        match outcome {
            WriteOutcome::Applied => Ok(Applied {}),
            WriteOutcome::Superseded(stored) => Err(Superseded {
                stored_stamp: encode_id(stored),
            }),
        }
    }
}

/// Decodes an id.
///
/// # Errors
///
/// `InvalidArgument` when `bytes` is not 16 bytes long. The message names the `field`.
pub fn id(field: &str, bytes: &[u8]) -> Result<Uuid, Status> {
    Uuid::from_slice(bytes).map_err(|_| {
        Status::invalid_argument(format!("{field} must be 16 bytes, not {}", bytes.len()))
    })
}

/// Decodes an optional id. Returns `default` when `bytes` is empty.
///
/// # Errors
///
/// `InvalidArgument` when `bytes` is neither empty nor 16 bytes long. The message names the `field`.
pub fn id_or(field: &str, bytes: &[u8], default: Uuid) -> Result<Uuid, Status> {
    if bytes.is_empty() {
        return Ok(default);
    }
    id(field, bytes)
}

/// Decodes a list of ids.
///
/// # Errors
///
/// `InvalidArgument` when an element is not 16 bytes long. The message names the `field`.
pub fn each_id(field: &str, list: &[Bytes]) -> Result<Vec<Uuid>, Status> {
    list.iter().map(|bytes| id(field, bytes)).collect()
}

/// Encodes an id as 16 bytes.
pub fn encode_id(id: Uuid) -> Bytes {
    Bytes::copy_from_slice(id.as_bytes())
}

/// The outcome in the answer to a list of one item. `None` when the list or the outcome is missing.
pub fn only<R, O>(results: Vec<R>, outcome: impl FnOnce(R) -> Option<O>) -> Option<O> {
    results.into_iter().next().and_then(outcome)
}

/// Checks that a list has at most `max` items. `what` names the items in the message, for example
/// `messages are imported`.
///
/// # Errors
///
/// `InvalidArgument` when the list is longer.
pub fn check_length<T>(what: &str, items: &[T], max: usize) -> Result<(), Status> {
    if items.len() > max {
        return Err(Status::invalid_argument(format!(
            "{} {what}, at most {max} are allowed in one request",
            items.len()
        )));
    }
    Ok(())
}

/// Decodes ids that are concatenated in one field.
///
/// # Errors
///
/// `InvalidArgument` when the length is not a multiple of 16. The message names the `field`.
pub fn decode_ids(field: &str, bytes: &[u8]) -> Result<Vec<Uuid>, Status> {
    let (chunks, rest) = bytes.as_chunks::<16>();
    if !rest.is_empty() {
        return Err(Status::invalid_argument(format!(
            "{field} must be a multiple of 16 bytes, not {}",
            bytes.len()
        )));
    }
    Ok(chunks
        .iter()
        .map(|chunk| Uuid::from_bytes(*chunk))
        .collect())
}

/// Encodes ids as one field, 16 bytes each.
pub fn encode_ids(ids: &[Uuid]) -> Bytes {
    ids.iter().flat_map(|id| *id.as_bytes()).collect()
}

/// Runs `work` on the valid items of a list. Returns one result for each item, in the order of the
/// list. A valid item gets the result of `work`, and an invalid item keeps its own error. `work` must return
/// one result for each valid item, in order.
///
/// # Errors
///
/// The outer error of `work`.
pub async fn answer_each<T, O>(
    items: impl IntoIterator<Item = Result<T, Status>>,
    work: impl AsyncFnOnce(Vec<T>) -> Result<Vec<Result<O, Status>>, Status>,
) -> Result<Vec<Result<O, Status>>, Status> {
    let mut valid = Vec::new();
    let mut invalid = Vec::new();
    for (index, item) in items.into_iter().enumerate() {
        match item {
            Ok(item) => valid.push(item),
            Err(status) => invalid.push((index, status)),
        }
    }
    let mut results = if valid.is_empty() {
        Vec::new()
    } else {
        work(valid).await?
    };
    // The indexes ascend, so each insertion is at the final index of the item.
    for (index, status) in invalid {
        results.insert(index, Err(status));
    }
    Ok(results)
}

/// Fails the whole call if all its items failed with `Unavailable`. The cause is then a dependency of
/// this replica, such as its database. The caller retries a failed call on another replica, which may
/// reach the dependency.
///
/// # Errors
///
/// The error of the first item, when the error of every item is `Unavailable`.
pub fn fail_if_all_unavailable<O>(
    results: Vec<Result<O, Status>>,
) -> Result<Vec<Result<O, Status>>, Status> {
    let is_unavailable = |result: &Result<O, Status>| matches!(result, Err(status) if status.code() == Code::Unavailable);
    if !results.iter().all(is_unavailable) {
        return Ok(results);
    }
    // Stops at the first error. An empty list stays empty.
    results.into_iter().map(|result| result.map(Ok)).collect()
}

/// Selects the write with the greatest stamp for each key. Returns the writes in the order of their keys,
/// because statements that always lock rows in the same order cannot deadlock.
pub fn last_writes<'a, T, K: Ord>(
    writes: &'a [T],
    key: impl Fn(&'a T) -> K,
    stamp: impl Fn(&T) -> Uuid,
) -> Vec<&'a T> {
    let mut last: BTreeMap<K, &'a T> = BTreeMap::new();
    for write in writes {
        last.entry(key(write))
            .and_modify(|latest| {
                if stamp(write) > stamp(latest) {
                    *latest = write;
                }
            })
            .or_insert(write);
    }
    last.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_retry_delay_survives_encoding() {
        let status = retry_after::status(Code::ResourceExhausted, "too often", 900);
        let decoded = super::status(error(&status));
        assert_eq!(decoded.code(), Code::ResourceExhausted);
        assert_eq!(decoded.message(), "too often");
        assert_eq!(retry_after::seconds(&decoded), Some(900));
    }

    #[test]
    fn an_error_without_a_retry_delay_is_decoded_without_it() {
        let status = status(error(&Status::resource_exhausted("full")));
        assert_eq!(retry_after::seconds(&status), None);
    }

    #[test]
    fn a_call_fails_only_if_all_its_items_are_unavailable() {
        let unavailable = || Err(Status::unavailable("the database is unavailable"));
        let status = fail_if_all_unavailable::<u8>(vec![unavailable(), unavailable()]).unwrap_err();
        assert_eq!(status.code(), Code::Unavailable);
        assert_eq!(status.message(), "the database is unavailable");
        for other_items in [
            vec![],
            vec![Ok(1)],
            vec![Err(Status::not_found("no such user"))],
        ] {
            let first = (!other_items.is_empty()).then(unavailable);
            let results: Vec<Result<u8, Status>> = first.into_iter().chain(other_items).collect();
            let length = results.len();
            assert_eq!(fail_if_all_unavailable(results).unwrap().len(), length);
        }
    }
}
