//! Live updates of the public timeline.

use std::time::Duration;

use http::{Request, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;

use crate::harness::{
    Running,
    http_client::{send, uri},
    person::Person,
};

/// Waits for the next event. Returns `None` at the end of the stream.
async fn next(events: &mut Incoming) -> Option<String> {
    let frame = tokio::time::timeout(Duration::from_secs(10), events.frame());
    let data = frame
        .await
        .expect("an event within 10 s")?
        .unwrap()
        .into_data()
        .unwrap();
    Some(String::from_utf8(data.to_vec()).unwrap())
}

/// Opens a stream of live updates.
async fn watch(suite: &Running) -> Incoming {
    let request = Request::get(uri(suite.pages, "/-/live")).header(header::HOST, "localhost");
    let answer = send(request.body(Full::default()).unwrap()).await;
    assert_eq!(answer.headers()[header::CONTENT_TYPE], "text/event-stream");
    answer.into_body()
}

#[tokio::test]
async fn streams_send_new_messages_and_end_when_the_gateway_stops() {
    let suite = Running::new().await;
    let mut foo = Person::signed_in(suite.pages, "foo").await;
    let (mut one, mut other) = (watch(&suite).await, watch(&suite).await);
    for events in [&mut one, &mut other] {
        assert!(next(events).await.unwrap().starts_with("retry: "));
        assert_eq!(next(events).await.unwrap(), "data: \n\n");
    }

    foo.share("news").await;
    let public = foo.visit("/public").await;
    let newest = crate::between(&public, "data-newest=\"", "\"")[0];
    for events in [&mut one, &mut other] {
        assert_eq!(next(events).await.unwrap(), format!("data: {newest}\n\n"));
    }

    let began = tokio::time::Instant::now();
    let stopped = tokio::spawn(suite.stop());
    for events in [&mut one, &mut other] {
        assert!(next(events).await.unwrap().starts_with("retry: "));
        assert_eq!(next(events).await, None);
    }
    stopped.await.unwrap();
    assert!(
        began.elapsed() < Duration::from_secs(4),
        "the gateway waited for open streams"
    );
}
