//! Background tasks of a gateway, from the start of its servers to the end of its drain.

use tokio::{
    task::JoinSet,
    time::{Instant, timeout_at},
};
use tokio_util::sync::CancellationToken;

use super::{Backend, latest::Latest};

/// Running background tasks. A drop aborts the tasks.
pub(crate) struct BackgroundTasks {
    tasks: JoinSet<()>,
    stop: CancellationToken,
    latest: Latest,
}

impl BackgroundTasks {
    /// Starts the poll of deletions and the storage of deferred `latest` values.
    pub(crate) fn start(backend: &Backend) -> Self {
        let (mut tasks, stop) = (JoinSet::new(), CancellationToken::new());
        let (deletions, stopped) = (backend.deletions.clone(), stop.clone());
        tasks.spawn(async move {
            stopped.run_until_cancelled(deletions.run()).await;
        });
        let (latest, stopped) = (backend.latest.clone(), stop.clone());
        tasks.spawn(async move { latest.store_deferred(&stopped).await });
        Self {
            tasks,
            stop,
            latest: backend.latest.clone(),
        }
    }

    /// Stops the tasks. Waits until all deferred `latest` values are stored, at most until `hard_stop`.
    /// The remaining values are logged and counted as lost.
    pub(crate) async fn stop(mut self, hard_stop: Instant) {
        self.stop.cancel();
        let ended = timeout_at(hard_stop, async {
            while let Some(ended) = self.tasks.join_next().await {
                if let Err(error) = ended {
                    tracing::error!(%error, "a background task failed");
                }
            }
        });
        if ended.await.is_err() {
            tracing::warn!("background tasks aborted at the hard stop");
        }
        self.latest.close();
    }
}
