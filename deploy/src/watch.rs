//! Polls the Engine until every watched service is done or has failed, and prints each change.

use std::{collections::BTreeMap, time::Duration};

use bollard::models::{Service, Task, TaskState};
use tokio::time::Instant;

use crate::{
    failure::explain_failure,
    progress::{Baseline, Goal, Observation, Progress, ProgressTracker},
    swarm::{Services, Swarm, TaskIds, is_active, update_of},
};

/// Time between two requests to the Engine for the state of the services.
const POLL_INTERVAL: Duration = Duration::from_millis(500);

/// The goal of a deployment step, and the state of the stack before the step.
pub(crate) struct WatchOptions<'a> {
    pub(crate) goal: Goal,
    /// The services before the step changed anything.
    pub(crate) services_before: &'a Services,
    /// The tasks before the step changed anything.
    pub(crate) tasks_before: TaskIds,
    pub(crate) deadline: Instant,
}

/// Watches the services until the deadline. Returns whether all of them reached the goal.
pub(crate) async fn watch(
    swarm: &Swarm,
    names: &[String],
    options: WatchOptions<'_>,
) -> anyhow::Result<bool> {
    let began = Instant::now();
    let mut unfinished: BTreeMap<&str, (ProgressTracker, Progress)> = names
        .iter()
        .map(|name| {
            let baseline = baseline(options.services_before.get(name));
            let tracker = ProgressTracker::new(options.goal, baseline);
            (name.as_str(), (tracker, Progress::Pending(String::new())))
        })
        .collect();
    let mut all_done = true;
    while !unfinished.is_empty() {
        let services = swarm.services().await?;
        let tasks = swarm.tasks().await?;
        let mut finished = Vec::new();
        for (&name, (tracker, last)) in &mut unfinished {
            let observation = services.get(name).map(|service| {
                observe(
                    service,
                    options.services_before.get(name),
                    &tasks,
                    &options.tasks_before,
                )
            });
            let progress = match observation {
                Some(observation) => tracker.update(&observation, began.elapsed()),
                None => Progress::Pending("not created yet".to_owned()),
            };
            if progress != *last {
                print(name, began.elapsed(), &progress);
            }
            if let Progress::Failed(_) = progress {
                all_done = false;
                print_failure(swarm, services.get(name), &tasks, &options.tasks_before).await?;
            }
            if !matches!(progress, Progress::Pending(_)) {
                finished.push(name);
            }
            *last = progress;
        }
        unfinished.retain(|name, _| !finished.contains(name));
        if !unfinished.is_empty() && Instant::now() > options.deadline {
            for name in unfinished.keys() {
                println!("{name:<20} NOT DONE in time");
                print_failure(swarm, services.get(*name), &tasks, &options.tasks_before).await?;
            }
            return Ok(false);
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
    Ok(all_done)
}

fn baseline(service: Option<&Service>) -> Baseline {
    let update = service.and_then(update_of);
    Baseline {
        existed: service.is_some(),
        update_started: update.and_then(|update| update.started),
    }
}

fn observe(
    service: &Service,
    service_before: Option<&Service>,
    tasks: &[Task],
    tasks_before: &TaskIds,
) -> Observation {
    let template = |service: &Service| service.spec.as_ref().map(|spec| spec.task_template.clone());
    let status = service.service_status.clone().unwrap_or_default();
    let own_tasks = || tasks_of(service, tasks);
    Observation {
        changed: service_before.and_then(template) != template(service),
        update: update_of(service),
        desired: status.desired_tasks.unwrap_or(0),
        running: status.running_tasks.unwrap_or(0),
        completed: own_tasks()
            .filter(|task| has_completed(task) && is_new(task, tasks_before))
            .count() as u64,
        active: own_tasks().filter(|task| is_active(task)).count(),
        failed: own_tasks()
            .filter(|task| has_failed(task) && is_new(task, tasks_before))
            .count(),
    }
}

fn tasks_of<'a>(service: &Service, tasks: &'a [Task]) -> impl Iterator<Item = &'a Task> {
    tasks.iter().filter(|task| task.service_id == service.id)
}

fn is_new(task: &Task, tasks_before: &TaskIds) -> bool {
    task.id
        .as_ref()
        .is_some_and(|id| !tasks_before.contains(id))
}

fn has_failed(task: &Task) -> bool {
    let state = task.status.as_ref().and_then(|status| status.state);
    matches!(state, Some(TaskState::FAILED | TaskState::REJECTED))
}

fn has_completed(task: &Task) -> bool {
    let state = task.status.as_ref().and_then(|status| status.state);
    state == Some(TaskState::COMPLETE)
}

/// Prints the cause of a service's failure and the last log lines of the task that explains it.
async fn print_failure(
    swarm: &Swarm,
    service: Option<&Service>,
    tasks: &[Task],
    tasks_before: &TaskIds,
) -> anyhow::Result<()> {
    let Some(service) = service else {
        return Ok(());
    };
    let tasks: Vec<Task> = tasks_of(service, tasks).cloned().collect();
    let node_names = swarm.node_names().await?;
    let Some((task, explanation)) = explain_failure(&tasks, tasks_before, &node_names) else {
        return Ok(());
    };
    println!("  {explanation}");
    for line in swarm.last_log_lines(task).await {
        println!("  | {}", line.trim_end());
    }
    Ok(())
}

fn print(name: &str, elapsed: Duration, progress: &Progress) {
    let seconds = elapsed.as_secs();
    match progress {
        Progress::Pending(detail) | Progress::Done(detail) => {
            println!("{name:<20} {seconds:>4} s  {detail}");
        }
        Progress::Failed(cause) => println!("{name:<20} {seconds:>4} s  FAILED: {cause}"),
    }
}
