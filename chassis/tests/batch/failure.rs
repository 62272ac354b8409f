//! A failure or deadline affects only its own item, batch or caller.

use std::time::{Duration, Instant};

use chassis::{
    batch::{Batcher, Flattened, Limits},
    deadline::Deadline,
};
use tonic::Code;

use crate::support::{
    Behavior, Call, GatedHandler, ONE_WORKER, call, call_until, gated_batcher, one_minute,
};

async fn code(call: Call) -> Code {
    match call.await.unwrap() {
        Ok(_) => Code::Ok,
        Err(status) => status.code(),
    }
}

#[tokio::test]
async fn a_failed_item_does_not_affect_the_other_callers() {
    let (handler, batcher) = gated_batcher(ONE_WORKER);
    let before = call(&batcher, Behavior::Answer.of(0)).await;
    let good = call(&batcher, Behavior::Answer.of(1)).await;
    let bad = call(&batcher, Behavior::FailItem.of(2)).await;
    let other = call(&batcher, Behavior::Answer.of(3)).await;
    handler.release_all();

    assert_eq!(before.await.unwrap().unwrap(), 0);
    assert_eq!(good.await.unwrap().unwrap(), 1);
    let status = bad.await.unwrap().unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::NotFound, "2"));
    assert_eq!(other.await.unwrap().unwrap(), 3);
}

/// Checks that both callers of the batch with `behavior` get `expected`, and that the batches before and
/// after it succeed.
async fn only_members_fail(behavior: Behavior, expected: Code) {
    let (handler, batcher) = gated_batcher(Limits {
        batch_weight_max: 2,
        ..ONE_WORKER
    });
    let mut calls = Vec::new();
    for number in 0..6 {
        let behavior = if number == 1 {
            behavior
        } else {
            Behavior::Answer
        };
        calls.push(call(&batcher, behavior.of(number)).await);
    }
    handler.release_all();
    let mut codes = Vec::new();
    for call in calls {
        codes.push(code(call).await);
    }
    let ok = Code::Ok;
    assert_eq!(codes, [ok, expected, expected, ok, ok, ok], "{behavior:?}");
    assert_eq!(
        handler.numbers(),
        [vec![0], vec![1, 2], vec![3, 4], vec![5]]
    );
    // The worker is still alive.
    assert_eq!(code(call(&batcher, Behavior::Answer.of(6)).await).await, ok);
}

#[tokio::test]
async fn a_failed_batch_fails_only_its_own_callers() {
    only_members_fail(Behavior::FailBatch, Code::Unavailable).await;
}

#[tokio::test]
async fn a_missing_answer_fails_the_batch() {
    only_members_fail(Behavior::OmitAnswer, Code::Internal).await;
}

#[tokio::test]
async fn a_panic_fails_its_batch_and_the_worker_goes_on() {
    only_members_fail(Behavior::Panic, Code::Internal).await;
}

#[tokio::test]
async fn each_caller_waits_until_its_own_deadline() {
    let (handler, batcher) = gated_batcher(ONE_WORKER);
    let in_flight = call(&batcher, Behavior::Answer.of(0)).await;
    let began = Instant::now();
    let within = |millis| Deadline::after(Duration::from_millis(millis));
    let long = call_until(&batcher, Behavior::Answer.of(1), one_minute()).await;
    let short = call_until(&batcher, Behavior::Answer.of(2), within(20)).await;

    handler.release_one();
    in_flight.await.unwrap().unwrap();
    // Both are in flight in one blocked batch.
    assert_eq!(code(short).await, Code::DeadlineExceeded);
    assert!(began.elapsed() < Duration::from_secs(30));
    assert!(
        !long.is_finished(),
        "the shorter deadline must not end the longer call"
    );
    handler.release_all();
    assert_eq!(long.await.unwrap().unwrap(), 1);
}

#[tokio::test]
async fn a_stuck_batch_frees_its_worker_when_its_last_deadline_is_over() {
    let (handler, batcher) = gated_batcher(ONE_WORKER);
    handler.release_all();
    let short = Deadline::after(Duration::from_millis(20));
    let stuck = call_until(&batcher, Behavior::Hang.of(0), short).await;
    let next = call(&batcher, Behavior::Answer.of(1)).await;

    assert_eq!(code(stuck).await, Code::DeadlineExceeded);
    assert_eq!(next.await.unwrap().unwrap(), 1);
}

#[tokio::test]
async fn each_item_of_a_list_has_its_own_answer() {
    let batcher = Batcher::new("test", ONE_WORKER, Flattened(GatedHandler::open()));
    let items = [
        Behavior::Answer.of(0),
        Behavior::FailItem.of(1),
        Behavior::Answer.of(2),
    ];

    let (listed, other, empty) = tokio::join!(
        batcher.call(items.to_vec(), one_minute()),
        batcher.call(vec![Behavior::Answer.of(3)], one_minute()),
        batcher.call(Vec::new(), one_minute()),
    );
    let listed = listed.unwrap();
    assert_eq!(listed.len(), 3);
    assert_eq!(listed[0].as_ref().unwrap(), &0);
    assert_eq!(listed[1].as_ref().unwrap_err().code(), Code::NotFound);
    assert_eq!(listed[2].as_ref().unwrap(), &2);
    assert_eq!(other.unwrap()[0].as_ref().unwrap(), &3);
    assert!(empty.unwrap().is_empty());
}

#[tokio::test]
async fn a_list_is_never_answered_partially() {
    let batcher = Batcher::new("test", ONE_WORKER, Flattened(GatedHandler::open()));
    let items = vec![Behavior::Answer.of(0), Behavior::OmitAnswer.of(1)];
    let status = batcher.call(items, one_minute()).await.unwrap_err();
    assert_eq!(status.code(), Code::Internal);
}
