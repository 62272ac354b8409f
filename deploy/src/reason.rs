//! Why an update did not go well, as its tasks tell it.

use std::collections::HashMap;

use bollard::models::{Task, TaskState};

use crate::swarm::{TaskIds, is_active};

/// The task that best explains a failure, and what it tells: of those that were made since, one
/// that failed before one that ended before one that waits.
pub(crate) fn reason<'a>(
    tasks: &'a [Task],
    known: &TaskIds,
    nodes: &HashMap<String, String>,
) -> Option<(&'a str, String)> {
    let task = tasks
        .iter()
        .filter(|task| task.id.as_ref().is_some_and(|id| !known.contains(id)))
        .filter_map(|task| Some((severity(task)?, task.created_at.as_deref(), task)))
        .max_by_key(|(severity, created, _)| (*severity, *created))?
        .2;
    Some((task.id.as_deref()?, tell(task, nodes)))
}

/// How much a task explains; `None` when it is well.
fn severity(task: &Task) -> Option<u8> {
    let status = task.status.as_ref()?;
    match status.state? {
        TaskState::FAILED | TaskState::REJECTED => Some(3),
        TaskState::COMPLETE | TaskState::ORPHANED => Some(2),
        TaskState::RUNNING => None,
        _ if is_active(task) => Some(1),
        _ => None,
    }
}

fn tell(task: &Task, nodes: &HashMap<String, String>) -> String {
    let node = task.node_id.as_ref().map(|id| nodes.get(id).unwrap_or(id));
    let place = node.map(|node| format!(" on {node}")).unwrap_or_default();
    let slot = task
        .slot
        .map_or_else(|| "a task".to_owned(), |slot| format!("task {slot}"));
    let Some(status) = &task.status else {
        return format!("{slot}{place}");
    };
    let state = status
        .state
        .map(|state| state.to_string())
        .unwrap_or_default();
    let said = status.err.as_deref().filter(|text| !text.is_empty());
    let code = status
        .container_status
        .as_ref()
        .and_then(|container| container.exit_code);
    let what = match (said, status.state, code) {
        (Some(said), _, _) => said.to_owned(),
        // What the Engine stops because it is unhealthy may end well, and nothing else is told.
        (None, Some(TaskState::COMPLETE), _) => {
            "it ended by itself or was stopped because its health check failed".to_owned()
        }
        (None, _, Some(code)) if code != 0 => format!("exit code {code}"),
        _ => status.message.clone().unwrap_or_default(),
    };
    format!("{slot}{place} is {state}: {what}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use bollard::models::TaskStatus;

    fn task(id: &str, created: &str, state: TaskState, err: &str) -> Task {
        Task {
            id: Some(id.into()),
            slot: Some(1),
            node_id: Some("abc".into()),
            created_at: Some(created.into()),
            desired_state: Some(TaskState::RUNNING),
            status: Some(TaskStatus {
                state: Some(state),
                err: Some(err.into()),
                ..TaskStatus::default()
            }),
            ..Task::default()
        }
    }

    fn told(tasks: &[Task]) -> Option<String> {
        let nodes = HashMap::from([("abc".to_owned(), "node1".to_owned())]);
        let known = TaskIds::from(["old".to_owned()]);
        reason(tasks, &known, &nodes).map(|(_, told)| told)
    }

    #[test]
    fn the_newest_failed_task_is_the_reason() {
        let tasks = [
            task("a", "2026-01-01T00:00:01Z", TaskState::FAILED, "first"),
            task(
                "b",
                "2026-01-01T00:00:02Z",
                TaskState::FAILED,
                "unhealthy container",
            ),
            task("c", "2026-01-01T00:00:03Z", TaskState::STARTING, ""),
        ];
        assert_eq!(
            told(&tasks).unwrap(),
            "task 1 on node1 is failed: unhealthy container"
        );
    }

    #[test]
    fn tasks_from_before_explain_nothing() {
        assert_eq!(
            told(&[task("old", "2026-01-01T00:00:01Z", TaskState::FAILED, "x")]),
            None
        );
        assert_eq!(
            told(&[task("new", "2026-01-01T00:00:01Z", TaskState::RUNNING, "")]),
            None
        );
    }

    #[test]
    fn a_task_that_finds_no_place_says_so() {
        let tasks = [task(
            "a",
            "2026-01-01T00:00:01Z",
            TaskState::PENDING,
            "no suitable node",
        )];
        assert_eq!(
            told(&tasks).unwrap(),
            "task 1 on node1 is pending: no suitable node"
        );
    }
}
