//! One logical call. Its attempts run one after the other, with at most one hedge beside each.

use std::{
    pin::{Pin, pin},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use http::{
    HeaderMap, Method as Verb, Request, Response, Uri, Version,
    uri::{PathAndQuery, Scheme},
};
use http_body_util::{BodyExt, Full};
use tokio::time::{Instant, Sleep, sleep_until};
use tonic::{Code, Status, body::Body};

use super::{
    exchange::{Answer, ExchangeError, exchange},
    meter::{Method, Reason},
    replica::{Lease, Replica},
    set::{Choice, Shared, replica_wait},
};
use crate::{
    protocol::timeout,
    trace::{self, Instrument as _, Outcome},
};

/// Maximum attempts lost to connections that were already closed. No server saw them, so they do not use
/// the retry budget. (gRFC A6 calls these transparent retries.)
const UNSENT_ATTEMPTS_MAX: u32 = 8;

/// Minimum remaining time for which a further attempt starts.
const REMAINING_MIN: Duration = Duration::from_millis(1);

/// A call, with the data for its attempts.
struct Call<'a> {
    shared: &'a Shared,
    method: &'a Method,
    path: PathAndQuery,
    headers: HeaderMap,
    body: Bytes,
    deadline: Instant,
}

/// Why an attempt did not end with an answer for the caller.
enum Failure {
    /// The connection was closed before the request was sent.
    Unsent(hyper::Error),
    /// The connection or the stream broke after the request may have been sent.
    Broken(hyper::Error),
    /// The attempt was not answered in time.
    TimedOut,
    /// The server answered `UNAVAILABLE`. The caller gets this answer if no other replica has a better
    /// one.
    Unavailable(Box<Answer>),
}

/// Makes a call, and records its duration and its span.
pub(super) async fn call(
    shared: Arc<Shared>,
    request: Request<Body>,
) -> Result<Response<Body>, Status> {
    let began = Instant::now();
    let method = shared.meter.method(request.uri().path());
    let span = trace::span!(
        "rpc",
        otel.name = &*method.name,
        otel.kind = "client",
        rpc.system.name = "grpc",
        rpc.method = &*method.name,
        rpc.response.status_code = tracing::field::Empty,
    );
    let outcome = Outcome::of(&span);
    let result = run(&shared, &method, request, began).instrument(span).await;
    let code = match &result {
        Ok(answer) => answer.code,
        Err(status) => status.code(),
    };
    method.record(code, began.elapsed());
    trace::finish_rpc(outcome, code);
    Ok(result?.into_response())
}

async fn run(
    shared: &Shared,
    method: &Method,
    request: Request<Body>,
    began: Instant,
) -> Result<Answer, Status> {
    let (head, body) = request.into_parts();
    let timeout = timeout::parse(&head.headers).unwrap_or(shared.config.timeout_default);
    let path = head.uri.path_and_query().cloned();
    shared.retries.deposit();
    if method.hedged {
        shared.hedges.deposit();
    }
    let call = Call {
        shared,
        method,
        path: path.unwrap_or_else(|| PathAndQuery::from_static("/")),
        headers: head.headers,
        body: body.collect().await?.to_bytes(),
        deadline: began + timeout,
    };
    call.run().await
}

