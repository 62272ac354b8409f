//! Pages of the public timeline, of the visitor's own timeline and of a user's timeline.

use std::{borrow::Cow, sync::Arc};

use askama::Template;
use axum::{
    extract::{RawQuery, State},
    response::{Html, IntoResponse as _},
};
use chassis::deadline::Deadline;
use minitwit_client::{accounts::Account, reads::FollowCounts};
use tonic::Status;
use uuid::Uuid;

use super::{
    PageResult,
    layout::{self, Layout},
    path_user::PathUser,
    request::PageRequest,
    visitor::{SignedIn, Visitor},
};
use crate::{
    App, SIDE_BUDGET,
    backend::{
        keys::FollowsKey,
        keys::{Scope, TimelineKey},
        render_cache::Rendered,
    },
    render::{account_list, path::user_path, timeline::Format},
};

/// Number of messages on a page.
pub(super) const PER_PAGE: u32 = 30;

/// Maximum number of followed accounts whose messages are merged into a timeline.
const FOLLOWEES_MAX: u32 = minitwit_proto::limits::FOLLOW_LIST_IDS_MAX;

#[derive(Template)]
#[template(path = "timeline.html")]
struct TimelinePage<'a> {
    layout: Layout<'a>,
    title: &'a str,
    /// Path of the feed with the same messages.
    feed: Option<String>,
    user: Option<UserHeader>,
    twitbox: bool,
    /// Notice that the page is incomplete.
    notice: Option<&'static str>,
    /// Hint for a timeline without messages.
    hint: Option<&'static str>,
    /// Whether the page shows that new messages exist.
    live: bool,
    /// Id of the newest message on the page, or empty.
    newest_id: String,
    messages: Cow<'a, str>,
    /// Path of the next page.
    older: Option<String>,
    /// Path of the first page, if this page is another one.
    newest_page: Option<&'a str>,
}

/// Header of a user's timeline.
struct UserHeader {
    name: String,
    path: String,
    avatar: String,
    messages: Option<i64>,
    follows: Option<FollowCounts>,
    relationship: Relationship,
}

/// Relationship of the visitor to the user of a timeline.
enum Relationship {
    /// The visitor is not signed in.
    Anonymous,
    /// The visitor is the user.
    Myself,
    Following,
    NotFollowing,
    /// The follower service is unavailable.
    Unknown,
}

/// Id of the last message or flag on the page before. `None` on the first page.
pub(super) struct Before(pub(super) Option<Uuid>);

impl Before {
    pub(super) fn parse(query: Option<&str>) -> Self {
        let mut pairs = form_urlencoded::parse(query.unwrap_or_default().as_bytes());
        let before = pairs.find(|(name, _)| name == "before");
        Self(before.and_then(|(_, id)| id.parse().ok()))
    }
}

/// Format of messages for a visitor.
pub(super) fn format(app: &App, visitor: &Visitor) -> Format {
    let avatars = app.0.pages.avatars;
    if visitor.is_moderator() {
        Format::ModeratorHtml(avatars)
    } else {
        Format::Html(avatars)
    }
}

async fn list(
    app: &App,
    scope: Scope,
    before: &Before,
    visitor: &Visitor,
) -> Result<Arc<Rendered>, Status> {
    app.0.backend.counters.get.increment(1);
    let key = TimelineKey {
        scope,
        limit: PER_PAGE + 1,
        before: before.0,
        format: format(app, visitor),
    };
    app.0.backend.timelines.list(key, visitor.deadline).await
}

impl<'a> TimelinePage<'a> {
    /// Page of `messages`. `path` is the path of the first page.
    fn new(
        layout: Layout<'a>,
        title: &'a str,
        path: &'a str,
        before: &Before,
        messages: &'a Rendered,
    ) -> Self {
        let last = messages.last.filter(|_| messages.more);
        Self {
            layout,
            title,
            feed: None,
            user: None,
            twitbox: false,
            notice: None,
            hint: None,
            live: false,
            newest_id: messages.first.map(|id| id.to_string()).unwrap_or_default(),
            messages: messages.body.text(),
            older: last.map(|last| format!("{path}?before={last}")),
            newest_page: before.0.map(|_| path),
        }
    }
}

