//! Conversion of the results of single items, for all rpcs that take a list.
//!
//! Each such rpc returns a result message per item, whose `oneof` holds a value or the reason why the
//! item failed. An absent `oneof`, or an absent result, breaks the contract.

use chassis::{
    batch::fan_out,
    per_item::{self, WriteOutcome},
};
use minitwit_proto::{follower::v1 as follower, message::v1 as message, user::v1 as user};
use tonic::Status;

/// Result message of one item.
pub trait ItemResult {
    /// Value of an item that succeeded.
    type Value;

    /// Converts the message.
    ///
    /// # Errors
    ///
    /// The reason why the item failed. `Internal` if the message is empty.
    fn into_result(self) -> Result<Self::Value, Status>;
}

/// Result of a conditional read.
#[derive(Clone, Debug)]
pub enum Conditional<T> {
    /// The current content.
    Content(T),
    /// The content that the caller knows is current.
    Unchanged,
}

/// Result of a conditional read of a timeline.
#[derive(Clone, Debug)]
pub enum TimelineUpdate {
    /// The whole timeline.
    Whole(message::Timeline),
    /// The version, and the messages that are newer than the caller's messages.
    Added(message::Timeline),
    /// The timeline that the caller knows is current.
    Unchanged,
}

impl TimelineUpdate {
    /// Timeline that the update carries.
    pub fn timeline(&self) -> Option<&message::Timeline> {
        match self {
            Self::Whole(timeline) | Self::Added(timeline) => Some(timeline),
            Self::Unchanged => None,
        }
    }
}

/// Implements [`ItemResult`] for result messages. Each line names the `oneof`, the type of the value, and
/// the conversion of each variant other than `Error`.
macro_rules! item_results {
    ($($package:ident::$result:ident, $outcome:ident => $value:ty {
        $($variant:ident($content:pat) => $converted:expr),+ $(,)?
    })+) => {
        $(impl ItemResult for $package::$result {
            type Value = $value;

            fn into_result(self) -> Result<$value, Status> {
                use $package::$outcome::Outcome;
                match self.outcome {
                    $(Some(Outcome::$variant($content)) => $converted,)+
                    Some(Outcome::Error(error)) => Err(per_item::status(error)),
                    None => Err(incomplete()),
                }
            }
        })+
    };
}

item_results! {
    user::RegisterUserResult, register_user_result => user::User { User(user) => Ok(user) }
    user::LookupUserResult, lookup_user_result => user::User { User(user) => Ok(user) }
    user::ChangePasswordResult, change_password_result => user::User { User(user) => Ok(user) }
    user::EndSessionsResult, end_sessions_result => user::User { User(user) => Ok(user) }
    user::ResetPasswordResult, reset_password_result => user::User { User(user) => Ok(user) }
    user::SetModeratorResult, set_moderator_result => user::User { User(user) => Ok(user) }
    user::VerifyPasswordResult, verify_password_result => user::User { User(user) => Ok(user) }
    user::ImportUserResult, import_user_result => user::User { User(user) => Ok(user) }
    user::ExportUserResult, export_user_result => user::UserExport { User(export) => Ok(export) }
    user::DeleteUserResult, delete_user_result => () { Applied(_) => Ok(()) }
    user::SetLatestResult, set_latest_result => WriteOutcome {
        Applied(_) => Ok(WriteOutcome::Applied),
        Superseded(superseded) => superseded_by(&superseded.stored_stamp),
    }
    follower::ImportFollowResult, import_follow_result => () { Applied(_) => Ok(()) }
    follower::SetFollowResult, set_follow_result => WriteOutcome {
        Applied(_) => Ok(WriteOutcome::Applied),
        Superseded(superseded) => superseded_by(&superseded.stored_stamp),
    }
    follower::ListFollowsResult, list_follows_result => Conditional<follower::FollowList> {
        List(list) => Ok(Conditional::Content(list)),
        Unchanged(_) => Ok(Conditional::Unchanged),
    }
    message::CreateMessageResult, create_message_result => () { Applied(_) => Ok(()) }
    message::ImportMessageResult, import_message_result => () { Applied(_) => Ok(()) }
    message::GetMessageResult, get_message_result => message::Message {
        Message(message) => Ok(message),
    }
    message::SetFlagResult, set_flag_result => WriteOutcome {
        Applied(_) => Ok(WriteOutcome::Applied),
        Superseded(superseded) => superseded_by(&superseded.stored_stamp),
    }
    message::ListTimelineResult, list_timeline_result => TimelineUpdate {
        Timeline(timeline) => Ok(TimelineUpdate::Whole(timeline)),
        Added(timeline) => Ok(TimelineUpdate::Added(timeline)),
        Unchanged(_) => Ok(TimelineUpdate::Unchanged),
    }
}

