//! Accounts as pages list them.

use std::sync::Arc;

use askama::Template;
use bytes::Bytes;
use minitwit_client::accounts::Account;

use super::{avatar::Avatars, escape};

#[derive(Template)]
#[template(path = "people.html")]
struct People<'a> {
    accounts: &'a [Arc<Account>],
    avatars: Avatars,
}

/// A list of accounts.
pub(crate) fn render(accounts: &[Arc<Account>], avatars: Avatars) -> Bytes {
    People { accounts, avatars }
        .render()
        .expect("a string takes everything")
        .into()
}