/// `/public`, messages of all users.
pub(super) async fn public(
    State(app): State<App>,
    request: PageRequest,
    RawQuery(query): RawQuery,
) -> PageResult {
    let visitor = request.verify_session().await;
    let before = Before::parse(query.as_deref());
    let messages = list(&app, Scope::Everybody, &before, &visitor).await?;
    let layout = visitor.layout("/public");
    let page = || TimelinePage {
        feed: Some("/-/public.atom".to_owned()),
        live: before.0.is_none(),
        ..TimelinePage::new(layout, "Public Timeline", "/public", &before, &messages)
    };
    if before.0.is_some() || !visitor.is_anonymous() {
        return Ok(visitor.page(&page()));
    }
    // All visitors without session and flashes share one rendered page.
    let rendered = messages.page.get_or_init(|| layout::render(&page()));
    Ok(Html(rendered.clone()).into_response())
}

/// `/`, messages of the visitor and of the accounts that the visitor follows.
pub(super) async fn mine(
    State(app): State<App>,
    request: PageRequest,
    RawQuery(query): RawQuery,
) -> PageResult {
    let visitor = request.verify_session().await;
    let Some(me) = &visitor.account else {
        return Ok(visitor.redirect("/public"));
    };
    let before = Before::parse(query.as_deref());
    let key = FollowsKey::followees(me.id, FOLLOWEES_MAX, account_list::Format::AuthorIds);
    let side = visitor.deadline.at_most(SIDE_BUDGET);
    let (scope, notice) = match app.0.backend.follows.list(key, side).await {
        Ok(authors) => (Scope::Authors(authors.body.bytes()), None),
        Err(status) => {
            tracing::warn!(code = ?status.code(), "timeline without followed accounts: follower service unavailable");
            let notice = "The people you follow cannot be loaded right now. \
                          This page shows only your own messages.";
            (Scope::Author(me.id), Some(notice))
        }
    };
    let messages = list(&app, scope, &before, &visitor).await?;
    let layout = visitor.layout("/");
    Ok(visitor.page(&TimelinePage {
        twitbox: before.0.is_none(),
        notice,
        hint: messages
            .first
            .is_none()
            .then_some("Your messages and those of the people you follow appear here."),
        ..TimelinePage::new(layout, "My Timeline", "/", &before, &messages)
    }))
}

/// `/{username}`, messages of one user.
pub(super) async fn of_user(
    State(app): State<App>,
    request: PageRequest,
    user: PathUser,
    RawQuery(query): RawQuery,
) -> PageResult {
    let visitor = request.verify_session().await;
    let account = user.account(&app, visitor.deadline).await?;
    let before = Before::parse(query.as_deref());
    let (messages, user) = tokio::join!(
        list(&app, Scope::Author(account.id), &before, &visitor),
        user_header(
            &app,
            &account,
            visitor.account.as_ref(),
            visitor.deadline.at_most(SIDE_BUDGET)
        ),
    );
    let messages = messages?;
    let path = user.path.clone();
    Ok(visitor.page(&TimelinePage {
        feed: Some(format!("{path}/atom")),
        user: Some(user),
        ..TimelinePage::new(visitor.layout(""), "", &path, &before, &messages)
    }))
}

/// Reads the header of a user's timeline. Values of an unavailable service are missing.
async fn user_header(
    app: &App,
    account: &Account,
    me: Option<&SignedIn>,
    deadline: Deadline,
) -> UserHeader {
    let reads = &app.0.backend.reads;
    let relationship = async {
        match me {
            None => Relationship::Anonymous,
            Some(me) if me.id == account.id => Relationship::Myself,
            Some(me) => match reads.follows(me.id, account.id, deadline).await {
                Ok(true) => Relationship::Following,
                Ok(false) => Relationship::NotFollowing,
                Err(_) => Relationship::Unknown,
            },
        }
    };
    let (messages, follows, relationship) = tokio::join!(
        reads.message_count(account.id, deadline),
        reads.follow_counts(account.id, deadline),
        relationship,
    );
    UserHeader {
        name: account.username.clone(),
        path: user_path(&account.username),
        avatar: app.0.pages.avatars.address(&account.avatar_hash),
        messages: messages.ok(),
        follows: follows.ok(),
        relationship,
    }
}