fn superseded_by(stored_stamp: &[u8]) -> Result<WriteOutcome, Status> {
    per_item::id("stored_stamp", stored_stamp).map(WriteOutcome::Superseded)
}

/// Status of a response that has no result for an item.
pub fn incomplete() -> Status {
    Status::internal("the service did not answer each item")
}

/// Converts the result of a request that had a single item.
///
/// # Errors
///
/// The reason why the item failed. `Internal` if there is no result.
pub fn single<R: ItemResult>(results: Vec<R>) -> Result<R::Value, Status> {
    let result = results.into_iter().next();
    result.ok_or_else(incomplete)?.into_result()
}

/// Converts the results of all items, in their order.
pub fn each<R: ItemResult>(results: Vec<R>) -> Vec<Result<R::Value, Status>> {
    results.into_iter().map(ItemResult::into_result).collect()
}

/// Same as [`fan_out`], for results of another process, which may be too few.
///
/// # Errors
///
/// `Internal` if a position has no result.
pub fn fan_out_complete<T: Clone>(results: &[T], positions: &[usize]) -> Result<Vec<T>, Status> {
    if positions.iter().any(|&position| position >= results.len()) {
        return Err(incomplete());
    }
    Ok(fan_out(results, positions))
}

#[cfg(test)]
mod tests {
    use minitwit_proto::common::v1::{Applied, ItemError, Superseded};
    use tonic::Code;
    use uuid::Uuid;

    use super::*;

    fn flag(outcome: Option<message::set_flag_result::Outcome>) -> message::SetFlagResult {
        message::SetFlagResult { outcome }
    }

    #[test]
    fn a_result_is_a_value_or_the_status_of_its_item() {
        use message::set_flag_result::Outcome;
        let stored = Uuid::from_u128(7);
        let superseded = Superseded {
            stored_stamp: per_item::encode_id(stored),
        };
        let error = ItemError {
            code: Code::NotFound as i32,
            message: "no such message".to_owned(),
            retry_after_seconds: 0,
        };
        let results = each(vec![
            flag(Some(Outcome::Applied(Applied {}))),
            flag(Some(Outcome::Superseded(superseded))),
            flag(Some(Outcome::Error(error))),
            flag(None),
        ]);
        let found: Vec<_> = results
            .into_iter()
            .map(|result| result.map_err(|status| status.code()))
            .collect();
        assert_eq!(
            found,
            [
                Ok(WriteOutcome::Applied),
                Ok(WriteOutcome::Superseded(stored)),
                Err(Code::NotFound),
                Err(Code::Internal),
            ]
        );
    }

    #[test]
    fn an_absent_result_is_an_error() {
        let nothing: Vec<message::SetFlagResult> = Vec::new();
        assert_eq!(single(nothing).unwrap_err().code(), Code::Internal);
        assert_eq!(
            fan_out_complete(&["a"], &[0, 1]).unwrap_err().code(),
            Code::Internal
        );
        assert_eq!(fan_out_complete(&["a"], &[0, 0]).unwrap(), ["a", "a"]);
    }
}
