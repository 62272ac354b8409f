//! Waiting for what happens soon, without a guess how soon.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};

/// How often a condition is looked at: often enough not to be felt in a test's time.
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// Waits until `condition` holds.
///
/// `patience` is a bound, not a sleep: the test goes on the moment the condition holds, so it may be
/// generous. It bounds a condition that hangs, too.
///
/// # Panics
///
/// The condition did not hold in time; the message repeats `what`, as in "`what` within 5s".
pub async fn eventually(what: &str, patience: Duration, mut condition: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + patience;
    let held = timeout_at(deadline, async {
        while !condition().await {
            sleep(POLL_INTERVAL).await;
        }
    });
    assert!(
        held.await.is_ok(),
        "waited in vain for this: {what} within {patience:?}"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_condition_is_asked_until_it_holds() {
        let mut asked = 0;
        eventually("asked three times", Duration::from_secs(5), async || {
            asked += 1;
            asked == 3
        })
        .await;
        assert_eq!(asked, 3);
    }

    #[tokio::test]
    #[should_panic(expected = "waited in vain for this: an answer within 20ms")]
    async fn a_condition_that_hangs_is_given_up() {
        eventually("an answer", Duration::from_millis(20), async || {
            std::future::pending().await
        })
        .await;
    }
}
