//! Spans of calls and batches, as a collector receives them.

#![expect(clippy::unwrap_used, reason = "the helpers belong to the tests")]

#[path = "../pool/support.rs"]
#[expect(dead_code, reason = "only the tests of the pool use all helpers")]
mod support;

use std::{
    sync::{Arc, LazyLock, Mutex, atomic::Ordering::SeqCst, mpsc},
    thread,
    time::Duration,
};

use chassis::{
    batch::{BatchHandler, Batcher, Limits},
    deadline::Deadline,
    identity::Identity,
    trace::{self, Export, Outcome, Parent},
};
use http::HeaderMap;
use support::{Behavior, LONG_TIMEOUT, Server, config, connected, read, write};
use test_sink::{CollectedSpan, Sink, tree};
use test_wait::eventually;
use tokio::sync::Semaphore;
use tonic::Status;
use tracing_subscriber::{layer::SubscriberExt as _, util::SubscriberInitExt as _};

/// Collector of all tests, because the process has one subscriber.
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
            let export = Export {
                endpoint,
                sampling_ratio: 1.0,
                identity,
            };
            let (layer, traces) = trace::layer(&export).unwrap();
            tracing_subscriber::registry().with(vec![layer]).init();
            ready.send(traces).unwrap();
            std::future::pending::<()>().await;
        });
    });
    // Dropping the traces would end the export.
    std::mem::forget(is_ready.recv().unwrap());
    sink
});

/// A request of a client, in a trace of its own.
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
        let parent = Parent::of_client(&self.headers);
        let span = trace::span!(parent: &parent, "request", otel.kind = "server");
        let outcome = Outcome::of(&span);
        let output = parent.run(span, work).await;
        outcome.finish(None);
        output
    }

    /// Waits until the collector has `count` spans of the request, and returns the spans.
    async fn spans(&self, count: usize) -> Vec<CollectedSpan> {
        eventually("the spans arrive", LONG_TIMEOUT, async || {
            SINK.spans_of_trace(&self.id).len() >= count
        })
        .await;
        SINK.spans_of_trace(&self.id)
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
async fn a_hedge_is_a_sibling_of_the_attempt_that_it_overtook() {
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
    let overtaken = spans.iter().find(|span| span.name == "attempt").unwrap();
    assert_eq!(overtaken.attribute("error.type"), "cancelled");
    assert_eq!(two.state.cancelled.load(SeqCst), 1);
}

/// Blocks each batch until there is a permit, and records the headers of its outgoing calls.
struct BlockedBatches {
    permits: Arc<Semaphore>,
    headers: Arc<Mutex<Vec<HeaderMap>>>,
}

impl BatchHandler for BlockedBatches {
    type Item = ();
    type Output = ();

    async fn run(&self, items: Vec<()>, _: Deadline) -> Result<Vec<Result<(), Status>>, Status> {
        let mut headers = HeaderMap::new();
        trace::inject(&mut headers);
        self.headers.lock().unwrap().push(headers);
        self.permits.acquire().await.unwrap().forget();
        Ok(items.into_iter().map(Ok).collect())
    }
}

#[tokio::test]
async fn a_batch_is_a_child_of_one_request_and_linked_with_the_other_requests() {
    let permits = Arc::new(Semaphore::new(0));
    let headers = Arc::new(Mutex::default());
    let limits = Limits {
        workers: 1,
        batch_weight_max: 16,
        queue_max: 16,
    };
    let handler = BlockedBatches {
        permits: Arc::clone(&permits),
        headers: Arc::clone(&headers),
    };
    let batcher = Batcher::new("test", limits, handler);
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
        while headers.lock().unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
        // The batch of the first request is in progress. The other requests wait for its end
        // together.
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

    let headers = headers.lock().unwrap();
    let parent = headers[1]["traceparent"].to_str().unwrap();
    assert_eq!(parent, format!("00-{}-{}-01", batch.trace, batch.id));
    assert!(
        SINK.spans_of_trace(&unsampled.id).is_empty(),
        "the request is not sampled"
    );
}

#[tokio::test]
async fn an_unsampled_request_hands_its_ids_on() {
    let traced = Traced::new("00");
    let mut headers = HeaderMap::new();
    traced.run(async { trace::inject(&mut headers) }).await;
    assert_eq!(headers, traced.headers);
    assert!(SINK.spans_of_trace(&traced.id).is_empty());
}

#[tokio::test]
async fn an_unsampled_request_has_no_span_and_evaluates_no_field() {
    fn evaluated() -> &'static str {
        panic!("an unsampled request evaluated a field")
    }
    let traced = Traced::new("00");
    traced
        .run(async {
            assert!(trace::Span::current().is_none());
            let span = trace::span!("child", field = evaluated());
            assert!(span.is_none());
        })
        .await;
    let parent = Parent::of_client(&traced.headers);
    let span = trace::span!(parent: &parent, "request", field = evaluated());
    assert!(span.is_none());
    assert!(SINK.spans_of_trace(&traced.id).is_empty());
}

#[tokio::test]
async fn spans_of_libraries_and_events_are_not_exported() {
    let traced = Traced::new("01");
    let library = async {
        assert!(tracing::info_span!("library").is_disabled());
        tracing::error!("an event");
    };
    traced.run(library).await;
    let spans = traced.spans(1).await;
    assert_eq!(tree(&spans), "request\n");
}

#[tokio::test]
async fn a_request_without_a_trace_starts_a_sampled_trace() {
    let sink = LazyLock::force(&SINK);
    let parent = Parent::of_client(&HeaderMap::new());
    let span = trace::span!(parent: &parent, "request", otel.name = "first span");
    let outcome = Outcome::of(&span);
    let (trace_id, span_id) = parent.run(span, async { trace::ids() }).await.unwrap();
    outcome.finish(Some("503"));
    let trace_id = trace_id.to_string();
    eventually("the span arrives", LONG_TIMEOUT, async || {
        !sink.spans_of_trace(&trace_id).is_empty()
    })
    .await;
    let spans = sink.spans_of_trace(&trace_id);
    assert_eq!(tree(&spans), "first span !\n");
    assert_eq!(spans[0].id, span_id.to_string());
    assert_eq!(spans[0].parent, "");
    assert_eq!(spans[0].attribute("error.type"), "503");
    assert_eq!(spans[0].attributes.len(), 1, "{:?}", spans[0].attributes);
}
