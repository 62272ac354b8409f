//! Conditional reads: "still version v?", and only then the rows.
//!
//! A caller keeps an answer together with its version, a hash of the ids that the answer lists, and
//! names it when it asks again. Versions are far cheaper to read than rows, so they are read first.

use std::{collections::HashMap, hash::Hash, sync::Arc};

use tonic::Status;
use uuid::Uuid;

use crate::{
    batch::{share, unshare},
    store::StoreError,
};

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
    let (distinct, positions) = share(asked);
    let mut changed: Vec<bool> = distinct.iter().map(|ask| ask.known.is_none()).collect();
    let kept: Vec<usize> = (0..distinct.len()).filter(|&ask| !changed[ask]).collect();
    if !kept.is_empty() {
        let queries = kept.iter().map(|&ask| distinct[ask].query.clone());
        let current = versions(queries.collect()).await?;
        for (ask, version) in kept.into_iter().zip(current) {
            changed[ask] = distinct[ask].known != Some(version);
        }
    }

    // Several callers may keep different versions of one list: its rows are still read once.
    let wanted = (0..distinct.len()).filter(|&ask| changed[ask]);
    let (queries, places) = share(wanted.map(|ask| distinct[ask].query.clone()).collect());
    let mut found = HashMap::with_capacity(places.len());
    if !queries.is_empty() {
        let lists: Vec<Arc<R>> = rows(queries).await?.into_iter().map(Arc::new).collect();
        let wanted = (0..distinct.len()).filter(|&ask| changed[ask]);
        found.extend(wanted.zip(unshare(&lists, &places)));
    }
    let answers = positions.iter().map(|ask| Ok(found.get(ask).cloned()));
    Ok(answers.collect())
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
    use super::*;

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
