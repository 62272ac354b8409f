//! Which callers share a batch, and in which order batches run.

use std::time::Duration;

use chassis::{
    batch::{Batcher, Limits},
    deadline::Deadline,
};
use tonic::Code;

use crate::support::{
    Behavior, GatedHandler, Item, ONE_WORKER, call, call_until, gated_batcher, one_minute, settle,
    until,
};

#[tokio::test]
async fn a_single_caller_runs_at_once() {
    let (handler, batcher) = gated_batcher(ONE_WORKER);
    handler.release_all();

    assert_eq!(
        call(&batcher, Behavior::Answer.of(7))
            .await
            .await
            .unwrap()
            .unwrap(),
        7
    );
    assert_eq!(handler.numbers(), [[7]]);
}

#[tokio::test]
async fn callers_that_wait_together_share_a_batch_in_order() {
    let (handler, batcher) = gated_batcher(ONE_WORKER);
    let mut calls = Vec::new();
    for number in 0..5 {
        calls.push(call(&batcher, Behavior::Answer.of(number)).await);
    }
    assert_eq!(
        handler.numbers(),
        [[0]],
        "no caller joins a batch in flight"
    );

    handler.release_all();
    for (number, call) in calls.into_iter().enumerate() {
        assert_eq!(call.await.unwrap().unwrap(), number);
    }
    assert_eq!(handler.numbers(), [vec![0], vec![1, 2, 3, 4]]);
}

/// Makes calls that arrive one scheduler turn apart.
async fn call_one_per_turn(batcher: &Batcher<GatedHandler>, callers: usize) {
    let call = async |number: usize| {
        for _ in 0..number {
            tokio::task::yield_now().await;
        }
        let item = Behavior::Answer.of(number);
        batcher.call(item, one_minute()).await.unwrap();
    };
    futures_util::future::join_all((0..callers).map(call)).await;
}

#[tokio::test]
async fn a_batch_waits_while_more_callers_arrive() {
    let (handler, batcher) = gated_batcher(ONE_WORKER);
    handler.release_all();
    call_one_per_turn(&batcher, 4).await;
    assert_eq!(handler.numbers(), [[0, 1, 2, 3]]);
}

#[tokio::test]
async fn a_batch_starts_even_if_callers_keep_arriving() {
    let (handler, batcher) = gated_batcher(ONE_WORKER);
    handler.release_all();
    call_one_per_turn(&batcher, 90).await;
    let batches = handler.numbers();
    assert!((5..20).contains(&batches.len()), "{batches:?}");
    assert_eq!(batches.concat(), (0..90).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_batch_is_at_most_as_heavy_as_its_limit() {
    let (handler, batcher) = gated_batcher(Limits {
        batch_weight_max: 10,
        ..ONE_WORKER
    });
    let mut calls = Vec::new();
    for (number, weight) in [1, 4, 6, 1, 25, 9, 1].into_iter().enumerate() {
        let item = Item {
            weight,
            ..Behavior::Answer.of(number)
        };
        calls.push(call(&batcher, item).await);
    }
    handler.release_all();
    for call in calls {
        call.await.unwrap().unwrap();
    }
    // An item that is heavier than the limit runs in a batch of its own.
    assert_eq!(
        handler.numbers(),
        [vec![0], vec![1, 2], vec![3], vec![4], vec![5, 6]]
    );
}

#[tokio::test]
async fn a_full_queue_refuses_at_once() {
    let (handler, batcher) = gated_batcher(Limits {
        queue_max: 3,
        ..ONE_WORKER
    });
    let mut calls = Vec::new();
    for number in 0..4 {
        calls.push(call(&batcher, Behavior::Answer.of(number)).await);
    }
    let refused = call(&batcher, Behavior::Answer.of(4)).await;
    assert!(refused.is_finished(), "a call waited for its refusal");
    let status = refused.await.unwrap().unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted);

    handler.release_all();
    for call in calls {
        call.await.unwrap().unwrap();
    }
    let after = call(&batcher, Behavior::Answer.of(5)).await;
    assert_eq!(after.await.unwrap().unwrap(), 5);
}

#[tokio::test]
async fn abandoned_callers_do_not_keep_new_callers_out() {
    let (handler, batcher) = gated_batcher(Limits {
        queue_max: 3,
        ..ONE_WORKER
    });
    let in_flight = call(&batcher, Behavior::Answer.of(0)).await;
    // A caller that still waits, in front of the abandoned ones.
    let waiting = call(&batcher, Behavior::Answer.of(1)).await;
    for number in 2..4 {
        call(&batcher, Behavior::Answer.of(number)).await.abort();
        settle().await;
    }
    let newcomer = call(&batcher, Behavior::Answer.of(4)).await;
    handler.release_all();
    assert_eq!(newcomer.await.unwrap().unwrap(), 4);
    assert_eq!(waiting.await.unwrap().unwrap(), 1);
    in_flight.await.unwrap().unwrap();
    assert_eq!(handler.numbers(), [vec![0], vec![1, 4]]);
}

#[tokio::test]
async fn abandoned_callers_are_left_out_of_the_batch() {
    let (handler, batcher) = gated_batcher(ONE_WORKER);
    let abandoned_in_flight = call(&batcher, Behavior::Answer.of(0)).await;
    let first = call(&batcher, Behavior::Answer.of(1)).await;
    let abandoned = call(&batcher, Behavior::Answer.of(2)).await;
    let short = Deadline::after(Duration::from_millis(20));
    let late = call_until(&batcher, Behavior::Answer.of(3), short).await;
    let last = call(&batcher, Behavior::Answer.of(4)).await;

    abandoned_in_flight.abort();
    abandoned.abort();
    let status = late.await.unwrap().unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);

    handler.release_all();
    assert_eq!(first.await.unwrap().unwrap(), 1);
    assert_eq!(last.await.unwrap().unwrap(), 4);
    assert_eq!(handler.numbers(), [vec![0], vec![1, 4]]);
}

