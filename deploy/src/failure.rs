//! The cause of a failed update, taken from the state of the service's tasks.

use std::collections::HashMap;

use bollard::models::{Task, TaskState};

use crate::swarm::{TaskIds, is_active};

/// Returns the id of the new task that best explains a failure, and a description of the task.
///
/// A failed task is preferred to one that ended, and a task that ended to one that waits.
pub(crate) fn explain_failure<'a>(
    tasks: &'a [Task],
    tasks_before: &TaskIds,
    node_names: &HashMap<String, String>,
) -> Option<(&'a str, String)> {
    let task = tasks
        .iter()
        .filter(|task| {
            task.id
                .as_ref()
                .is_some_and(|id| !tasks_before.contains(id))
        })
        .filter_map(|task| Some((severity(task)?, task.created_at.as_deref(), task)))
        .max_by_key(|(severity, created, _)| (*severity, *created))?
        .2;
    Some((task.id.as_deref()?, describe(task, node_names)))
}

/// The rank of a task as an explanation of a failure, or `None` for a task that runs.
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

fn describe(task: &Task, node_names: &HashMap<String, String>) -> String {
    let node = task
        .node_id
        .as_ref()
        .map(|id| node_names.get(id).unwrap_or(id));
    let location = node.map(|node| format!(" on {node}")).unwrap_or_default();
    let slot = task
        .slot
        .map_or_else(|| "a task".to_owned(), |slot| format!("task {slot}"));
    let Some(status) = &task.status else {
        return format!("{slot}{location}");
    };
    let state = status
        .state
        .map(|state| state.to_string())
        .unwrap_or_default();
    let error = status.err.as_deref().filter(|text| !text.is_empty());
    let code = status
        .container_status
        .as_ref()
        .and_then(|container| container.exit_code);
    let detail = match (error, status.state, code) {
        (Some(error), _, _) => error.to_owned(),
        // An unhealthy task that the Engine stops may end with success. The Engine reports no
        // other difference to a task that ended by itself.
        (None, Some(TaskState::COMPLETE), _) => {
            "it ended by itself or was stopped because its health check failed".to_owned()
        }
        (None, _, Some(code)) if code != 0 => format!("exit code {code}"),
        _ => status.message.clone().unwrap_or_default(),
    };
    format!("{slot}{location} is {state}: {detail}")
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

    fn explanation(tasks: &[Task]) -> Option<String> {
        let node_names = HashMap::from([("abc".to_owned(), "node1".to_owned())]);
        let tasks_before = TaskIds::from(["old".to_owned()]);
        explain_failure(tasks, &tasks_before, &node_names).map(|(_, explanation)| explanation)
    }

    #[test]
    fn the_newest_failed_task_is_the_explanation() {
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
            explanation(&tasks).unwrap(),
            "task 1 on node1 is failed: unhealthy container"
        );
    }

    #[test]
    fn earlier_tasks_and_running_tasks_explain_nothing() {
        assert_eq!(
            explanation(&[task("old", "2026-01-01T00:00:01Z", TaskState::FAILED, "x")]),
            None
        );
        assert_eq!(
            explanation(&[task("new", "2026-01-01T00:00:01Z", TaskState::RUNNING, "")]),
            None
        );
    }

    #[test]
    fn a_task_without_a_suitable_node_is_an_explanation() {
        let tasks = [task(
            "a",
            "2026-01-01T00:00:01Z",
            TaskState::PENDING,
            "no suitable node",
        )];
        assert_eq!(
            explanation(&tasks).unwrap(),
            "task 1 on node1 is pending: no suitable node"
        );
    }
}
