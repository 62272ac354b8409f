//! Who goes with whom, and in which order.

use std::time::Duration;

use chassis::{
    batch::{Batcher, Limits},
    deadline::Deadline,
};
use tonic::Code;

use crate::support::{
    Gate, Item, Manner, ONE_LANE, call, call_until, gated, in_a_minute, settle, until,
};

#[tokio::test]
async fn alone_a_caller_goes_straight_through() {
    let (gate, batcher) = gated(ONE_LANE);
    gate.let_all_pass();

    assert_eq!(
        call(&batcher, Manner::Answer.of(7))
            .await
            .await
            .unwrap()
            .unwrap(),
        7
    );
    assert_eq!(gate.numbers(), [[7]]);
}

#[tokio::test]
async fn who_waits_together_goes_together_and_in_order() {
    let (gate, batcher) = gated(ONE_LANE);
    let mut calls = Vec::new();
    for number in 0..5 {
        calls.push(call(&batcher, Manner::Answer.of(number)).await);
    }
    assert_eq!(gate.numbers(), [[0]], "nobody joins what is in flight");

    gate.let_all_pass();
    for (number, call) in calls.into_iter().enumerate() {
        assert_eq!(call.await.unwrap().unwrap(), number);
    }
    assert_eq!(gate.numbers(), [vec![0], vec![1, 2, 3, 4]]);
}

/// Callers who come one turn of the runtime after the other.
async fn one_a_turn(batcher: &Batcher<Gate>, callers: usize) {
    let call = async |number: usize| {
        for _ in 0..number {
            tokio::task::yield_now().await;
        }
        let item = Manner::Answer.of(number);
        batcher.call(item, in_a_minute()).await.unwrap();
    };
    futures_util::future::join_all((0..callers).map(call)).await;
}

#[tokio::test]
async fn while_more_come_a_batch_waits_for_them() {
    let (gate, batcher) = gated(ONE_LANE);
    gate.let_all_pass();
    one_a_turn(&batcher, 4).await;
    assert_eq!(gate.numbers(), [[0, 1, 2, 3]]);
}

#[tokio::test]
async fn however_many_come_a_batch_sets_out() {
    let (gate, batcher) = gated(ONE_LANE);
    gate.let_all_pass();
    one_a_turn(&batcher, 90).await;
    let batches = gate.numbers();
    assert!((5..20).contains(&batches.len()), "{batches:?}");
    assert_eq!(batches.concat(), (0..90).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_batch_takes_no_more_weight_than_it_has_room_for() {
    let (gate, batcher) = gated(Limits {
        batch_weight_max: 10,
        ..ONE_LANE
    });
    let mut calls = Vec::new();
    for (number, weight) in [1, 4, 6, 1, 25, 9, 1].into_iter().enumerate() {
        let item = Item {
            weight,
            ..Manner::Answer.of(number)
        };
        calls.push(call(&batcher, item).await);
    }
    gate.let_all_pass();
    for call in calls {
        call.await.unwrap().unwrap();
    }
    // What is heavier than a batch may be still goes, alone.
    assert_eq!(
        gate.numbers(),
        [vec![0], vec![1, 2], vec![3], vec![4], vec![5, 6]]
    );
}

#[tokio::test]
async fn a_full_queue_refuses_at_once() {
    let (gate, batcher) = gated(Limits {
        queue_max: 3,
        ..ONE_LANE
    });
    let mut calls = Vec::new();
    for number in 0..4 {
        calls.push(call(&batcher, Manner::Answer.of(number)).await);
    }
    let refused = call(&batcher, Manner::Answer.of(4)).await;
    assert!(refused.is_finished(), "it does not wait to be refused");
    let status = refused.await.unwrap().unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);

    gate.let_all_pass();
    for call in calls {
        call.await.unwrap().unwrap();
    }
    let after = call(&batcher, Manner::Answer.of(5)).await;
    assert_eq!(after.await.unwrap().unwrap(), 5);
}

#[tokio::test]
async fn who_has_given_up_keeps_nobody_out() {
    let (gate, batcher) = gated(Limits {
        queue_max: 3,
        ..ONE_LANE
    });
    let in_flight = call(&batcher, Manner::Answer.of(0)).await;
    // One who still waits, before those who do not.
    let patient = call(&batcher, Manner::Answer.of(1)).await;
    for number in 2..4 {
        call(&batcher, Manner::Answer.of(number)).await.abort();
        settle().await;
    }
    let newcomer = call(&batcher, Manner::Answer.of(4)).await;
    gate.let_all_pass();
    assert_eq!(newcomer.await.unwrap().unwrap(), 4);
    assert_eq!(patient.await.unwrap().unwrap(), 1);
    in_flight.await.unwrap().unwrap();
    assert_eq!(gate.numbers(), [vec![0], vec![1, 4]]);
}

#[tokio::test]
async fn who_has_gone_is_left_out_and_disturbs_nobody() {
    let (gate, batcher) = gated(ONE_LANE);
    let gone_in_flight = call(&batcher, Manner::Answer.of(0)).await;
    let first = call(&batcher, Manner::Answer.of(1)).await;
    let gone = call(&batcher, Manner::Answer.of(2)).await;
    let short = Deadline::after(Duration::from_millis(20));
    let late = call_until(&batcher, Manner::Answer.of(3), short).await;
    let last = call(&batcher, Manner::Answer.of(4)).await;

    gone_in_flight.abort();
    gone.abort();
    let status = late.await.unwrap().unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);

    gate.let_all_pass();
    assert_eq!(first.await.unwrap().unwrap(), 1);
    assert_eq!(last.await.unwrap().unwrap(), 4);
    assert_eq!(gate.numbers(), [vec![0], vec![1, 4]]);
}

