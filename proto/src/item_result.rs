//! Conversions into the results of single items.
//!
//! Each rpc that takes a list returns a result message per item. Its only required field is the `oneof`
//! `outcome`, whose variants are the kinds of success and `Error`. The macro writes the conversion from
//! the outcome and from the value of each variant.

use crate::{
    common::v1::{Applied, ItemError, Superseded, Unchanged},
    follower::v1::{self as follower, FollowList},
    message::v1::{self as message, Message},
    user::v1::{self as user, User, UserExport},
};

/// Implements `From<Outcome>` and `From<VALUE>` for a result message, for each `VARIANT(VALUE)`.
macro_rules! item_result {
    ($package:ident::$result:ident, $outcome:ident { $($variant:ident($value:ty)),+ }) => {
        impl From<$package::$outcome::Outcome> for $package::$result {
            #[allow(clippy::needless_update, reason = "some results have further fields")]
            fn from(outcome: $package::$outcome::Outcome) -> Self {
                Self {
                    outcome: Some(outcome),
                    ..Self::default()
                }
            }
        }
        $(impl From<$value> for $package::$result {
            fn from(value: $value) -> Self {
                $package::$outcome::Outcome::$variant(value).into()
            }
        })+
    };
}

/// Implements the conversion from the result of a write with a stamp.
macro_rules! stamped_write {
    ($result:ty) => {
        impl From<Result<Applied, Superseded>> for $result {
            fn from(written: Result<Applied, Superseded>) -> Self {
                match written {
                    Ok(applied) => applied.into(),
                    Err(superseded) => superseded.into(),
                }
            }
        }
    };
}

item_result!(user::RegisterUserResult, register_user_result { User(User), Error(ItemError) });
item_result!(user::LookupUserResult, lookup_user_result { User(User), Error(ItemError) });
item_result!(user::VerifyPasswordResult, verify_password_result { User(User), Error(ItemError) });
item_result!(user::ChangePasswordResult, change_password_result { User(User), Error(ItemError) });
item_result!(user::EndSessionsResult, end_sessions_result { User(User), Error(ItemError) });
item_result!(user::ImportUserResult, import_user_result { User(User), Error(ItemError) });
item_result!(user::ExportUserResult, export_user_result { User(UserExport), Error(ItemError) });
item_result!(user::ResetPasswordResult, reset_password_result { User(User), Error(ItemError) });
item_result!(user::SetModeratorResult, set_moderator_result { User(User), Error(ItemError) });
item_result!(user::DeleteUserResult, delete_user_result { Applied(Applied), Error(ItemError) });
item_result!(user::SetLatestResult, set_latest_result {
    Applied(Applied), Superseded(Superseded), Error(ItemError)
});
stamped_write!(user::SetLatestResult);

item_result!(follower::SetFollowResult, set_follow_result {
    Applied(Applied), Superseded(Superseded), Error(ItemError)
});
stamped_write!(follower::SetFollowResult);
item_result!(follower::ListFollowsResult, list_follows_result {
    List(FollowList), Unchanged(Unchanged), Error(ItemError)
});
item_result!(follower::ImportFollowResult, import_follow_result {
    Applied(Applied), Error(ItemError)
});

item_result!(message::CreateMessageResult, create_message_result {
    Applied(Applied), Error(ItemError)
});
// The values of `Timeline` and `Added` have the same type, so only the variant distinguishes them.
item_result!(message::ListTimelineResult, list_timeline_result {
    Unchanged(Unchanged), Error(ItemError)
});
item_result!(message::GetMessageResult, get_message_result { Message(Message), Error(ItemError) });
item_result!(message::SetFlagResult, set_flag_result {
    Applied(Applied), Superseded(Superseded), Error(ItemError)
});
stamped_write!(message::SetFlagResult);
item_result!(message::ImportMessageResult, import_message_result {
    Applied(Applied), Error(ItemError)
});