#[tokio::test(start_paused = true)]
async fn a_batch_smaller_than_the_running_one_waits_for_more_callers() {
    let (handler, batcher) = gated_batcher(Limits {
        workers: 2,
        ..ONE_WORKER
    });
    let mut calls = vec![call(&batcher, heavy(0, 3)).await];
    for number in 1..3 {
        calls.push(call(&batcher, Behavior::Answer.of(number)).await);
    }
    assert_eq!(handler.numbers(), [[0]]);
    // With the third caller, the next batch is as heavy as the running one.
    calls.push(call(&batcher, Behavior::Answer.of(3)).await);
    assert_eq!(handler.numbers(), [vec![0], vec![1, 2, 3]]);
    // There is no third worker.
    for number in 4..8 {
        calls.push(call(&batcher, Behavior::Answer.of(number)).await);
    }
    assert_eq!(handler.numbers().len(), 2);
    handler.release_one();
    settle().await;
    assert_eq!(handler.numbers()[2..], [vec![4, 5, 6, 7]]);
    handler.release_all();
    for call in calls {
        call.await.unwrap().unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_worker_ends_when_another_worker_will_take_the_few_callers() {
    let (handler, batcher) = gated_batcher(Limits {
        workers: 2,
        ..ONE_WORKER
    });
    let first = call(&batcher, Behavior::Answer.of(0)).await;
    let mut calls = vec![call(&batcher, heavy(1, 5)).await];
    calls.push(call(&batcher, Behavior::Answer.of(2)).await);
    assert_eq!(handler.numbers(), [[0], [1]]);
    handler.release_one();
    first.await.unwrap().unwrap();
    settle().await;
    assert_eq!(handler.numbers().len(), 2);
    handler.release_one();
    settle().await;
    assert_eq!(handler.numbers(), [[0], [1], [2]]);
    handler.release_all();
    for call in calls {
        call.await.unwrap().unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_full_batch_does_not_wait_for_the_running_one() {
    let (handler, batcher) = gated_batcher(Limits {
        workers: 2,
        batch_weight_max: 2,
        ..ONE_WORKER
    });
    let mut calls = vec![call(&batcher, heavy(0, 10)).await];
    calls.push(call(&batcher, Behavior::Answer.of(1)).await);
    assert_eq!(handler.numbers(), [[0]]);
    calls.push(call(&batcher, Behavior::Answer.of(2)).await);
    assert_eq!(handler.numbers(), [vec![0], vec![1, 2]]);
    handler.release_all();
    for call in calls {
        call.await.unwrap().unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn waiting_callers_do_not_wait_for_a_late_batch() {
    let (handler, batcher) = gated_batcher(Limits {
        workers: 2,
        ..ONE_WORKER
    });
    let mut calls = vec![call(&batcher, heavy(0, 9)).await];
    for number in 1..3 {
        calls.push(call(&batcher, Behavior::Answer.of(number)).await);
    }
    assert_eq!(handler.numbers(), [[0]]);
    until(|| handler.numbers().len() == 2).await;
    assert_eq!(handler.numbers(), [vec![0], vec![1, 2]]);
    handler.release_all();
    for call in calls {
        call.await.unwrap().unwrap();
    }
}

fn heavy(number: usize, weight: usize) -> Item {
    Item {
        weight,
        ..Behavior::Answer.of(number)
    }
}

#[tokio::test]
async fn a_stuck_worker_does_not_block_the_queue() {
    let (handler, batcher) = gated_batcher(Limits {
        workers: 2,
        ..ONE_WORKER
    });
    let stuck = call(&batcher, Behavior::Hang.of(0)).await;
    handler.release_all();
    for number in 1..10 {
        let call = call(&batcher, Behavior::Answer.of(number)).await;
        assert_eq!(call.await.unwrap().unwrap(), number);
    }
    assert!(!stuck.is_finished());
    stuck.abort();
}
