//! Following people, and who follows whom.

use std::borrow::Cow;

use askama::Template;
use axum::extract::{RawQuery, State};
use minitwit_client::follows::Edge;
use minitwit_proto::follower::v1::Direction;
use uuid::Uuid;

use super::{PageAnswer, escape, layout::Layout, person::Named, visitor::Visitor};
use crate::{
    App,
    backend::follows::{FollowsKey, Form},
};

/// How many people a page lists.
const PER_PAGE: u32 = 50;

pub(super) async fn follow(state: State<App>, visitor: Visitor, named: Named) -> PageAnswer {
    set(state, visitor, named, true).await
}

pub(super) async fn unfollow(state: State<App>, visitor: Visitor, named: Named) -> PageAnswer {
    set(state, visitor, named, false).await
}

async fn set(
    State(app): State<App>,
    mut visitor: Visitor,
    named: Named,
    following: bool,
) -> PageAnswer {
    let me = visitor.confirmed()?;
    let backend = &app.0.backend;
    let account = named.account(&app, visitor.deadline).await?;
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
    Ok(visitor.redirect(&escape::user_path(name)))
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

pub(super) async fn followers(
    state: State<App>,
    visitor: Visitor,
    named: Named,
    RawQuery(query): RawQuery,
) -> PageAnswer {
    people(
        state,
        visitor,
        named,
        query.as_deref(),
        Direction::Followers,
    )
    .await
}

pub(super) async fn following(
    state: State<App>,
    visitor: Visitor,
    named: Named,
    RawQuery(query): RawQuery,
) -> PageAnswer {
    people(
        state,
        visitor,
        named,
        query.as_deref(),
        Direction::Followees,
    )
    .await
}

async fn people(
    State(app): State<App>,
    visitor: Visitor,
    named: Named,
    query: Option<&str>,
    direction: Direction,
) -> PageAnswer {
    let account = named.account(&app, visitor.deadline).await?;
    let key = FollowsKey {
        account: account.id,
        direction,
        limit: PER_PAGE + 1,
        after: after(query),
        form: Form::Html(app.0.pages.avatars),
    };
    let people = app.0.backend.follows.list(key, visitor.deadline).await?;
    let (name, path) = (
        account.username.as_str(),
        escape::user_path(&account.username),
    );
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

fn after(query: Option<&str>) -> Option<Uuid> {
    let mut pairs = form_urlencoded::parse(query.unwrap_or_default().as_bytes());
    pairs.find(|(name, _)| name == "after")?.1.parse().ok()
}
