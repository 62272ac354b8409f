//! HTML lists of messages and of accounts.

use std::{io::Write, sync::Arc};

use askama::Template;
use bytes::Bytes;

use super::{Account, Entry, avatar::Avatars, path, text, time};

#[derive(Template)]
#[template(path = "message_item.html")]
struct MessageItem<'a> {
    entry: &'a Entry,
    avatars: Avatars,
    /// Whether the item has a button that flags the message.
    flag_button: bool,
}

/// Writes one message of a list. `flag_button` adds a button for moderators.
pub(super) fn write_message(
    entry: &Entry,
    avatars: Avatars,
    flag_button: bool,
    out: &mut impl Write,
) {
    let item = MessageItem {
        entry,
        avatars,
        flag_button,
    };
    item.write_into(out)
        .expect("a byte vector accepts every write");
}

#[derive(Template)]
#[template(path = "people.html")]
struct AccountList<'a> {
    accounts: &'a [Arc<Account>],
    avatars: Avatars,
}

/// Renders a list of accounts.
pub(crate) fn accounts(accounts: &[Arc<Account>], avatars: Avatars) -> Bytes {
    AccountList { accounts, avatars }
        .render()
        .expect("a string accepts every write")
        .into()
}
