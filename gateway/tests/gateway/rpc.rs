//! One rpc of a fake service, which records its requests and answers them by a script.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::{
    sync::{Notify, watch},
    time::timeout,
};
use tonic::{Request, Response, Status};

/// Maximum time until an expected call arrives. A call that the gateway makes arrives much earlier.
const CALL_TIMEOUT: Duration = Duration::from_secs(20);

/// Computes the response to a request.
type Script<Q, A> = Box<dyn FnMut(&Q) -> Result<A, Status> + Send>;

/// Rpc with the request type `Q` and the response type `A`.
pub(crate) struct Rpc<Q, A> {
    script: Mutex<Script<Q, A>>,
    /// Requests in the order of their arrival.
    requests: watch::Sender<Vec<Q>>,
    /// Whether a call waits for its release before its answer.
    held: AtomicBool,
    /// Wakes the held calls.
    releases: Notify,
}

impl<Q: Clone, A> Rpc<Q, A> {
    pub(crate) fn new(script: impl FnMut(&Q) -> Result<A, Status> + Send + 'static) -> Self {
        Self {
            script: Mutex::new(Box::new(script)),
            requests: watch::Sender::new(Vec::new()),
            held: AtomicBool::new(false),
            releases: Notify::new(),
        }
    }

    /// Rpc that the test does not expect.
    pub(crate) fn unscripted() -> Self {
        Self::new(|_| Err(Status::unimplemented("the test has no script for this rpc")))
    }

    /// Replaces the script.
    pub(crate) fn answer_with(&self, script: impl FnMut(&Q) -> Result<A, Status> + Send + 'static) {
        *self.script.lock().unwrap() = Box::new(script);
    }

    /// Holds each later call until [`release`](Self::release) permits its answer.
    pub(crate) fn hold(&self) {
        self.held.store(true, Relaxed);
    }

    /// Permits the answers of all held calls, and of all later calls.
    pub(crate) fn release(&self) {
        self.held.store(false, Relaxed);
        self.releases.notify_waiters();
    }

    /// Requests that have arrived.
    pub(crate) fn requests(&self) -> Vec<Q> {
        self.requests.borrow().clone()
    }

    /// Waits until `count` calls have arrived and returns their requests.
    pub(crate) async fn wait_for_calls(&self, count: usize) -> Vec<Q> {
        let mut requests = self.requests.subscribe();
        let arrived = requests.wait_for(|requests| requests.len() >= count);
        let Ok(arrived) = timeout(CALL_TIMEOUT, arrived).await else {
            let arrived = self.requests().len();
            panic!("{arrived} instead of {count} calls arrived within {CALL_TIMEOUT:?}");
        };
        arrived.unwrap().clone()
    }

    /// Records a call, and answers the call when the test permits.
    pub(crate) async fn call(&self, request: Request<Q>) -> Result<Response<A>, Status> {
        let request = request.into_inner();
        let recorded = request.clone();
        self.requests
            .send_modify(|requests| requests.push(recorded));
        let released = self.releases.notified();
        if self.held.load(Relaxed) {
            released.await;
        }
        let script = &mut *self.script.lock().unwrap();
        script(&request).map(Response::new)
    }
}
