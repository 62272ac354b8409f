//! The user service as its own process.

fn main() {}
