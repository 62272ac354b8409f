//! The timelines: everybody's, one's own, and another's.

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
    PageAnswer, escape,
    layout::Layout,
    person::Named,
    visitor::{self, SignedIn, Visitor},
};
use crate::{
    App, SIDE_BUDGET,
    backend::{
        follows::{FollowsKey, Form},
        keep::Rendered,
        timelines::{Format, Scope, TimelineKey},
    },
};

/// How many messages a page lists.
pub(crate) const PER_PAGE: u32 = 30;

/// The most people whose messages make a timeline.
const FOLLOWEES_MAX: u32 = minitwit_proto::limits::FOLLOW_LIST_IDS_MAX;

#[derive(Template)]
#[template(path = "timeline.html")]
struct TimelinePage<'a> {
    layout: Layout<'a>,
    title: &'a str,
    /// The feed of the same messages.
    feed: Option<String>,
    person: Option<Person>,
    twitbox: bool,
    /// What is not as it should be.
    notice: Option<&'static str>,
    /// What can be done about there being nothing to read.
    advice: Option<&'static str>,
    /// Whether it is kept up to date while it is looked at.
    live: bool,
    /// The newest message listed.
    newest: String,
    messages: Cow<'a, str>,
    older: Option<String>,
    newer: Option<&'a str>,
}

/// Whose timeline a page is.
struct Person {
    name: String,
    path: String,
    avatar: String,
    messages: Option<i64>,
    follows: Option<FollowCounts>,
    standing: Standing,
}

/// How the visitor stands to them.
enum Standing {
    /// Nobody is signed in.
    Nobody,
    Myself,
    Follows,
    Apart,
    /// The follower service is away.
    Unknown,
}

/// The message that a page is to begin behind.
pub(crate) struct Before(pub(super) Option<Uuid>);

impl Before {
    pub(crate) fn parse(query: Option<&str>) -> Self {
        let mut pairs = form_urlencoded::parse(query.unwrap_or_default().as_bytes());
        let before = pairs.find(|(name, _)| name == "before");
        Self(before.and_then(|(_, id)| id.parse().ok()))
    }
}

async fn list(
    app: &App,
    scope: Scope,
    before: &Before,
    visitor: &Visitor,
) -> Result<Arc<Rendered>, Status> {
    app.0.backend.counters.get.increment(1);
    let avatars = app.0.pages.avatars;
    let format = if visitor.is_moderator() {
        Format::Moderated(avatars)
    } else {
        Format::Html(avatars)
    };
    let key = TimelineKey {
        scope,
        limit: PER_PAGE + 1,
        before: before.0,
        format,
    };
    app.0.backend.timelines.list(key, visitor.deadline).await
}

impl<'a> TimelinePage<'a> {
    /// A page of `messages`; `path` is where the newest of them are.
    fn of(
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
            person: None,
            twitbox: false,
            notice: None,
            advice: None,
            live: false,
            newest: messages.first.map(|id| id.to_string()).unwrap_or_default(),
            messages: messages.body.text(),
            older: last.map(|last| format!("{path}?before={last}")),
            newer: before.0.map(|_| path),
        }
    }
}

/// `/public`: everybody's messages.
pub(super) async fn public(
    State(app): State<App>,
    visitor: Visitor,
    RawQuery(query): RawQuery,
) -> PageAnswer {
    let before = Before::parse(query.as_deref());
    let messages = list(&app, Scope::Everybody, &before, &visitor).await?;
    let layout = visitor.layout("/public");
    let page = || TimelinePage {
        feed: Some("/-/public.atom".to_owned()),
        live: before.0.is_none(),
        ..TimelinePage::of(layout, "Public Timeline", "/public", &before, &messages)
    };
    if before.0.is_some() || !visitor.is_anybody() {
        return Ok(visitor.page(&page()));
    }
    // What most readers look at is made once for all of them.
    let whole = messages.page.get_or_init(|| visitor::rendered(&page()));
    Ok(Html(whole.clone()).into_response())
}

/// `/`: one's own messages and those of whom one follows.
pub(super) async fn mine(
    State(app): State<App>,
    visitor: Visitor,
    RawQuery(query): RawQuery,
) -> PageAnswer {
    let Some(me) = &visitor.account else {
        return Ok(visitor.redirect("/public"));
    };
    let before = Before::parse(query.as_deref());
    let key = FollowsKey::followees(me.id, FOLLOWEES_MAX, Form::Authors);
    let side = visitor.deadline.at_most(SIDE_BUDGET);
    let (scope, notice) = match app.0.backend.follows.list(key, side).await {
        Ok(authors) => (Scope::Authors(authors.body.bytes()), None),
        Err(status) => {
            tracing::warn!(code = ?status.code(), "a timeline is shown without those followed");
            let notice =
                "Whom you follow cannot be told right now: these are your own messages alone.";
            (Scope::Author(me.id), Some(notice))
        }
    };
    let messages = list(&app, scope, &before, &visitor).await?;
    let layout = visitor.layout("/");
    Ok(visitor.page(&TimelinePage {
        twitbox: before.0.is_none(),
        notice,
        advice: messages.first.is_none().then_some(
            "What you write shows up here, and so does what those write whom you follow.",
        ),
        ..TimelinePage::of(layout, "My Timeline", "/", &before, &messages)
    }))
}

/// `/{username}`: one person's messages.
pub(super) async fn of_user(
    State(app): State<App>,
    visitor: Visitor,
    named: Named,
    RawQuery(query): RawQuery,
) -> PageAnswer {
    let account = named.account(&app, visitor.deadline).await?;
    let before = Before::parse(query.as_deref());
    let (messages, person) = tokio::join!(
        list(&app, Scope::Author(account.id), &before, &visitor),
        person(
            &app,
            &account,
            visitor.account.as_ref(),
            visitor.deadline.at_most(SIDE_BUDGET)
        ),
    );
    let messages = messages?;
    let path = person.path.clone();
    Ok(visitor.page(&TimelinePage {
        feed: Some(format!("{path}/atom")),
        person: Some(person),
        ..TimelinePage::of(visitor.layout(""), "", &path, &before, &messages)
    }))
}

/// What there is to say of a person, as far as the services can be reached.
async fn person(app: &App, account: &Account, me: Option<&SignedIn>, deadline: Deadline) -> Person {
    let reads = &app.0.backend.reads;
    let standing = async {
        match me {
            None => Standing::Nobody,
            Some(me) if me.id == account.id => Standing::Myself,
            Some(me) => match reads.follows(me.id, account.id, deadline).await {
                Ok(true) => Standing::Follows,
                Ok(false) => Standing::Apart,
                Err(_) => Standing::Unknown,
            },
        }
    };
    let (messages, follows, standing) = tokio::join!(
        reads.message_count(account.id, deadline),
        reads.follow_counts(account.id, deadline),
        standing,
    );
    Person {
        name: account.username.clone(),
        path: escape::user_path(&account.username),
        avatar: app.0.pages.avatars.address(&account.avatar_hash),
        messages: messages.ok(),
        follows: follows.ok(),
        standing,
    }
}
