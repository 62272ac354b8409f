//! Deduplication of equal items within a batch.

use std::{collections::HashMap, hash::Hash};

/// Removes duplicates from `items`. Returns the distinct items, and for each original item the index of
/// its distinct item. [`fan_out`] reverses this for the answers.
///
/// Callers of one batch that ask for the same thing share one query. The query begins after all of them
/// have arrived, because a batch holds only callers that arrived before its work began. So a shared
/// answer is never older than any of its callers.
pub fn dedup<T: Eq + Hash + Clone>(items: Vec<T>) -> (Vec<T>, Vec<usize>) {
    let mut index_of: HashMap<T, usize> = HashMap::with_capacity(items.len());
    let mut distinct = Vec::with_capacity(items.len());
    let mut indexes = Vec::with_capacity(items.len());
    for item in items {
        let index = *index_of.entry(item).or_insert_with_key(|item| {
            distinct.push(item.clone());
            distinct.len() - 1
        });
        indexes.push(index);
    }
    (distinct, indexes)
}

/// Copies the answers for distinct items to every original item. `indexes` comes from [`dedup`].
///
/// # Panics
///
/// `answers` has fewer elements than [`dedup`] returned distinct items.
pub fn fan_out<T: Clone>(answers: &[T], indexes: &[usize]) -> Vec<T> {
    indexes
        .iter()
        .map(|&index| answers[index].clone())
        .collect()
}
