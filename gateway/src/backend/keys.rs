//! Keys of rendered responses in the cache.

use bytes::Bytes;
use minitwit_proto::follower::v1::Direction;
use uuid::Uuid;

use crate::render::{account_list, timeline::Format};

/// Authors of a timeline.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Scope {
    /// All authors.
    Everybody,
    /// A single author.
    Author(Uuid),
    /// Several authors, whose messages are merged. Their ids form one byte string.
    Authors(Bytes),
}

impl Scope {
    /// Memory that the scope uses beside its own size, in bytes.
    pub(super) fn heap_bytes(&self) -> usize {
        if let Self::Authors(ids) = self {
            ids.len()
        } else {
            0
        }
    }
}

/// Key of a rendered timeline.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct TimelineKey {
    pub(crate) scope: Scope,
    pub(crate) limit: u32,
    /// Id that all messages of the timeline are older than.
    pub(crate) before: Option<Uuid>,
    pub(crate) format: Format,
}

impl TimelineKey {
    /// Key of the newest messages of a timeline.
    pub(crate) fn newest(scope: Scope, limit: u32, format: Format) -> Self {
        Self {
            scope,
            limit,
            before: None,
            format,
        }
    }

    /// Whether new messages are put before the cached ones. New messages appear only in a timeline that
    /// starts with the newest message.
    pub(super) fn grows(&self) -> bool {
        self.before.is_none()
    }
}

/// Key of a rendered list of accounts.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct FollowsKey {
    pub(crate) account: Uuid,
    pub(crate) direction: Direction,
    pub(crate) limit: u32,
    /// Id that all ids of the list are greater than.
    pub(crate) after: Option<Uuid>,
    pub(crate) format: account_list::Format,
}

impl FollowsKey {
    /// Key of the list of accounts that an account follows.
    pub(crate) fn followees(account: Uuid, limit: u32, format: account_list::Format) -> Self {
        Self {
            account,
            direction: Direction::Followees,
            limit,
            after: None,
            format,
        }
    }
}
