//! The gateway as its own process.

fn main() {}