#[tokio::test(start_paused = true)]
async fn who_are_fewer_than_those_under_way_wait_for_more() {
    let (gate, batcher) = gated(Limits {
        workers: 2,
        ..ONE_LANE
    });
    let mut calls = vec![call(&batcher, heavy(0, 3)).await];
    for number in 1..3 {
        calls.push(call(&batcher, Manner::Answer.of(number)).await);
    }
    assert_eq!(gate.numbers(), [[0]]);
    // The third makes them as many.
    calls.push(call(&batcher, Manner::Answer.of(3)).await);
    assert_eq!(gate.numbers(), [vec![0], vec![1, 2, 3]]);
    // There is no third lane.
    for number in 4..8 {
        calls.push(call(&batcher, Manner::Answer.of(number)).await);
    }
    assert_eq!(gate.numbers().len(), 2);
    gate.let_one_pass();
    settle().await;
    assert_eq!(gate.numbers()[2..], [vec![4, 5, 6, 7]]);
    gate.let_all_pass();
    for call in calls {
        call.await.unwrap().unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_lane_ends_when_another_comes_back_for_the_few_who_wait() {
    let (gate, batcher) = gated(Limits {
        workers: 2,
        ..ONE_LANE
    });
    let first = call(&batcher, Manner::Answer.of(0)).await;
    let mut calls = vec![call(&batcher, heavy(1, 5)).await];
    calls.push(call(&batcher, Manner::Answer.of(2)).await);
    assert_eq!(gate.numbers(), [[0], [1]]);
    gate.let_one_pass();
    first.await.unwrap().unwrap();
    settle().await;
    assert_eq!(gate.numbers().len(), 2);
    gate.let_one_pass();
    settle().await;
    assert_eq!(gate.numbers(), [[0], [1], [2]]);
    gate.let_all_pass();
    for call in calls {
        call.await.unwrap().unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_full_batch_does_not_wait_for_the_one_under_way() {
    let (gate, batcher) = gated(Limits {
        workers: 2,
        batch_weight_max: 2,
        ..ONE_LANE
    });
    let mut calls = vec![call(&batcher, heavy(0, 10)).await];
    calls.push(call(&batcher, Manner::Answer.of(1)).await);
    assert_eq!(gate.numbers(), [[0]]);
    calls.push(call(&batcher, Manner::Answer.of(2)).await);
    assert_eq!(gate.numbers(), [vec![0], vec![1, 2]]);
    gate.let_all_pass();
    for call in calls {
        call.await.unwrap().unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_late_batch_sets_out_without_it() {
    let (gate, batcher) = gated(Limits {
        workers: 2,
        ..ONE_LANE
    });
    let mut calls = vec![call(&batcher, heavy(0, 9)).await];
    for number in 1..3 {
        calls.push(call(&batcher, Manner::Answer.of(number)).await);
    }
    assert_eq!(gate.numbers(), [[0]]);
    until(|| gate.numbers().len() == 2).await;
    assert_eq!(gate.numbers(), [vec![0], vec![1, 2]]);
    gate.let_all_pass();
    for call in calls {
        call.await.unwrap().unwrap();
    }
}

fn heavy(number: usize, weight: usize) -> Item {
    Item {
        weight,
        ..Manner::Answer.of(number)
    }
}

#[tokio::test]
async fn a_stuck_lane_does_not_hold_the_queue() {
    let (gate, batcher) = gated(Limits {
        workers: 2,
        ..ONE_LANE
    });
    let stuck = call(&batcher, Manner::Stick.of(0)).await;
    gate.let_all_pass();
    for number in 1..10 {
        let call = call(&batcher, Manner::Answer.of(number)).await;
        assert_eq!(call.await.unwrap().unwrap(), number);
    }
    assert!(!stuck.is_finished());
    stuck.abort();
}
