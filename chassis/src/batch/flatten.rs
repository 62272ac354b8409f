//! Batching of requests that carry a list of items each.

use tonic::Status;

use super::{BatchHandler, wrong_result_count};
use crate::deadline::Deadline;

/// A [`BatchHandler`] whose callers hand in a list of items each, as an rpc with a repeated field does.
///
/// The lists of one batch are concatenated for the inner handler, and its results are split again.
#[derive(Clone, Copy, Debug)]
pub struct Flattened<H>(pub H);

impl<H: BatchHandler> BatchHandler for Flattened<H> {
    type Item = Vec<H::Item>;
    type Output = Vec<Result<H::Output, Status>>;

    async fn run(
        &self,
        lists: Vec<Self::Item>,
        deadline: Deadline,
    ) -> Result<Vec<Result<Self::Output, Status>>, Status> {
        let lengths: Vec<usize> = lists.iter().map(Vec::len).collect();
        let items = lists.into_iter().flatten().collect();
        let results = self.0.run(items, deadline).await?;
        if results.len() != lengths.iter().sum::<usize>() {
            return Err(wrong_result_count(results.len(), lengths.iter().sum()));
        }
        let mut results = results.into_iter();
        Ok(lengths
            .into_iter()
            .map(|length| Ok(results.by_ref().take(length).collect()))
            .collect())
    }

    fn weight(list: &Self::Item) -> usize {
        list.iter().map(H::weight).sum()
    }
}
