//! Live updates of the public timeline as server-sent events.
//!
//! While clients are connected, the gateway makes one conditional read per second for all of them.
//! Without clients, it makes no read.

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

use super::{PageResult, error::PageError, timeline::PER_PAGE};
use crate::{
    App,
    backend::keys::{Scope, TimelineKey},
    render::timeline::Format,
};

/// Interval between two reads.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// Time without events after which a comment is sent, so that a dead connection is noticed.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Maximum number of connected clients.
const CLIENTS_MAX: usize = 4096;

/// Newest messages of the public timeline, shared by all connected clients.
pub(crate) struct Live {
    /// Ids, newest first. `None` before the first read.
    newest: watch::Sender<Option<Bytes>>,
    polling: Mutex<bool>,
    shutdown: CancellationToken,
}

impl Live {
    pub(crate) fn new(shutdown: CancellationToken) -> Self {
        Self {
            newest: watch::Sender::new(None),
            polling: Mutex::new(false),
            shutdown,
        }
    }

    /// Subscribes to changes. The first subscription starts the task that reads.
    fn subscribe(&self, app: &App) -> watch::Receiver<Option<Bytes>> {
        let mut polling = self.polling.lock().unwrap_or_else(PoisonError::into_inner);
        let receiver = self.newest.subscribe();
        if !*polling {
            *polling = true;
            tokio::spawn(poll(app.clone()));
        }
        receiver
    }

    /// Whether the task that reads must end, because no client is connected or the gateway stops.
    /// Subscriptions take the same lock, so none is missed.
    fn end_polling(&self) -> bool {
        let mut polling = self.polling.lock().unwrap_or_else(PoisonError::into_inner);
        let end = self.newest.receiver_count() == 0 || self.shutdown.is_cancelled();
        if end {
            *polling = false;
            self.newest.send_replace(None);
        }
        end
    }
}

/// Reads the newest ids once per interval while clients are connected.
async fn poll(app: App) {
    let live = &app.0.live;
    let timelines = &app.0.backend.timelines;
    while !live.end_polling() {
        let key = TimelineKey::newest(Scope::Everybody, PER_PAGE + 1, Format::Ids);
        match timelines.list(key, Deadline::after(POLL_INTERVAL)).await {
            Ok(ids) => {
                let ids = ids.body.bytes();
                live.newest.send_if_modified(|newest| {
                    let changed = newest.as_ref() != Some(&ids);
                    *newest = Some(ids);
                    changed
                });
            }
            Err(status) => tracing::debug!(code = ?status.code(), "live poll failed"),
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

/// `/-/live` sends the ids of the newest messages, at the start and after every change.
pub(super) async fn watch(State(app): State<App>) -> PageResult {
    let live = &app.0.live;
    if live.newest.receiver_count() >= CLIENTS_MAX {
        return Err(PageError::new(StatusCode::SERVICE_UNAVAILABLE));
    }
    let mut receiver = live.subscribe(&app);
    receiver.mark_changed();
    let events = Events {
        receiver,
        shutdown: live.shutdown.clone(),
        state: StreamState::Starting,
    };
    let events = stream::unfold(events, |mut events| async move {
        let event = events.next().await?;
        Some((Ok::<_, Infallible>(event), events))
    });
    Ok(event_stream(Body::from_stream(events)))
}

fn event_stream(body: Body) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-store"),
        // A proxy that buffers the response would delay the events.
        (HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    (headers, body).into_response()
}

/// Events of one client.
struct Events {
    receiver: watch::Receiver<Option<Bytes>>,
    shutdown: CancellationToken,
    state: StreamState,
}

enum StreamState {
    /// No event was sent.
    Starting,
    /// The time to reconnect was sent.
    Open,
    /// The gateway stops, and the last event was sent.
    Ended,
}

impl Events {
    async fn next(&mut self) -> Option<Bytes> {
        if matches!(self.state, StreamState::Starting) {
            self.state = StreamState::Open;
            return Some(reconnection_time());
        }
        loop {
            if matches!(self.state, StreamState::Ended) {
                return None;
            }
            tokio::select! {
                biased;
                () = self.shutdown.cancelled() => {
                    self.state = StreamState::Ended;
                    return Some(reconnection_time());
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

/// Event that tells the client when to reconnect. The time is random, so that clients do not reconnect
/// all at once.
fn reconnection_time() -> Bytes {
    format!("retry: {}\n\n", rand::random_range(1_000..5_000)).into()
}
