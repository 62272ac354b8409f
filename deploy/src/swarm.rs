//! The Engine's API for the services of one stack. Calls are retried while the Swarm elects a leader.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    time::Duration,
};

use anyhow::Context as _;
use bollard::{
    Docker,
    models::{Node, Service, ServiceUpdateStatusStateEnum, Task, TaskState},
    query_parameters::{
        ListNodesOptions, ListServicesOptions, ListTasksOptions, LogsOptions, UpdateServiceOptions,
    },
};
use futures_util::StreamExt as _;
use tokio::time::Instant;

use crate::progress::{Update, UpdateState};

/// The label that `docker stack deploy` puts on every object of a stack.
const NAMESPACE: &str = "com.docker.stack.namespace";

/// Maximum time for which calls are retried while the Swarm has no leader. In a Swarm with three
/// managers, elections have taken up to 34 s.
const ELECTION_PATIENCE: Duration = Duration::from_secs(90);

/// The stack's services by their names in its file.
pub(crate) type Services = BTreeMap<String, Service>;

/// The ids of tasks.
pub(crate) type TaskIds = HashSet<String>;

/// The Engine of a manager, and the stack on it.
#[derive(Debug)]
pub(crate) struct Swarm {
    engine: Docker,
    stack: String,
}

impl Swarm {
    pub(crate) async fn connect(host: Option<&str>, stack: &str) -> anyhow::Result<Self> {
        let engine = match host {
            Some(host) => Docker::connect_with_host(host),
            None => Docker::connect_with_local_defaults(),
        };
        // The client's time-out of two minutes covers a manager that waits for a leader.
        let engine = engine.context("the address of the Engine is not valid")?;
        let engine = engine
            .negotiate_version()
            .await
            .context("the Engine cannot be reached")?;
        Ok(Self {
            engine,
            stack: stack.to_owned(),
        })
    }

    /// The stack's services.
    pub(crate) async fn services(&self) -> anyhow::Result<Services> {
        let found = retry(|| {
            let filters = Some(self.filters());
            self.engine.list_services(Some(ListServicesOptions {
                filters,
                status: Some(true),
            }))
        })
        .await
        .context("cannot list the services")?;
        let prefix = format!("{}_", self.stack);
        let named = found.into_iter().filter_map(|service| {
            let name = service
                .spec
                .as_ref()?
                .name
                .as_deref()?
                .strip_prefix(&prefix)?;
            Some((name.to_owned(), service))
        });
        Ok(named.collect())
    }

    /// The tasks of the stack.
    pub(crate) async fn tasks(&self) -> anyhow::Result<Vec<Task>> {
        retry(|| {
            self.engine.list_tasks(Some(ListTasksOptions {
                filters: Some(self.filters()),
            }))
        })
        .await
        .context("cannot list the tasks")
    }

    pub(crate) async fn task_ids(&self) -> anyhow::Result<TaskIds> {
        Ok(self
            .tasks()
            .await?
            .into_iter()
            .filter_map(|task| task.id)
            .collect())
    }

    /// The nodes' names by their ids.
    pub(crate) async fn node_names(&self) -> anyhow::Result<HashMap<String, String>> {
        let name = |node: Node| Some((node.id?, node.description?.hostname?));
        let nodes = retry(|| self.engine.list_nodes(None::<ListNodesOptions>)).await;
        Ok(nodes
            .context("cannot list the nodes")?
            .into_iter()
            .filter_map(name)
            .collect())
    }

    /// Removes a service if it exists.
    pub(crate) async fn remove(&self, service: &str) -> anyhow::Result<()> {
        let name = self.full_name(service);
        match retry(|| self.engine.delete_service(&name)).await {
            Ok(())
            | Err(bollard::errors::Error::DockerResponseServerError {
                status_code: 404, ..
            }) => Ok(()),
            Err(error) => Err(error).with_context(|| format!("cannot remove {name}")),
        }
    }

