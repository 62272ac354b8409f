//! What is new on the public timeline, told to those who look at it while they look.
//!
//! However many watch, one conditional read a second is made; with nobody watching, none.

use std::{
    convert::Infallible,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use axum::{
    body::Body,
    extract::State,
    response::{IntoResponse as _, Response},
};
use bytes::Bytes;
use chassis::deadline::Deadline;
use futures_util::stream;
use http::{HeaderName, StatusCode, header};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{PageAnswer, error::PageError, timeline::PER_PAGE};
use crate::{
    App,
    backend::timelines::{Entry, Format, Scope, TimelineKey},
};

/// How often is looked.
const INTERVAL: Duration = Duration::from_secs(1);

/// How often a line is sent that says nothing, so that a dead connection is noticed.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// How many may watch at once.
const WATCHERS_MAX: usize = 4096;

/// The newest messages, for all who watch.
pub(crate) struct Live {
    /// Their ids, newest first; `None` before the first look.
    newest: watch::Sender<Option<Bytes>>,
    looking: Mutex<bool>,
    shutdown: CancellationToken,
}

/// The ids of messages, newest first.
pub(crate) fn render(entries: &[Entry]) -> Bytes {
    let ids: Vec<String> = entries.iter().map(|entry| entry.id.to_string()).collect();
    ids.join(" ").into()
}

impl Live {
    pub(crate) fn new(shutdown: CancellationToken) -> Self {
        Self {
            newest: watch::Sender::new(None),
            looking: Mutex::new(false),
            shutdown,
        }
    }

    /// Begins to watch; the first one starts the looking.
    fn subscribe(&self, app: &App) -> watch::Receiver<Option<Bytes>> {
        let mut looking = self.looking.lock().unwrap_or_else(PoisonError::into_inner);
        let receiver = self.newest.subscribe();
        if !*looking {
            *looking = true;
            tokio::spawn(look(app.clone()));
        }
        receiver
    }

    /// Whether nobody watches any more. Decided under the lock under which watching begins.
    fn is_over(&self) -> bool {
        let mut looking = self.looking.lock().unwrap_or_else(PoisonError::into_inner);
        let over = self.newest.receiver_count() == 0 || self.shutdown.is_cancelled();
        if over {
            *looking = false;
            self.newest.send_replace(None);
        }
        over
    }
}

/// Looks once a second until nobody watches.
async fn look(app: App) {
    let live = &app.0.live;
    while !live.is_over() {
        let (limit, format) = (PER_PAGE + 1, Format::Ids);
        let key = TimelineKey {
            scope: Scope::Everybody,
            limit,
            before: None,
            format,
        };
        match app
            .0
            .backend
            .timelines
            .list(key, Deadline::after(INTERVAL))
            .await
        {
            Ok(ids) => {
                let ids = ids.body.bytes();
                live.newest.send_if_modified(|newest| {
                    let changed = newest.as_ref() != Some(&ids);
                    *newest = Some(ids);
                    changed
                });
            }
            Err(status) => tracing::debug!(code = ?status.code(), "nothing new can be told"),
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

/// `/-/live`: the ids of the newest messages, now and whenever they change.
pub(super) async fn watch(State(app): State<App>) -> PageAnswer {
    let live = &app.0.live;
    if live.newest.receiver_count() >= WATCHERS_MAX {
        return Err(PageError::new(StatusCode::SERVICE_UNAVAILABLE));
    }
    let mut receiver = live.subscribe(&app);
    receiver.mark_changed();
    let watcher = Watcher {
        receiver,
        shutdown: live.shutdown.clone(),
        state: Told::Nothing,
    };
    let events = stream::unfold(watcher, |mut watcher| async move {
        let event = watcher.next().await?;
        Some((Ok::<_, Infallible>(event), watcher))
    });
    Ok(answer(Body::from_stream(events)))
}

fn answer(body: Body) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-store"),
        // A proxy that waits for more would tell it late.
        (HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    (headers, body).into_response()
}

struct Watcher {
    receiver: watch::Receiver<Option<Bytes>>,
    shutdown: CancellationToken,
    state: Told,
}

enum Told {
    Nothing,
    Something,
    Goodbye,
}

impl Watcher {
    async fn next(&mut self) -> Option<Bytes> {
        if matches!(self.state, Told::Nothing) {
            self.state = Told::Something;
            return Some(retry());
        }
        loop {
            if matches!(self.state, Told::Goodbye) {
                return None;
            }
            tokio::select! {
                biased;
                () = self.shutdown.cancelled() => {
                    self.state = Told::Goodbye;
                    return Some(retry());
                }
                changed = self.receiver.changed() => {
                    changed.ok()?;
                    let newest = self.receiver.borrow_and_update();
                    if let Some(ids) = newest.as_deref() {
                        return Some([b"data: ".as_slice(), ids, b"\n\n"].concat().into());
                    }
                }
                () = tokio::time::sleep(KEEP_ALIVE) => return Some(Bytes::from_static(b":\n\n")),
            }
        }
    }
}

/// When to come back after the end: not all at once.
fn retry() -> Bytes {
    format!("retry: {}\n\n", rand::random_range(1_000..5_000)).into()
}
