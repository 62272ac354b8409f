//! Waiting for a condition without a fixed sleep.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};

/// Time between two checks of a condition. It is short compared with the duration of a test.
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// Waits until `condition` holds.
///
/// Returns as soon as the condition holds, so `timeout` may be generous. The timeout also ends a check
/// that hangs.
///
/// # Panics
///
/// The condition did not hold in time. The message contains `what`, a sentence such as "a user exists".
pub async fn eventually(what: &str, timeout: Duration, mut condition: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + timeout;
    let result = timeout_at(deadline, async {
        while !condition().await {
            sleep(POLL_INTERVAL).await;
        }
    });
    assert!(
        result.await.is_ok(),
        "condition did not hold: {what} within {timeout:?}"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_condition_is_checked_until_it_holds() {
        let mut checks = 0;
        eventually("three checks", Duration::from_secs(5), async || {
            checks += 1;
            checks == 3
        })
        .await;
        assert_eq!(checks, 3);
    }

    #[tokio::test]
    #[should_panic(expected = "condition did not hold: an answer within 20ms")]
    async fn a_hanging_check_ends_with_the_timeout() {
        eventually("an answer", Duration::from_millis(20), async || {
            std::future::pending().await
        })
        .await;
    }
}
