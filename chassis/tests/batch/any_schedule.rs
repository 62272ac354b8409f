//! Every caller gets exactly one answer, in every order of arrivals, departures and batch ends.

use std::{collections::HashMap, sync::Arc, time::Duration};

use chassis::batch::{Batcher, Limits};
use proptest::prelude::*;
use tonic::{Code, Status};

use crate::support::{Behavior, Call, GatedHandler, Item, call, gated_batcher, one_minute, settle};

/// Maximum time to wait for an answer. A correct batcher never needs that long, on any machine.
const ANSWER_TIMEOUT: Duration = Duration::from_mins(1);

#[derive(Clone, Debug)]
enum Step {
    Arrive { weight: usize, behavior: Behavior },
    Abandon { caller: prop::sample::Index },
    EndBatch,
}

fn step() -> impl Strategy<Value = Step> {
    let behavior = prop_oneof![
        8 => Just(Behavior::Answer),
        1 => Just(Behavior::FailItem),
        1 => Just(Behavior::FailBatch),
    ];
    prop_oneof![
        6 => (1_usize..8, behavior).prop_map(|(weight, behavior)| Step::Arrive { weight, behavior }),
        1 => any::<prop::sample::Index>().prop_map(|caller| Step::Abandon { caller }),
        2 => Just(Step::EndBatch),
    ]
}

fn limits() -> impl Strategy<Value = Limits> {
    (1_usize..4, 1_usize..12, 1_usize..12).prop_map(|(workers, batch_weight_max, queue_max)| {
        Limits {
            workers,
            batch_weight_max,
            queue_max,
        }
    })
}

/// Executes the steps. Returns the handler, and the answers of the callers that did not give up.
async fn execute(
    limits: Limits,
    steps: Vec<Step>,
) -> (GatedHandler, HashMap<usize, Result<usize, Status>>) {
    let (handler, batcher) = gated_batcher(limits);
    let mut calls: Vec<Call> = Vec::new();
    let mut abandoned = Vec::new();
    for step in steps {
        match step {
            Step::Arrive { weight, behavior } => {
                let number = calls.len();
                let item = Item {
                    number,
                    weight,
                    behavior,
                };
                calls.push(call(&batcher, item).await);
            }
            Step::Abandon { caller } if !calls.is_empty() => {
                let caller = caller.index(calls.len());
                calls[caller].abort();
                abandoned.push(caller);
                settle().await;
            }
            Step::Abandon { .. } => {}
            Step::EndBatch => {
                handler.release_one();
                settle().await;
            }
        }
    }
    handler.release_all();
    let mut answers = HashMap::new();
    for (number, call) in calls.into_iter().enumerate() {
        let answer = tokio::time::timeout(ANSWER_TIMEOUT, call)
            .await
            .expect("every caller is answered");
        if !abandoned.contains(&number) {
            answers.insert(number, answer.unwrap());
        }
    }
    (handler, answers)
}

proptest! {
    #[test]
    fn every_caller_gets_its_own_answer(
        limits in limits(),
        steps in prop::collection::vec(step(), 0..40),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        let (handler, answers) = runtime.block_on(execute(limits, steps));
        let batches = handler.batches();
        let batch_of = |number| {
            let mut all = batches.iter();
            all.find(|batch| batch.iter().any(|item| item.number == number))
        };

        for (&number, answer) in &answers {
            let Some(batch) = batch_of(number) else {
                let code = answer.as_ref().unwrap_err().code();
                prop_assert_eq!(code, Code::ResourceExhausted);
                continue;
            };
            let own = batch.iter().find(|item| item.number == number).unwrap();
            let failed = batch.iter().any(|item| item.behavior == Behavior::FailBatch);
            let (expected, code) = match own.behavior {
                _ if failed => (None, Code::Unavailable),
                Behavior::FailItem => (None, Code::NotFound),
                _ => (Some(number), Code::Ok),
            };
            prop_assert_eq!(answer.as_ref().ok().copied(), expected);
            prop_assert_eq!(answer.as_ref().err().map_or(Code::Ok, Status::code), code);
        }

        // Callers are taken in the order of their arrival, each at most once. Only a batch of a single
        // caller is heavier than the limit.
        let taken: Vec<usize> = batches.iter().flatten().map(|item| item.number).collect();
        prop_assert!(taken.windows(2).all(|pair| pair[0] < pair[1]), "{:?}", taken);
        for batch in &batches {
            let weight: usize = batch.iter().map(|item| item.weight).sum();
            prop_assert!(weight <= limits.batch_weight_max || batch.len() == 1);
            prop_assert!(!batch.is_empty());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_wake_up_is_lost_between_threads() {
    let limits = Limits {
        workers: 2,
        batch_weight_max: 7,
        queue_max: 1_000,
    };
    let batcher = Arc::new(Batcher::new("test", limits, GatedHandler::open()));
    let mut callers = tokio::task::JoinSet::new();
    for caller in 0..64 {
        let batcher = Arc::clone(&batcher);
        callers.spawn(async move {
            for turn in 0..300 {
                let number = caller * 1_000 + turn;
                let answer = batcher
                    .call(Behavior::Answer.of(number), one_minute())
                    .await;
                assert_eq!(answer.unwrap(), number);
            }
        });
    }
    let all = tokio::time::timeout(ANSWER_TIMEOUT, callers.join_all());
    all.await.expect("every caller is answered");
}
