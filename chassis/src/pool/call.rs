//! One logical call: its attempts, one after the other and at most two at once.

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
    exchange::{Answer, Broken, exchange},
    meter::{Method, Reason},
    replica::{Lease, Replica},
    set::{Choice, Shared, empty_wait},
    timeout,
};
use crate::trace::{self, Span, SpanKind};

/// So often a connection may turn out to be closed before a call was sent on it; such attempts cost
/// no server anything and so no budget.
const UNSENT_MAX: u32 = 8;

/// With less time than this no further attempt is begun.
const MEANINGFUL: Duration = Duration::from_millis(1);

/// A call with all that an attempt of it needs.
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
    Unsent(hyper::Error),
    Lost(hyper::Error),
    TimedOut,
    /// The server's own `UNAVAILABLE`, kept in case nobody knows better.
    Unavailable(Box<Answer>),
}

/// Makes a call and counts it.
pub(super) async fn call(
    shared: Arc<Shared>,
    request: Request<Body>,
) -> Result<Response<Body>, Status> {
    let began = Instant::now();
    let method = shared.meter.method(request.uri().path());
    let span = Span::child(SpanKind::Client, || method.name.clone().into());
    let result = span.run(run(&shared, &method, request, began)).await;
    let code = match &result {
        Ok(answer) => answer.code,
        Err(status) => status.code(),
    };
    method.record(code, began.elapsed());
    trace::finish_rpc(span, &method.name, code);
    Ok(result?.into_response())
}

async fn run(
    shared: &Shared,
    method: &Method,
    request: Request<Body>,
    began: Instant,
) -> Result<Answer, Status> {
    let (head, body) = request.into_parts();
    let given = timeout::parse(&head.headers).unwrap_or(shared.config.timeout_default);
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
        deadline: began + given,
    };
    call.run().await
}