    /// Rolls a service back to its specification before the last update.
    ///
    /// Each attempt reads the service's version again, because an update that an election interrupted
    /// may have been applied.
    pub(crate) async fn roll_back(&self, service: &str) -> anyhow::Result<()> {
        let name = self.full_name(service);
        let roll_back = async || {
            let current = self.engine.inspect_service(&name, None).await?;
            let version = current
                .version
                .and_then(|version| version.index)
                .unwrap_or(0);
            let options = UpdateServiceOptions {
                version: i32::try_from(version).unwrap_or(i32::MAX),
                registry_auth_from: "spec".to_owned(),
                rollback: Some("previous".to_owned()),
            };
            // The Engine demands a specification, but applies the previous one, which it has stored.
            let spec = current.spec.unwrap_or_default();
            self.engine.update_service(&name, spec, options, None).await
        };
        retry(roll_back).await?;
        Ok(())
    }

    /// The last log lines of a task, or none if the Engine does not return them within three seconds.
    pub(crate) async fn last_log_lines(&self, task: &str) -> Vec<String> {
        let options = LogsOptions {
            stdout: true,
            stderr: true,
            tail: "5".to_owned(),
            ..LogsOptions::default()
        };
        let lines = self.engine.task_logs(task, Some(options)).take(5);
        let lines = lines
            .filter_map(async |line| line.ok())
            .map(|line| line.to_string());
        tokio::time::timeout(Duration::from_secs(3), lines.collect())
            .await
            .unwrap_or_default()
    }

    fn filters(&self) -> HashMap<String, Vec<String>> {
        let label = format!("{NAMESPACE}={}", self.stack);
        HashMap::from([("label".to_owned(), vec![label])])
    }

    fn full_name(&self, service: &str) -> String {
        format!("{}_{service}", self.stack)
    }
}

/// Whether a task runs or may still start.
pub(crate) fn is_active(task: &Task) -> bool {
    use TaskState as S;
    let has_ended = |state| {
        matches!(
            state,
            S::COMPLETE | S::SHUTDOWN | S::FAILED | S::REJECTED | S::REMOVE | S::ORPHANED
        )
    };
    let state = task.status.as_ref().and_then(|status| status.state);
    let is_stopped = matches!(task.desired_state, Some(S::SHUTDOWN | S::REMOVE));
    !is_stopped && !state.is_some_and(has_ended)
}

/// The update of a service that the Engine reports.
pub(crate) fn update_of(service: &Service) -> Option<Update> {
    use ServiceUpdateStatusStateEnum as S;
    let status = service.update_status.as_ref()?;
    let state = match status.state? {
        S::EMPTY => return None,
        S::UPDATING => UpdateState::Updating,
        S::PAUSED => UpdateState::Paused,
        S::COMPLETED => UpdateState::Completed,
        S::ROLLBACK_STARTED => UpdateState::RollbackStarted,
        S::ROLLBACK_PAUSED => UpdateState::RollbackPaused,
        S::ROLLBACK_COMPLETED => UpdateState::RollbackCompleted,
    };
    let message = status.message.clone().unwrap_or_default();
    Some(Update {
        state,
        started: status.started_at.clone(),
        message,
    })
}

/// Retries a call while the Swarm elects a leader, and prints the cause once.
async fn retry<T, F>(mut ask: impl FnMut() -> F) -> Result<T, bollard::errors::Error>
where
    F: Future<Output = Result<T, bollard::errors::Error>>,
{
    let deadline = Instant::now() + ELECTION_PATIENCE;
    let mut reported = false;
    loop {
        let error = match ask().await {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        let text = error.to_string();
        if Instant::now() > deadline || !is_temporary(&text) {
            return Err(error);
        }
        if !reported {
            println!("the Swarm cannot answer, trying again: {text}");
            reported = true;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// Whether an error is caused by an election or by a concurrent update of the same service.
pub(crate) fn is_temporary(error: &str) -> bool {
    const SIGNS: [&str; 8] = [
        "does not have a leader",
        "no elected primary cluster manager",
        "update out of sequence",
        "raft:",
        "context deadline exceeded",
        "code = Unavailable",
        "connection refused",
        "Timeout error",
    ];
    SIGNS.iter().any(|sign| error.contains(sign))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_election_is_temporary_and_an_unknown_service_is_not() {
        assert!(is_temporary(
            "rpc error: code = Unknown desc = The swarm does not have a leader."
        ));
        assert!(is_temporary(
            "rpc error: code = Unknown desc = update out of sequence"
        ));
        assert!(!is_temporary("service minitwit_user not found"));
    }
}