impl Call<'_> {
    /// Makes attempts until there is an answer for the caller, or until no further attempt is allowed.
    async fn run(&self) -> Result<Answer, Status> {
        let config = &self.shared.config;
        let mut tried: Vec<Arc<Replica>> = Vec::new();
        let (mut attempts, mut unsent) = (0, 0);
        loop {
            if self.remaining().is_zero() {
                return Failure::TimedOut.into_result();
            }
            let until = Instant::now() + replica_wait(config, self.remaining());
            let choice = self.shared.lease(&tried, until).await?;
            attempts += 1;
            let is_last = attempts >= config.attempts_max || !self.shared.retries.has_permit();
            let limit = self.attempt_limit(is_last || choice.usable == 1);
            tried.push(Arc::clone(choice.lease.replica()));
            let failure = match self.attempt(choice, limit, &mut tried).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            let Some(reason) = failure.reason() else {
                attempts -= 1;
                unsent += 1;
                if unsent > UNSENT_ATTEMPTS_MAX {
                    return failure.into_result();
                }
                continue;
            };
            // Another replica may succeed, but the same replica would answer `UNAVAILABLE` again.
            let is_futile =
                reason == Reason::Unavailable && self.shared.choose_untried(&tried).is_none();
            if is_futile || attempts >= config.attempts_max || self.remaining() < REMAINING_MIN {
                return failure.into_result();
            }
            if !self.shared.retries.withdraw() {
                self.shared.meter.budget_exhausted.increment(1);
                return failure.into_result();
            }
            self.shared.meter.count_retry(reason);
        }
    }

    /// Time until the deadline of the call.
    fn remaining(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// Maximum time of an attempt. The last attempt gets all the remaining time. Other attempts get a
    /// share of it, so that a frozen replica leaves time for another replica.
    fn attempt_limit(&self, is_last: bool) -> Duration {
        let config = &self.shared.config;
        let remaining = self.remaining();
        if is_last {
            return remaining;
        }
        let share = remaining.mul_f64(config.attempt_share);
        share.max(config.attempt_min).min(remaining)
    }

    /// Makes one attempt, within `limit`. A read that takes longer than usual is also sent to a second
    /// replica.
    async fn attempt(
        &self,
        choice: Choice,
        limit: Duration,
        tried: &mut Vec<Arc<Replica>>,
    ) -> Result<Answer, Failure> {
        let began = Instant::now();
        let ends = began + limit;
        let hedge_at = self.hedge_at(&choice, began).filter(|at| *at < ends);
        let mut timer = pin!(sleep_until(hedge_at.unwrap_or(ends)));
        let mut lease = choice.lease;
        let first = Arc::clone(lease.replica());
        let copy = ("attempt", tried.len());
        let mut first_copy = pin!(self.send(&mut lease, limit, copy));
        let mut result = before(timer.as_mut(), first_copy.as_mut()).await;
        if result.is_none() && hedge_at.is_some() {
            timer.as_mut().reset(ends);
            result = if let Some(second) = self.hedge(tried) {
                let second = (second, tried.len());
                Some(self.race((&first, limit), first_copy, second, timer).await)
            } else {
                before(timer, first_copy).await
            };
        }
        let result = result.unwrap_or_else(|| {
            self.record_timeout(&first, limit);
            Err(Failure::TimedOut)
        });
        if result.is_ok() && self.method.hedged {
            self.method.latency.record(began.elapsed());
        }
        result
    }

    /// When to send the hedge. This is the 95th percentile of the method's latency. `None` when the
    /// call must not be hedged.
    fn hedge_at(&self, choice: &Choice, began: Instant) -> Option<Instant> {
        if !self.method.hedged || choice.usable < 2 {
            return None;
        }
        let p95 = self.method.latency.p95()?;
        Some(began + p95.max(self.shared.config.hedge_delay_min))
    }

    /// Selects a replica for the hedge. Returns `None` when there is no other replica, or no hedge
    /// permit.
    fn hedge(&self, tried: &mut Vec<Arc<Replica>>) -> Option<Lease> {
        let lease = self.shared.choose_untried(tried)?;
        self.shared.hedges.withdraw().then(|| {
            self.shared.meter.hedges.increment(1);
            tried.push(Arc::clone(lease.replica()));
            lease
        })
    }

    /// Waits for the first successful answer of two copies, or for the second failure. The stream of the
    /// slower copy is reset.
    async fn race(
        &self,
        first: (&Replica, Duration),
        mut first_copy: Pin<&mut impl Future<Output = Result<Answer, Failure>>>,
        (mut lease, number): (Lease, usize),
        mut timer: Pin<&mut Sleep>,
    ) -> Result<Answer, Failure> {
        let limit = timer.deadline() - Instant::now();
        let replica = Arc::clone(lease.replica());
        let mut second_copy = pin!(self.send(&mut lease, limit, ("hedge", number)));
        let (mut first_pending, mut second_pending) = (true, true);
        loop {
            let result = tokio::select! {
                biased;
                result = &mut first_copy, if first_pending => {
                    first_pending = false;
                    result
                }
                result = &mut second_copy, if second_pending => {
                    second_pending = false;
                    result
                }
                () = &mut timer => {
                    if first_pending {
                        self.record_timeout(first.0, first.1);
                    }
                    if second_pending {
                        self.record_timeout(&replica, limit);
                    }
                    return Err(Failure::TimedOut);
                }
            };
            if result.is_ok() || !(first_pending || second_pending) {
                return result;
            }
        }
    }

    /// Sends one copy of the call, and updates the state of the replica by the result.
    async fn send(
        &self,
        lease: &mut Lease,
        limit: Duration,
        (kind, number): (&'static str, usize),
    ) -> Result<Answer, Failure> {
        let span = trace::span!(
            "attempt",
            otel.name = kind,
            otel.kind = "client",
            rpc.attempt = trace::int(number),
            server.address = %lease.address,
        );
        let outcome = Outcome::of(&span);
        // The headers of the request name the span, so the request is built inside the span.
        let exchanged = async {
            let request = self.request(lease, limit);
            exchange(&mut lease.sender, request).await
        };
        let exchanged = exchanged.instrument(span);
        let began = Instant::now();
        let exchanged = exchanged.await;
        outcome.finish(match &exchanged {
            Ok(answer) if answer.is_cut_off() => Some(Reason::Timeout.name()),
            Ok(answer) => trace::rpc_error(answer.code),
            Err(_) => Some(Reason::Transport.name()),
        });
        match exchanged {
            Ok(answer) if answer.is_cut_off() => {
                self.record_timeout(lease, limit);
                Err(Failure::TimedOut)
            }
            Ok(answer) => {
                // The replica answered, so it is healthy. If it was slow, the cause is a shared
                // dependency such as the database, and another replica would be as slow.
                lease.record_answer();
                lease.latency.record(began.elapsed());
                match answer.code {
                    Code::Unavailable => Err(Failure::Unavailable(Box::new(answer))),
                    Code::DeadlineExceeded => Err(Failure::TimedOut),
                    _ => Ok(answer),
                }
            }
            Err(error) => {
                // The failure may be a reset of this stream alone. The replica is disconnected only if
                // its connection is closed.
                if lease.sender.is_closed() {
                    self.shared.disconnect(lease, Some(lease.generation));
                }
                Err(match error {
                    ExchangeError::Unsent(error) => Failure::Unsent(error),
                    ExchangeError::Broken(error) => Failure::Broken(error),
                })
            }
        }
    }

    /// The HTTP request of one copy, with `limit` as its `grpc-timeout`.
    fn request(&self, lease: &Lease, limit: Duration) -> Request<Full<Bytes>> {
        let mut uri = http::uri::Parts::default();
        uri.scheme = Some(Scheme::HTTP);
        uri.authority = Some(lease.authority.clone());
        uri.path_and_query = Some(self.path.clone());
        let mut request = Request::new(Full::new(self.body.clone()));
        *request.method_mut() = Verb::POST;
        *request.version_mut() = Version::HTTP_2;
        *request.uri_mut() = Uri::from_parts(uri).expect("scheme, authority and path make a URI");
        *request.headers_mut() = self.headers.clone();
        request
            .headers_mut()
            .insert(timeout::GRPC_TIMEOUT, timeout::format(limit));
        trace::inject(request.headers_mut());
        request
    }

    /// Counts a timeout against a replica, if the replica had enough time to answer. Ejects the replica
    /// after too many consecutive timeouts.
    fn record_timeout(&self, replica: &Replica, limit: Duration) {
        let config = &self.shared.config;
        if limit >= config.timeout_counted_min
            && replica.record_timeout() >= config.timeouts_to_eject
        {
            self.shared.eject(replica, Reason::Timeout);
        }
    }
}

/// The output of the future, or `None` if the timer fires first.
async fn before<T>(timer: Pin<&mut Sleep>, future: Pin<&mut impl Future<Output = T>>) -> Option<T> {
    tokio::select! {
        biased;
        output = future => Some(output),
        () = timer => None,
    }
}

impl Failure {
    /// The reason of the retry in metrics. `None` if no server has seen the attempt.
    fn reason(&self) -> Option<Reason> {
        match self {
            Self::Unsent(_) => None,
            Self::Broken(_) => Some(Reason::Transport),
            Self::TimedOut => Some(Reason::Timeout),
            Self::Unavailable(_) => Some(Reason::Unavailable),
        }
    }

    /// The result for the caller when the call is not retried.
    fn into_result(self) -> Result<Answer, Status> {
        match self {
            Self::Unsent(error) | Self::Broken(error) => Err(Status::unavailable(format!(
                "the connection to the replica broke: {error}"
            ))),
            Self::TimedOut => Err(Status::deadline_exceeded("no replica answered in time")),
            Self::Unavailable(answer) => Ok(*answer),
        }
    }
}
