//! The `latest` of API clients.

use chassis::stamp::{Clock, from_name, unix_millis};
use minitwit_proto::user::v1::{
    GetLatestRequest, LatestUpdate, SetLatestRequest,
    api_client_service_client::ApiClientServiceClient, set_latest_result::Outcome,
};
use tonic::{Code, transport::Channel};
use uuid::Uuid;

use crate::Service;

type Client = ApiClientServiceClient<Channel>;

#[tokio::test]
async fn latest_is_minus_one_before_the_first_write() {
    let (mut client, _service) = start().await;
    assert_eq!(get(&mut client, &["simulator", ""]).await, [-1, -1]);
    assert!(get(&mut client, &[]).await.is_empty());
}

#[tokio::test]
async fn the_last_write_wins_even_with_a_smaller_value() {
    let (mut client, _service) = start().await;
    let clock = Clock::default();
    for value in [0, 7, 3, 0] {
        let update = update("simulator", value, clock.stamp());
        let [Outcome::Applied(_)] = set(&mut client, vec![update]).await[..] else {
            panic!("{value} is not applied");
        };
        assert_eq!(get(&mut client, &["simulator", ""]).await, [value, value]);
    }
}

#[tokio::test]
async fn a_delayed_write_does_not_undo_a_newer_write() {
    let (mut client, _service) = start().await;
    let clock = Clock::default();
    let frozen = update("simulator", 1, clock.stamp());
    let newer = update("simulator", 2, clock.stamp());
    set(&mut client, vec![newer.clone()]).await;

    let late = set(&mut client, vec![frozen.clone()]).await;
    let [Outcome::Superseded(superseded)] = &late[..] else {
        panic!("{late:?}");
    };
    assert_eq!(superseded.stored_stamp, newer.stamp);
    assert_eq!(get(&mut client, &["simulator"]).await, [2]);

    // A caller that still waits moves its clock past the stored stamp and sends the write again.
    clock.observe(Uuid::from_slice(&superseded.stored_stamp).unwrap());
    let again = update("simulator", 1, clock.stamp());
    assert!(matches!(
        set(&mut client, vec![again]).await[..],
        [Outcome::Applied(_)]
    ));
    assert_eq!(get(&mut client, &["simulator"]).await, [1]);
}

#[tokio::test]
async fn results_of_writes_are_in_the_order_of_the_request() {
    let (mut client, _service) = start().await;
    let clock = Clock::default();
    let no_uuid = LatestUpdate {
        stamp: vec![1; 15].into(),
        ..update("simulator", 9, Uuid::nil())
    };
    let updates = vec![
        update("", 9, clock.stamp()),
        update("one", 1, clock.stamp()),
        update("a\0", 9, clock.stamp()),
        update(&"x".repeat(256), 9, clock.stamp()),
        update("simulator", 9, Uuid::nil()),
        no_uuid,
        update("two", 2, clock.stamp()),
    ];
    let outcomes = set(&mut client, updates).await;
    let messages: Vec<_> = outcomes
        .iter()
        .map(|outcome| match outcome {
            Outcome::Applied(_) => "applied",
            Outcome::Superseded(_) => "superseded",
            Outcome::Error(error) => {
                assert_eq!(Code::from_i32(error.code), Code::InvalidArgument);
                &error.message
            }
        })
        .collect();
    assert_eq!(
        messages,
        [
            "the client is empty",
            "applied",
            "the client contains a NUL character",
            "the client has 256 bytes, at most 255 are taken",
            "the stamp 00000000-0000-0000-0000-000000000000 is no UUIDv7",
            "stamp must be 16 bytes, not 15",
            "applied",
        ]
    );
    let values = get(&mut client, &["two", "one", "simulator"]).await;
    assert_eq!(values, [2, 1, -1]);

    let clients = vec!["one".to_owned(), "a\0".to_owned()];
    let status = client.get_latest(GetLatestRequest { clients }).await;
    assert_eq!(status.unwrap_err().code(), Code::InvalidArgument);
}

#[tokio::test]
async fn a_stamp_of_a_clock_that_is_ahead_is_accepted() {
    let (mut client, _service) = start().await;
    let stamp_ahead = from_name(unix_millis() + 60_000, 1);
    let update = update("simulator", 5, stamp_ahead);
    set(&mut client, vec![update]).await;
    assert_eq!(get(&mut client, &["simulator"]).await, [5]);
}

#[tokio::test]
async fn the_greatest_stamp_of_concurrent_writes_wins() {
    let (client, _service) = start().await;
    let clock = Clock::default();
    let writes: Vec<_> = (0..200)
        .map(|value| {
            let (mut client, stamp) = (client.clone(), clock.stamp());
            tokio::spawn(
                async move { set(&mut client, vec![update("simulator", value, stamp)]).await },
            )
        })
        .collect();
    for write in writes {
        assert!(!matches!(write.await.unwrap()[..], [Outcome::Error(_)]));
    }
    assert_eq!(get(&mut client.clone(), &[""]).await, [199]);
}

async fn start() -> (Client, Service) {
    let service = Service::start().await;
    let client = ApiClientServiceClient::new(service.running.channel().await);
    (client, service)
}

fn update(client: &str, latest: i64, stamp: Uuid) -> LatestUpdate {
    LatestUpdate {
        client: client.to_owned(),
        latest,
        stamp: stamp.as_bytes().to_vec().into(),
    }
}

async fn set(client: &mut Client, updates: Vec<LatestUpdate>) -> Vec<Outcome> {
    let request = SetLatestRequest { updates };
    let response = client.set_latest(request).await.unwrap();
    let results = response.into_inner().results;
    results
        .into_iter()
        .map(|result| result.outcome.unwrap())
        .collect()
}

async fn get(client: &mut Client, clients: &[&str]) -> Vec<i64> {
    let clients = clients.iter().map(|&client| client.to_owned()).collect();
    let response = client.get_latest(GetLatestRequest { clients }).await;
    response.unwrap().into_inner().latest
}
