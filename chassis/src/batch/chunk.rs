//! Callers who come with several items each, and callers who want the same.

use std::{collections::HashMap, hash::Hash};

use tonic::Status;

use super::{BatchHandler, unanswered};
use crate::deadline::Deadline;

/// A [`Work`] whose callers come with several items each, as an rpc does that takes a list.
#[derive(Clone, Copy, Debug)]
pub struct Flattened<W>(pub W);

impl<W: BatchHandler> BatchHandler for Flattened<W> {
    type Item = Vec<W::Item>;
    type Output = Vec<Result<W::Output, Status>>;

    async fn run(
        &self,
        chunks: Vec<Self::Item>,
        deadline: Deadline,
    ) -> Result<Vec<Result<Self::Output, Status>>, Status> {
        let sizes: Vec<usize> = chunks.iter().map(Vec::len).collect();
        let items = chunks.into_iter().flatten().collect();
        let results = self.0.run(items, deadline).await?;
        if results.len() != sizes.iter().sum::<usize>() {
            return Err(unanswered(results.len(), sizes.iter().sum()));
        }
        let mut results = results.into_iter();
        Ok(sizes
            .into_iter()
            .map(|size| Ok(results.by_ref().take(size).collect()))
            .collect())
    }

    fn weight(chunk: &Self::Item) -> usize {
        chunk.iter().map(W::weight).sum()
    }
}

/// Folds equal items into one, and tells for each item where its answer will stand.
///
/// Callers of one batch who want the same thing share one query: the next one, by the batcher's
/// invariant, and never one that was in flight when they came.
pub fn dedup<T: Eq + Hash + Clone>(items: Vec<T>) -> (Vec<T>, Vec<usize>) {
    let mut places: HashMap<T, usize> = HashMap::with_capacity(items.len());
    let mut distinct = Vec::with_capacity(items.len());
    let mut positions = Vec::with_capacity(items.len());
    for item in items {
        let place = *places.entry(item).or_insert_with_key(|item| {
            distinct.push(item.clone());
            distinct.len() - 1
        });
        positions.push(place);
    }
    (distinct, positions)
}

/// Hands the answers of [`share`]d items back to everyone who asked.
pub fn fan_out<T: Clone>(answers: &[T], positions: &[usize]) -> Vec<T> {
    positions
        .iter()
        .map(|&place| answers[place].clone())
        .collect()
}
