//! Whatever order things happen in: exactly one answer each, and nobody is forgotten.

use std::{collections::HashMap, sync::Arc, time::Duration};

use chassis::batch::{Batcher, Limits};
use proptest::prelude::*;
use tonic::{Code, Status};

use crate::support::{Call, Gate, Item, Manner, call, gated, in_a_minute, settle};

/// Long enough for any machine; a test that is right never waits so long.
const PATIENCE: Duration = Duration::from_mins(1);

#[derive(Clone, Debug)]
enum Step {
    Arrive { weight: usize, manner: Manner },
    Leave { caller: prop::sample::Index },
    EndBatch,
}

fn step() -> impl Strategy<Value = Step> {
    let manner = prop_oneof![
        8 => Just(Manner::Answer),
        1 => Just(Manner::Refuse),
        1 => Just(Manner::Fail),
    ];
    prop_oneof![
        6 => (1_usize..8, manner).prop_map(|(weight, manner)| Step::Arrive { weight, manner }),
        1 => any::<prop::sample::Index>().prop_map(|caller| Step::Leave { caller }),
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

/// Carries the steps out, and tells what became of those who stayed.
async fn carry_out(
    limits: Limits,
    steps: Vec<Step>,
) -> (Gate, HashMap<usize, Result<usize, Status>>) {
    let (gate, batcher) = gated(limits);
    let mut calls: Vec<Call> = Vec::new();
    let mut left = Vec::new();
    for step in steps {
        match step {
            Step::Arrive { weight, manner } => {
                let number = calls.len();
                let item = Item {
                    number,
                    weight,
                    manner,
                };
                calls.push(call(&batcher, item).await);
            }
            Step::Leave { caller } if !calls.is_empty() => {
                let caller = caller.index(calls.len());
                calls[caller].abort();
                left.push(caller);
                settle().await;
            }
            Step::Leave { .. } => {}
            Step::EndBatch => {
                gate.let_one_pass();
                settle().await;
            }
        }
    }
    gate.let_all_pass();
    let mut answers = HashMap::new();
    for (number, call) in calls.into_iter().enumerate() {
        let answer = tokio::time::timeout(PATIENCE, call)
            .await
            .expect("nobody is forgotten");
        if !left.contains(&number) {
            answers.insert(number, answer.unwrap());
        }
    }
    (gate, answers)
}

proptest! {
    #[test]
    fn every_caller_has_its_own_answer(
        limits in limits(),
        steps in prop::collection::vec(step(), 0..40),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        let (gate, answers) = runtime.block_on(carry_out(limits, steps));
        let batches = gate.batches();
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
            let failed = batch.iter().any(|item| item.manner == Manner::Fail);
            let (expected, code) = match own.manner {
                _ if failed => (None, Code::Unavailable),
                Manner::Refuse => (None, Code::NotFound),
                _ => (Some(number), Code::Ok),
            };
            prop_assert_eq!(answer.as_ref().ok().copied(), expected);
            prop_assert_eq!(answer.as_ref().err().map_or(Code::Ok, Status::code), code);
        }

        // Callers are taken in the order in which they came, each at most once, and no batch is
        // heavier than it may be unless it is one caller's.
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
    let batcher = Arc::new(Batcher::new("test", limits, Gate::open()));
    let mut callers = tokio::task::JoinSet::new();
    for caller in 0..64 {
        let batcher = Arc::clone(&batcher);
        callers.spawn(async move {
            for turn in 0..300 {
                let number = caller * 1_000 + turn;
                let answer = batcher.call(Manner::Answer.of(number), in_a_minute()).await;
                assert_eq!(answer.unwrap(), number);
            }
        });
    }
    let all = tokio::time::timeout(PATIENCE, callers.join_all());
    all.await.expect("nobody is forgotten");
}