impl Call<'_> {
    async fn run(&self) -> Result<Answer, Status> {
        let config = &self.shared.config;
        let mut tried: Vec<Arc<Replica>> = Vec::new();
        let (mut attempts, mut unsent) = (0, 0);
        loop {
            if self.remaining().is_zero() {
                return Failure::TimedOut.settle();
            }
            let until = Instant::now() + empty_wait(config, self.remaining());
            let choice = self.shared.lease(&tried, until).await?;
            attempts += 1;
            let last = attempts >= config.attempts_max || !self.shared.retries.has_permit();
            let cap = self.cap(last || choice.usable == 1);
            tried.push(Arc::clone(choice.lease.replica()));
            let failure = match self.attempt(choice, cap, &mut tried).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            let Some(reason) = failure.reason() else {
                attempts -= 1;
                unsent += 1;
                if unsent > UNSENT_MAX {
                    return failure.settle();
                }
                continue;
            };
            // Another replica may know better, the same one would say the same.
            let futile =
                reason == Reason::Unavailable && self.shared.choose_other(&tried).is_none();
            if futile || attempts >= config.attempts_max || self.remaining() < MEANINGFUL {
                return failure.settle();
            }
            if !self.shared.retries.withdraw() {
                self.shared.meter.budget_exhausted.increment(1);
                return failure.settle();
            }
            self.shared.meter.retried(reason);
        }
    }

    fn remaining(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// What an attempt may take: all that is left if it is the last, or else a share, so that a
    /// replica that has frozen leaves time for another.
    fn cap(&self, last: bool) -> Duration {
        let config = &self.shared.config;
        let remaining = self.remaining();
        if last {
            return remaining;
        }
        let share = remaining.mul_f64(config.attempt_share);
        share.max(config.attempt_min).min(remaining)
    }

    /// Sends the call once; a read that is late is sent once more, elsewhere.
    async fn attempt(
        &self,
        choice: Choice,
        cap: Duration,
        tried: &mut Vec<Arc<Replica>>,
    ) -> Result<Answer, Failure> {
        let began = Instant::now();
        let ends = began + cap;
        let hedge_at = self.hedge_at(&choice, began).filter(|at| *at < ends);
        let mut timer = pin!(sleep_until(hedge_at.unwrap_or(ends)));
        let mut lease = choice.lease;
        let first = Arc::clone(lease.replica());
        let copy = ("attempt", tried.len());
        let mut sent = pin!(self.send(&mut lease, cap, copy));
        let mut result = before(timer.as_mut(), sent.as_mut()).await;
        if result.is_none() && hedge_at.is_some() {
            timer.as_mut().reset(ends);
            result = if let Some(second) = self.hedge(tried) {
                let second = (second, tried.len());
                Some(self.race((&first, cap), sent, second, timer).await)
            } else {
                before(timer, sent).await
            };
        }
        let result = result.unwrap_or_else(|| {
            self.timed_out(&first, cap);
            Err(Failure::TimedOut)
        });
        if result.is_ok() && self.method.hedged {
            self.method.latency.record(began.elapsed());
        }
        result
    }

    /// When a second copy should go out: later than nearly all answers come.
    fn hedge_at(&self, choice: &Choice, began: Instant) -> Option<Instant> {
        if !self.method.hedged || choice.usable < 2 {
            return None;
        }
        let p95 = self.method.latency.p95()?;
        Some(began + p95.max(self.shared.config.hedge_delay_min))
    }

    /// A place for the second copy, if there is another replica and the budget has a permit.
    fn hedge(&self, tried: &mut Vec<Arc<Replica>>) -> Option<Lease> {
        let lease = self.shared.choose_other(tried)?;
        self.shared.hedges.withdraw().then(|| {
            self.shared.meter.hedges.increment(1);
            tried.push(Arc::clone(lease.replica()));
            lease
        })
    }

    /// The first good answer of two, or the later bad news; the loser is reset.
    async fn race(
        &self,
        first: (&Replica, Duration),
        mut sent: Pin<&mut impl Future<Output = Result<Answer, Failure>>>,
        (mut lease, number): (Lease, usize),
        mut timer: Pin<&mut Sleep>,
    ) -> Result<Answer, Failure> {
        let cap = timer.deadline() - Instant::now();
        let replica = Arc::clone(lease.replica());
        let mut sent_too = pin!(self.send(&mut lease, cap, ("hedge", number)));
        let (mut open, mut open_too) = (true, true);
        loop {
            let result = tokio::select! {
                biased;
                result = &mut sent, if open => {
                    open = false;
                    result
                }
                result = &mut sent_too, if open_too => {
                    open_too = false;
                    result
                }
                () = &mut timer => {
                    if open {
                        self.timed_out(first.0, first.1);
                    }
                    if open_too {
                        self.timed_out(&replica, cap);
                    }
                    return Err(Failure::TimedOut);
                }
            };
            if result.is_ok() || !(open || open_too) {
                return result;
            }
        }
    }

    /// Sends one copy and judges the replica by what comes back.
    async fn send(
        &self,
        lease: &mut Lease,
        cap: Duration,
        (kind, number): (&'static str, usize),
    ) -> Result<Answer, Failure> {
        let span = Span::child(SpanKind::Client, || kind.into());
        if span.is_recording() {
            span.set("rpc.attempt", trace::int(number));
            span.set("server.address", lease.address.to_string());
        }
        // Inside the span, so that the request names it.
        let exchanged = span.run(async {
            let request = self.request(lease, cap);
            exchange(&mut lease.sender, request).await
        });
        let began = Instant::now();
        let exchanged = exchanged.await;
        span.finish(match &exchanged {
            Ok(answer) if answer.is_cut_off() => Some(Reason::Timeout.name()),
            Ok(answer) => trace::rpc_error(answer.code),
            Err(_) => Some(Reason::Transport.name()),
        });
        match exchanged {
            Ok(answer) if answer.is_cut_off() => {
                self.timed_out(lease, cap);
                Err(Failure::TimedOut)
            }
            Ok(answer) => {
                // Late or not, it is alive: what it waited for, such as its database, is no better
                // at another replica that would have to do all the work instead.
                lease.answered();
                lease.latency.record(began.elapsed());
                match answer.code {
                    Code::Unavailable => Err(Failure::Unavailable(Box::new(answer))),
                    Code::DeadlineExceeded => Err(Failure::TimedOut),
                    _ => Ok(answer),
                }
            }
            Err(broken) => {
                // A stream alone may be reset; the replica goes only with its connection.
                if lease.sender.is_closed() {
                    self.shared.lose(lease, Some(lease.generation));
                }
                Err(match broken {
                    Broken::Unsent(error) => Failure::Unsent(error),
                    Broken::Lost(error) => Failure::Lost(error),
                })
            }
        }
    }

    fn request(&self, lease: &Lease, cap: Duration) -> Request<Full<Bytes>> {
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
            .insert(timeout::GRPC_TIMEOUT, timeout::format(cap));
        trace::inject(request.headers_mut());
        request
    }

    /// Counts a time-out against a replica, if it had a fair chance.
    fn timed_out(&self, replica: &Replica, cap: Duration) {
        let config = &self.shared.config;
        if cap >= config.timeout_to_count && replica.timed_out() >= config.timeouts_to_eject {
            self.shared.eject(replica, Reason::Timeout);
        }
    }
}

/// What the future yields before the timer fires.
async fn before<T>(timer: Pin<&mut Sleep>, future: Pin<&mut impl Future<Output = T>>) -> Option<T> {
    tokio::select! {
        biased;
        output = future => Some(output),
        () = timer => None,
    }
}

impl Failure {
    /// Why the call is repeated, `None` if no server has seen it.
    fn reason(&self) -> Option<Reason> {
        match self {
            Self::Unsent(_) => None,
            Self::Lost(_) => Some(Reason::Transport),
            Self::TimedOut => Some(Reason::Timeout),
            Self::Unavailable(_) => Some(Reason::Unavailable),
        }
    }

    /// What the caller is told when it is not repeated.
    fn settle(self) -> Result<Answer, Status> {
        match self {
            Self::Unsent(error) | Self::Lost(error) => Err(Status::unavailable(format!(
                "the connection to the replica broke: {error}"
            ))),
            Self::TimedOut => Err(Status::deadline_exceeded("no replica answered in time")),
            Self::Unavailable(answer) => Ok(*answer),
        }
    }
}
