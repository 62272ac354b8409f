//! Tests of the resilient channel and the server's stop in simulated worlds. A seed decides the faults.

mod nemesis;
mod service;
mod world;

use world::simulate;

/// Number of simulated worlds. A dozen finds a common fault, and `cargo xtask chaos` simulates a thousand.
const COUNT_VARIABLE: &str = "MINITWIT_SIMULATED_WORLDS";
const COUNT: u64 = 12;

/// First seed. With a count of 1, a single world is repeated.
const SEED_VARIABLE: &str = "MINITWIT_SIMULATED_SEED";

#[test]
fn the_invariants_hold_in_every_world() {
    let (first, count) = (number(SEED_VARIABLE, 0), number(COUNT_VARIABLE, COUNT));
    let worlds = first..first + count;
    let broken: Vec<_> = worlds.filter_map(|seed| simulate(seed).err()).collect();
    for error in broken.iter().take(5) {
        eprintln!("{error:#}");
    }
    assert!(
        broken.is_empty(),
        "{} of {count} worlds from seed {first} are broken",
        broken.len()
    );
}

#[test]
fn every_call_is_answered_once() {
    let outcome = simulate(3).unwrap();
    assert_eq!(outcome.answered + outcome.failed, u64::from(world::CALLS));
}

fn number(variable: &str, default: u64) -> u64 {
    #[expect(clippy::disallowed_methods, reason = "a test has no command line")]
    let given = std::env::var(variable);
    given.map_or(default, |text| text.parse().expect("a number"))
}
