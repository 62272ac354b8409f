//! A collector of traces that counts spans and forgets them: what the bench sends its traces to.
//!
//! Prints where it listens, and runs until it is killed.
#![expect(
    clippy::print_stdout,
    reason = "where it listens is what it has to say"
)]

use std::{io::Write as _, time::Duration};

use test_sink::Sink;

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let sink = Sink::start();
    println!("{}", sink.endpoint);
    std::io::stdout().flush()?;
    let mut seen = 0;
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let more = sink.forget();
        seen += more;
        if more > 0 {
            println!("{seen} spans");
        }
    }
}
