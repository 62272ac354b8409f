//! Following and unfollowing, and lists of followers and followees.

use std::borrow::Cow;

use askama::Template;
use axum::extract::{RawQuery, State};
use minitwit_client::follows::Edge;
use minitwit_proto::follower::v1::Direction;
use uuid::Uuid;

use super::{
    PageResult, csrf::StateChange, layout::Layout, path_user::PathUser, request::PageRequest,
};
use crate::{
    App,
    backend::keys::FollowsKey,
    render::{account_list::Format, path::user_path},
};

/// Number of accounts on a page.
const PER_PAGE: u32 = 50;

/// `/{username}/follow` follows a user.
pub(super) async fn follow(
    state: State<App>,
    change: StateChange,
    request: PageRequest,
    user: PathUser,
) -> PageResult {
    set(state, &change, request, user, true).await
}

/// `/{username}/unfollow` stops following a user.
pub(super) async fn unfollow(
    state: State<App>,
    change: StateChange,
    request: PageRequest,
    user: PathUser,
) -> PageResult {
    set(state, &change, request, user, false).await
}

async fn set(
    State(app): State<App>,
    change: &StateChange,
    request: PageRequest,
    user: PathUser,
    following: bool,
) -> PageResult {
    let mut visitor = request.verify_session().await;
    let me = visitor.confirmed(change)?;
    let backend = &app.0.backend;
    let account = user.account(&app, visitor.deadline).await?;
    if following {
        &backend.counters.follow
    } else {
        &backend.counters.unfollow
    }
    .increment(1);
    let edge = Edge {
        follower: me.id,
        followee: account.id,
        following,
    };
    backend
        .follow_writes
        .set(edge, visitor.origin.key, visitor.deadline)
        .await?;
    let name = &account.username;
    visitor.flash(if following {
        format!("You are now following \"{name}\"")
    } else {
        format!("You are no longer following \"{name}\"")
    });
    Ok(visitor.redirect(&user_path(name)))
}

#[derive(Template)]
#[template(path = "people_page.html")]
struct PeoplePage<'a> {
    layout: Layout<'a>,
    title: &'a str,
    name: &'a str,
    path: &'a str,
    people: Cow<'a, str>,
    more: Option<String>,
}

/// `/{username}/followers` lists the followers of a user.
pub(super) async fn followers(
    state: State<App>,
    request: PageRequest,
    user: PathUser,
    RawQuery(query): RawQuery,
) -> PageResult {
    people(state, request, user, query.as_deref(), Direction::Followers).await
}

/// `/{username}/following` lists the accounts that a user follows.
pub(super) async fn following(
    state: State<App>,
    request: PageRequest,
    user: PathUser,
    RawQuery(query): RawQuery,
) -> PageResult {
    people(state, request, user, query.as_deref(), Direction::Followees).await
}

async fn people(
    State(app): State<App>,
    request: PageRequest,
    user: PathUser,
    query: Option<&str>,
    direction: Direction,
) -> PageResult {
    let visitor = request.verify_session().await;
    let account = user.account(&app, visitor.deadline).await?;
    let key = FollowsKey {
        account: account.id,
        direction,
        limit: PER_PAGE + 1,
        after: after(query),
        format: Format::Html(app.0.pages.avatars),
    };
    let people = app.0.backend.follows.list(key, visitor.deadline).await?;
    let (name, path) = (account.username.as_str(), user_path(&account.username));
    let (title, page) = match direction {
        Direction::Followers => (format!("Followers of {name}"), "followers"),
        _ => (format!("Followed by {name}"), "following"),
    };
    let last = people.last.filter(|_| people.more);
    Ok(visitor.page(&PeoplePage {
        layout: visitor.layout(""),
        title: &title,
        name,
        path: &path,
        people: people.body.text(),
        more: last.map(|last| format!("{path}/{page}?after={last}")),
    }))
}

/// Id of the last account on the page before.
fn after(query: Option<&str>) -> Option<Uuid> {
    let mut pairs = form_urlencoded::parse(query.unwrap_or_default().as_bytes());
    pairs.find(|(name, _)| name == "after")?.1.parse().ok()
}
