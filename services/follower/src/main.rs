//! The follower service as its own process.

fn main() {}
