//! Whose failure is whose, and who waits how long.

use std::time::{Duration, Instant};

use chassis::{
    batch::{Batcher, Flattened, Limits},
    deadline::Deadline,
};
use tonic::Code;

use crate::support::{Call, Gate, Manner, ONE_LANE, call, call_until, gated, in_a_minute};

async fn code(call: Call) -> Code {
    match call.await.unwrap() {
        Ok(_) => Code::Ok,
        Err(status) => status.code(),
    }
}

#[tokio::test]
async fn a_refused_item_concerns_nobody_else() {
    let (gate, batcher) = gated(ONE_LANE);
    let before = call(&batcher, Manner::Answer.of(0)).await;
    let good = call(&batcher, Manner::Answer.of(1)).await;
    let bad = call(&batcher, Manner::Refuse.of(2)).await;
    let other = call(&batcher, Manner::Answer.of(3)).await;
    gate.let_all_pass();

    assert_eq!(before.await.unwrap().unwrap(), 0);
    assert_eq!(good.await.unwrap().unwrap(), 1);
    let status = bad.await.unwrap().unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::NotFound, "2"));
    assert_eq!(other.await.unwrap().unwrap(), 3);
}

/// The batch of `manner` answers its two members with `expected`, and those around it with success.
async fn only_members_fail(manner: Manner, expected: Code) {
    let (gate, batcher) = gated(Limits {
        batch_weight_max: 2,
        ..ONE_LANE
    });
    let mut calls = Vec::new();
    for number in 0..6 {
        let manner = if number == 1 { manner } else { Manner::Answer };
        calls.push(call(&batcher, manner.of(number)).await);
    }
    gate.let_all_pass();
    let mut codes = Vec::new();
    for call in calls {
        codes.push(code(call).await);
    }
    let ok = Code::Ok;
    assert_eq!(codes, [ok, expected, expected, ok, ok, ok], "{manner:?}");
    assert_eq!(gate.numbers(), [vec![0], vec![1, 2], vec![3, 4], vec![5]]);
    // The lane lives on.
    assert_eq!(code(call(&batcher, Manner::Answer.of(6)).await).await, ok);
}

#[tokio::test]
async fn a_failed_batch_fails_its_members_alone() {
    only_members_fail(Manner::Fail, Code::Unavailable).await;
}

#[tokio::test]
async fn an_answer_too_few_fails_the_batch() {
    only_members_fail(Manner::Forget, Code::Internal).await;
}

#[tokio::test]
async fn a_panic_fails_its_batch_and_the_lane_lives_on() {
    only_members_fail(Manner::Panic, Code::Internal).await;
}

#[tokio::test]
async fn each_caller_waits_as_long_as_it_said() {
    let (gate, batcher) = gated(ONE_LANE);
    let in_flight = call(&batcher, Manner::Answer.of(0)).await;
    let began = Instant::now();
    let within = |millis| Deadline::after(Duration::from_millis(millis));
    let long = call_until(&batcher, Manner::Answer.of(1), in_a_minute()).await;
    let short = call_until(&batcher, Manner::Answer.of(2), within(20)).await;

    gate.let_one_pass();
    in_flight.await.unwrap().unwrap();
    // Both are in flight now, held together.
    assert_eq!(code(short).await, Code::DeadlineExceeded);
    assert!(began.elapsed() < Duration::from_secs(30));
    assert!(!long.is_finished(), "the short one's deadline is its own");
    gate.let_all_pass();
    assert_eq!(long.await.unwrap().unwrap(), 1);
}

#[tokio::test]
async fn a_stuck_batch_frees_its_lane_when_nobody_waits_for_it_any_more() {
    let (gate, batcher) = gated(ONE_LANE);
    gate.let_all_pass();
    let short = Deadline::after(Duration::from_millis(20));
    let stuck = call_until(&batcher, Manner::Stick.of(0), short).await;
    let next = call(&batcher, Manner::Answer.of(1)).await;

    assert_eq!(code(stuck).await, Code::DeadlineExceeded);
    assert_eq!(next.await.unwrap().unwrap(), 1);
}

#[tokio::test]
async fn of_a_list_each_item_has_its_own_answer() {
    let batcher = Batcher::new("test", ONE_LANE, Flattened(Gate::open()));
    let items = [
        Manner::Answer.of(0),
        Manner::Refuse.of(1),
        Manner::Answer.of(2),
    ];

    let (listed, other, empty) = tokio::join!(
        batcher.call(items.to_vec(), in_a_minute()),
        batcher.call(vec![Manner::Answer.of(3)], in_a_minute()),
        batcher.call(Vec::new(), in_a_minute()),
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
async fn a_list_is_never_answered_in_part() {
    let batcher = Batcher::new("test", ONE_LANE, Flattened(Gate::open()));
    let items = vec![Manner::Answer.of(0), Manner::Forget.of(1)];
    let status = batcher.call(items, in_a_minute()).await.unwrap_err();
    assert_eq!(status.code(), Code::Internal);
}
