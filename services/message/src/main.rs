//! The message service as its own process.

fn main() {}
