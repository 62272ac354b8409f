//! What a trace shows of calls and batches, told by a collector that only remembers.

#![expect(clippy::unwrap_used, reason = "the helpers are tests too")]

#[path = "../pool/support.rs"]
#[expect(dead_code, reason = "the pool's tests use more of it")]
mod support;

use std::{
    sync::{Arc, LazyLock, Mutex, atomic::Ordering::SeqCst, mpsc},
    thread,
    time::Duration,
};

use chassis::{
    batch::{BatchHandler, Batcher, Limits},
    deadline::Deadline,
    telemetry::Identity,
    trace::{self, Export, Span},
};
use http::HeaderMap;
use support::{Behavior, LONG_TIMEOUT, Server, config, connected, read, write};
use test_sink::{SeenSpan, Sink, tree};
use test_wait::eventually;
use tokio::sync::Semaphore;
use tonic::Status;

/// One for all tests of the process, which has one tracer.
static SINK: LazyLock<Sink> = LazyLock::new(|| {
    let sink = Sink::start();
    let endpoint = sink.endpoint.clone();
    let (ready, is_ready) = mpsc::channel();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let identity = Identity {
                service: "test",
                version: "0".to_owned(),
                replica: "1".to_owned(),
            };
            let traces = trace::init(&Export {
                endpoint,
                ratio: 1.0,
                identity,
            });
            ready.send(traces.unwrap()).unwrap();
            std::future::pending::<()>().await;
        });
    });
    // Dropping it would be the end of all traces.
    std::mem::forget(is_ready.recv().unwrap());
    sink
});

/// A request from outside, in a trace of its own.
struct Traced {
    id: String,
    headers: HeaderMap,
}

impl Traced {
    fn new(flags: &str) -> Self {
        LazyLock::force(&SINK);
        let id = uuid::Uuid::now_v7().simple().to_string();
        let parent = format!("00-{id}-b7ad6b7169203331-{flags}");
        let headers = HeaderMap::from_iter([(
            http::HeaderName::from_static("traceparent"),
            parent.parse().unwrap(),
        )]);
        Self { id, headers }
    }

    /// Answers the request with `work`.
    async fn run<T>(&self, work: impl Future<Output = T>) -> T {
        let span = Span::server(trace::from_outside(&self.headers), || "request".into());
        let output = span.run(work).await;
        span.finish(None);
        output
    }

    /// The spans, once there are so many.
    async fn spans(&self, count: usize) -> Vec<SeenSpan> {
        eventually("the spans arrive", LONG_TIMEOUT, async || {
            SINK.trace(&self.id).len() >= count
        })
        .await;
        SINK.trace(&self.id)
    }
}

#[tokio::test]
async fn a_repeated_call_shows_each_attempt() {
    let (one, two) = (Server::start(), Server::start());
    one.state.set_behavior(Behavior::Unavailable);
    let pool = connected(config([one.target(), two.target()]), 2).await;
    let mut traced = Traced::new("01");
    while one.state.calls() == 0 {
        traced = Traced::new("01");
        traced.run(write(&pool, LONG_TIMEOUT)).await.unwrap();
    }
    let spans = traced.spans(4).await;
    let expected = "\
request
  minitwit.follower.v1.FollowerService/SetFollows
    attempt !
    attempt
";
    assert_eq!(tree(&spans), expected);
    let attempts = spans.iter().filter(|span| span.name == "attempt");
    let mut attempts: Vec<_> = attempts
        .map(|span| {
            (
                span.attribute("rpc.attempt"),
                span.attribute("server.address"),
            )
        })
        .collect();
    attempts.sort_unstable();
    let (first, second) = (one.target(), two.target());
    assert_eq!(attempts, [("1", first.as_str()), ("2", second.as_str())]);
}

