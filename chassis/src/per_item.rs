//! Results of single items of a list, on their way over the wire.

use std::collections::BTreeMap;

use bytes::Bytes;
use minitwit_proto::common::v1::{Applied, ItemError, Superseded};
use tonic::{Code, Status};
use uuid::Uuid;

use crate::retry_after;

/// The wire form of why one item failed.
pub fn error(status: &Status) -> ItemError {
    ItemError {
        code: status.code() as i32,
        message: status.message().to_owned(),
        retry_after_seconds: retry_after::seconds(status).unwrap_or_default(),
    }
}

/// Why one item failed, read back from the wire.
pub fn status(error: ItemError) -> Status {
    let code = Code::from_i32(error.code);
    match error.retry_after_seconds {
        0 => Status::new(code, error.message),
        seconds => retry_after::status(code, error.message, seconds),
    }
}

/// What became of a write of a state that carries a stamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteOutcome {
    /// The state is as the write wanted it.
    Applied,
    /// The stored stamp is greater; nothing was changed.
    Superseded(Uuid),
}

impl WriteOutcome {
    /// What became of a write with `stamp` after which `stored` is the stored stamp.
    pub fn from_stamps(stamp: Uuid, stored: Uuid) -> Self {
        if stored > stamp {
            Self::Superseded(stored)
        } else {
            Self::Applied
        }
    }
}

impl From<WriteOutcome> for Result<Applied, Superseded> {
    fn from(written: WriteOutcome) -> Self {
        match written {
            WriteOutcome::Applied => Ok(Applied {}),
            WriteOutcome::Superseded(stored) => Err(Superseded {
                stored_stamp: wire(stored),
            }),
        }
    }
}

/// Reads an id from the wire.
///
/// # Errors
///
/// `InvalidArgument` when it is not 16 bytes long; `what` names the field.
pub fn id(what: &str, bytes: &[u8]) -> Result<Uuid, Status> {
    Uuid::from_slice(bytes).map_err(|_| {
        Status::invalid_argument(format!("{what} must be 16 bytes, not {}", bytes.len()))
    })
}

/// Reads an id that may be left out, for which `otherwise` stands.
///
/// # Errors
///
/// As [`id`], when it is there.
pub fn id_or(what: &str, bytes: &[u8], otherwise: Uuid) -> Result<Uuid, Status> {
    if bytes.is_empty() {
        return Ok(otherwise);
    }
    id(what, bytes)
}

/// Reads a list of ids.
///
/// # Errors
///
/// As [`id`], for the first that is wrong.
pub fn each_id(what: &str, list: &[Bytes]) -> Result<Vec<Uuid>, Status> {
    list.iter().map(|bytes| id(what, bytes)).collect()
}

/// An id as it goes over the wire.
pub fn wire(id: Uuid) -> Bytes {
    Bytes::copy_from_slice(id.as_bytes())
}

/// What was answered to a list of one item; `None` when nothing was.
pub fn only<R, O>(results: Vec<R>, outcome: impl FnOnce(R) -> Option<O>) -> Option<O> {
    results.into_iter().next().and_then(outcome)
}

/// Refuses a list that is longer than `max`; `what` names its items.
///
/// # Errors
///
/// `InvalidArgument` when it is.
pub fn at_most<T>(what: &str, items: &[T], max: usize) -> Result<(), Status> {
    if items.len() > max {
        return Err(Status::invalid_argument(format!(
            "{} {what}, at most {max} can be at once",
            items.len()
        )));
    }
    Ok(())
}

/// Reads ids that stand one behind the other.
///
/// # Errors
///
/// `InvalidArgument` when the length is not a multiple of 16; `what` names the field.
pub fn ids(what: &str, bytes: &[u8]) -> Result<Vec<Uuid>, Status> {
    let (chunks, rest) = bytes.as_chunks::<16>();
    if !rest.is_empty() {
        return Err(Status::invalid_argument(format!(
            "{what} must be a multiple of 16 bytes, not {}",
            bytes.len()
        )));
    }
    Ok(chunks
        .iter()
        .map(|chunk| Uuid::from_bytes(*chunk))
        .collect())
}

/// Writes ids one behind the other.
pub fn concat(ids: &[Uuid]) -> Bytes {
    ids.iter().flat_map(|id| *id.as_bytes()).collect()
}

/// Works on the valid items of a list and answers for each item in its place.
///
/// # Errors
///
/// What `work` says of the whole; it must answer each valid item, in order.
pub async fn answer_each<T, O>(
    items: impl IntoIterator<Item = Result<T, Status>>,
    work: impl AsyncFnOnce(Vec<T>) -> Result<Vec<Result<O, Status>>, Status>,
) -> Result<Vec<Result<O, Status>>, Status> {
    let mut valid = Vec::new();
    let mut refused = Vec::new();
    for (place, item) in items.into_iter().enumerate() {
        match item {
            Ok(item) => valid.push(item),
            Err(status) => refused.push((place, status)),
        }
    }
    let mut results = if valid.is_empty() {
        Vec::new()
    } else {
        work(valid).await?
    };
    // In ascending order, so that each insertion finds its final place.
    for (place, status) in refused {
        results.insert(place, Err(status));
    }
    Ok(results)
}

/// Answers for items that were worked on one by one. If nothing but what all of them need is away, then so
/// is this replica to its caller, who may find another one that reaches it.
///
/// # Errors
///
/// That of the first item, when every item is `Unavailable`.
pub fn fail_if_all_unavailable<O>(
    results: Vec<Result<O, Status>>,
) -> Result<Vec<Result<O, Status>>, Status> {
    let away = |result: &Result<O, Status>| matches!(result, Err(status) if status.code() == Code::Unavailable);
    if !results.iter().all(away) {
        return Ok(results);
    }
    // The first error, or an empty list.
    results.into_iter().map(|result| result.map(Ok)).collect()
}

/// Of several writes of one state the one with the greatest stamp, in the order of the keys: rows
/// that are always locked in one order cannot deadlock.
pub fn last_writes<'a, T, K: Ord>(
    writes: &'a [T],
    key: impl Fn(&'a T) -> K,
    stamp: impl Fn(&T) -> Uuid,
) -> Vec<&'a T> {
    let mut last: BTreeMap<K, &'a T> = BTreeMap::new();
    for write in writes {
        last.entry(key(write))
            .and_modify(|kept| {
                if stamp(write) > stamp(kept) {
                    *kept = write;
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
    fn a_call_fails_as_a_whole_only_if_all_of_it_is_away() {
        let away = || Err(Status::unavailable("the database is away"));
        let status = fail_if_all_unavailable::<u8>(vec![away(), away()]).unwrap_err();
        assert_eq!(status.code(), Code::Unavailable);
        assert_eq!(status.message(), "the database is away");
        for rest in [
            vec![],
            vec![Ok(1)],
            vec![Err(Status::not_found("no such user"))],
        ] {
            let away = (!rest.is_empty()).then(away);
            let results: Vec<Result<u8, Status>> = away.into_iter().chain(rest).collect();
            let length = results.len();
            assert_eq!(fail_if_all_unavailable(results).unwrap().len(), length);
        }
    }
}
