//! A trace collector that counts spans and deletes them. Benchmarks send their traces to it.
//!
//! The program prints the URL of the collector, and runs until it is killed.
#![expect(
    clippy::print_stdout,
    reason = "the URL and the number of spans are the output of the program"
)]

use std::{io::Write as _, time::Duration};

use test_sink::Sink;

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let sink = Sink::start();
    println!("{}", sink.endpoint);
    std::io::stdout().flush()?;
    let mut total = 0;
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let new = sink.clear();
        total += new;
        if new > 0 {
            println!("{total} spans");
        }
    }
}
