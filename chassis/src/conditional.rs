//! Conditional reads: "still version v?", and only then the rows.
//!
//! A caller keeps an answer together with its version, a hash of the ids that decide what it lists,
//! and names it when it asks again. Versions are far cheaper to read than rows, so they are read first.

use std::{hash::Hash, sync::Arc};

use tonic::Status;
use uuid::Uuid;

use crate::{batch::share, store::StoreError};

/// A list asked for, and the version that the caller has.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Conditional<Q> {
    /// The list.
    pub query: Q,
    /// The version; `None` asks for the rows in any case.
    pub known: Option<i64>,
}

/// Reads first the versions of those lists that somebody keeps, then the rows of those that have
/// changed or that nobody keeps. Answers in the order asked; `None` means unchanged.
///
/// # Errors
///
/// What `versions` or `rows` fail with.
pub async fn read<Q, R>(
    asked: Vec<Conditional<Q>>,
    versions: impl AsyncFnOnce(Vec<Q>) -> Result<Vec<i64>, StoreError>,
    rows: impl AsyncFnOnce(Vec<Q>) -> Result<Vec<R>, StoreError>,
) -> Result<Vec<Result<Option<Arc<R>>, Status>>, Status>
where
    Q: Clone + Eq + Hash,
{
    let (known, queries): (Vec<Option<i64>>, Vec<Q>) =
        asked.into_iter().map(|ask| (ask.known, ask.query)).unzip();
    // Several callers may keep different versions of one list: it is still read once.
    let (queries, places) = share(queries);
    let asks = || known.iter().zip(places.iter().copied());

    let mut kept = vec![false; queries.len()];
    for (known, place) in asks() {
        kept[place] |= known.is_some();
    }
    let current = read_some(&queries, &kept, versions).await?;
    let has_changed =
        |known: &Option<i64>, place: usize| known.is_none() || *known != current[place];

    let mut wanted = vec![false; queries.len()];
    for (known, place) in asks() {
        wanted[place] |= has_changed(known, place);
    }
    let lists = read_some(&queries, &wanted, rows).await?;
    let lists: Vec<_> = lists.into_iter().map(|list| list.map(Arc::new)).collect();
    let answers = asks().map(|(known, place)| {
        let list = has_changed(known, place).then(|| lists[place].clone());
        Ok(list.flatten())
    });
    Ok(answers.collect())
}

/// Reads for those queries that are wanted, and puts the answers into their places.
async fn read_some<Q: Clone, A>(
    queries: &[Q],
    wanted: &[bool],
    read: impl AsyncFnOnce(Vec<Q>) -> Result<Vec<A>, StoreError>,
) -> Result<Vec<Option<A>>, Status> {
    let places: Vec<usize> = (0..queries.len()).filter(|&place| wanted[place]).collect();
    let mut answers: Vec<Option<A>> = queries.iter().map(|_| None).collect();
    if places.is_empty() {
        return Ok(answers);
    }
    let read = read(places.iter().map(|&place| queries[place].clone()).collect()).await?;
    if read.len() != places.len() {
        return Err(Status::internal("a list was not answered"));
    }
    for (place, answer) in places.into_iter().zip(read) {
        answers[place] = Some(answer);
    }
    Ok(answers)
}

/// The version of a list of ids, whatever their order: each id hashed, and the hashes folded.
///
/// For engines that cannot compute one themselves. Versions of different engines differ.
pub fn version_of<'a>(ids: impl IntoIterator<Item = &'a Uuid>) -> i64 {
    let folded = ids.into_iter().fold(0, |version, id| version ^ hash(id));
    folded.cast_signed()
}

/// Each half is mixed well enough that no few ids, however regular, fold to nothing.
fn hash(id: &Uuid) -> u64 {
    let (high, low) = id.as_u64_pair();
    mix(mix(high).wrapping_add(low))
}

/// The finaliser of `SplitMix64`.
fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let value = (value ^ value >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let value = (value ^ value >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ value >> 31
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// Asks for lists whose version is a tenth of what they hold, and tells what was read.
    async fn ask(asked: &[(i64, Option<i64>)]) -> (Vec<Option<i64>>, [Vec<i64>; 2]) {
        let asked = asked
            .iter()
            .map(|&(query, known)| Conditional { query, known });
        let reads = Mutex::new([Vec::new(), Vec::new()]);
        let answers = read(
            asked.collect(),
            async |queries: Vec<i64>| {
                reads.lock().unwrap()[0].extend(&queries);
                Ok(queries.iter().map(|query| query / 10).collect())
            },
            async |queries: Vec<i64>| {
                reads.lock().unwrap()[1].extend(&queries);
                Ok(queries)
            },
        );
        let answers = answers.await.unwrap().into_iter();
        let answers = answers.map(|answer| answer.unwrap().map(|list| *list));
        (answers.collect(), reads.into_inner().unwrap())
    }

    #[tokio::test]
    async fn only_what_has_changed_is_read() {
        let asked = [(10, Some(1)), (20, Some(7)), (30, None), (40, Some(4))];
        let (answers, [versions, rows]) = ask(&asked).await;
        assert_eq!(answers, [None, Some(20), Some(30), None]);
        assert_eq!(versions, [10, 20, 40]);
        assert_eq!(rows, [20, 30]);
    }

    #[tokio::test]
    async fn one_list_is_read_once_whatever_versions_its_callers_keep() {
        let asked = [
            (10, Some(7)),
            (10, None),
            (10, Some(1)),
            (10, Some(8)),
            (10, Some(7)),
        ];
        let (answers, [_, rows]) = ask(&asked).await;
        assert_eq!(answers, [Some(10), Some(10), None, Some(10), Some(10)]);
        assert_eq!(rows, [10]);
    }

    #[tokio::test]
    async fn nothing_is_read_for_nobody() {
        assert_eq!(ask(&[]).await, (vec![], [vec![], vec![]]));
        let (_, [versions, rows]) = ask(&[(10, Some(1))]).await;
        assert_eq!((versions, rows), (vec![10], vec![]));
    }

    #[test]
    fn a_version_is_of_the_set_alone() {
        let ids: Vec<Uuid> = (0..100).map(Uuid::from_u128).collect();
        let version = version_of(&ids);
        assert_eq!(version, version_of(ids.iter().rev()));
        assert_ne!(version, version_of(&ids[1..]));
        assert_eq!(version_of(&[]), 0);
        // What a plain exclusive or of the ids would take for nothing.
        assert_ne!(version_of(&ids[1..4]), 0);
    }
}
