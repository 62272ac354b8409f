//! The invariants of the resilient channel hold in every simulated world.

use minitwit_chaos::simulation::play;

/// `cargo xtask chaos` plays a thousand; a few dozen find what a change has broken.
const SEEDS: u64 = 50;

#[test]
fn the_invariants_hold_in_every_world() {
    for seed in 0..SEEDS {
        play(seed).unwrap_or_else(|error| panic!("{error:#}"));
    }
}

#[test]
fn a_seed_replays() {
    for seed in [3, 7] {
        assert_eq!(play(seed).unwrap(), play(seed).unwrap(), "seed {seed}");
    }
}