#[tokio::test]
async fn a_hedge_stands_beside_the_attempt_that_it_beat() {
    let (one, two) = (Server::start(), Server::start());
    let mut config = config([one.target(), two.target()]);
    config.hedge_delay_min = Duration::from_millis(20);
    let pool = connected(config, 2).await;
    for _ in 0..300 {
        read(&pool, 2 * LONG_TIMEOUT).await.unwrap();
    }
    two.state.set_behavior(Behavior::Hang);
    let before = two.state.calls();
    let mut traced = Traced::new("01");
    while two.state.calls() == before {
        traced = Traced::new("01");
        traced.run(read(&pool, 2 * LONG_TIMEOUT)).await.unwrap();
    }
    let spans = traced.spans(4).await;
    let expected = "\
request
  minitwit.follower.v1.FollowerService/CheckFollows
    attempt
    hedge
";
    assert_eq!(tree(&spans), expected);
    let beaten = spans.iter().find(|span| span.name == "attempt").unwrap();
    assert_eq!(beaten.attribute("error.type"), "cancelled");
    assert_eq!(two.state.cancelled.load(SeqCst), 1);
}

/// Holds each batch until it is let go, and notes what it was handed on.
struct Held {
    permits: Arc<Semaphore>,
    handed_on: Arc<Mutex<Vec<HeaderMap>>>,
}

impl BatchHandler for Held {
    type Item = ();
    type Output = ();

    async fn run(&self, items: Vec<()>, _: Deadline) -> Result<Vec<Result<(), Status>>, Status> {
        let mut headers = HeaderMap::new();
        trace::inject(&mut headers);
        self.handed_on.lock().unwrap().push(headers);
        self.permits.acquire().await.unwrap().forget();
        Ok(items.into_iter().map(Ok).collect())
    }
}

#[tokio::test]
async fn a_batch_is_a_part_of_one_request_and_linked_with_the_others() {
    let permits = Arc::new(Semaphore::new(0));
    let handed_on = Arc::new(Mutex::default());
    let limits = Limits {
        workers: 1,
        batch_weight_max: 16,
        queue_max: 16,
    };
    let work = Held {
        permits: Arc::clone(&permits),
        handed_on: Arc::clone(&handed_on),
    };
    let batcher = Batcher::new("test", limits, work);
    let call = |traced: Traced| {
        let batcher = batcher.clone();
        async move {
            let called = batcher.call((), Deadline::after(LONG_TIMEOUT));
            traced.run(called).await.unwrap();
            traced
        }
    };

    let alone = call(Traced::new("01"));
    let others = async {
        while handed_on.lock().unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
        // The first one's batch is under way; the others wait for it together.
        tokio::join!(
            biased;
            call(Traced::new("00")),
            call(Traced::new("01")),
            call(Traced::new("01")),
            async { permits.add_permits(2) },
        )
    };
    let (_, (unsampled, first, second, ())) = tokio::join!(alone, others);

    let (of_first, of_second) = (first.spans(2).await, second.spans(1).await);
    assert_eq!(tree(&of_first), "request\n  batch test\n");
    assert_eq!(tree(&of_second), "request\n");
    let batch = of_first
        .iter()
        .find(|span| span.name == "batch test")
        .unwrap();
    let other = &of_second[0];
    assert_eq!(batch.attribute("minitwit.batch.size"), "3");
    assert_eq!(batch.links, [(other.trace.clone(), other.id.clone())]);
    assert_eq!(other.links, [(batch.trace.clone(), batch.id.clone())]);

    let handed_on = handed_on.lock().unwrap();
    let parent = handed_on[1]["traceparent"].to_str().unwrap();
    assert_eq!(parent, format!("00-{}-{}-01", batch.trace, batch.id));
    assert!(SINK.trace(&unsampled.id).is_empty(), "nobody sampled it");
}

#[tokio::test]
async fn an_unsampled_request_hands_its_ids_on() {
    let traced = Traced::new("00");
    let mut headers = HeaderMap::new();
    traced.run(async { trace::inject(&mut headers) }).await;
    assert_eq!(headers, traced.headers);
    assert!(SINK.trace(&traced.id).is_empty());
}
