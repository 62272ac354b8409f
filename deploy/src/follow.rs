//! Watches services until each is done or has failed, and tells what happens as it happens.

use std::{collections::BTreeMap, time::Duration};

use bollard::models::{Service, Task, TaskState};
use tokio::time::Instant;

use crate::{
    reason::reason,
    swarm::{Services, Swarm, TaskIds, is_active, update_of},
    verdict::{Before, Goal, Judge, Look, Verdict},
};

/// How often the Swarm is asked.
const INTERVAL: Duration = Duration::from_millis(500);

/// What is followed, and since when.
pub(crate) struct Follow<'a> {
    pub(crate) goal: Goal,
    /// The services before anything was ordered.
    pub(crate) before: &'a Services,
    /// The tasks before anything was ordered.
    pub(crate) known_tasks: TaskIds,
    pub(crate) deadline: Instant,
}

/// Follows the services; tells whether all of them came to what was wanted.
pub(crate) async fn follow(
    swarm: &Swarm,
    names: &[String],
    options: Follow<'_>,
) -> anyhow::Result<bool> {
    let began = Instant::now();
    let mut open: BTreeMap<&str, (Judge, Verdict)> = names
        .iter()
        .map(|name| {
            let judge = Judge::new(options.goal, before(options.before.get(name)));
            (name.as_str(), (judge, Verdict::Pending(String::new())))
        })
        .collect();
    let mut all_done = true;
    while !open.is_empty() {
        let services = swarm.services().await?;
        let tasks = swarm.tasks().await?;
        let mut over = Vec::new();
        for (&name, (judge, last)) in &mut open {
            let look = services.get(name).map(|service| {
                look(
                    service,
                    options.before.get(name),
                    &tasks,
                    &options.known_tasks,
                )
            });
            let verdict = match look {
                Some(look) => judge.judge(&look, began.elapsed()),
                None => Verdict::Pending("not there yet".to_owned()),
            };
            if verdict != *last {
                print(name, began.elapsed(), &verdict);
            }
            if let Verdict::Failed(_) = verdict {
                all_done = false;
                explain(swarm, services.get(name), &tasks, &options.known_tasks).await?;
            }
            if !matches!(verdict, Verdict::Pending(_)) {
                over.push(name);
            }
            *last = verdict;
        }
        open.retain(|name, _| !over.contains(name));
        if !open.is_empty() && Instant::now() > options.deadline {
            for name in open.keys() {
                println!("{name:<20} NOT DONE in time");
                explain(swarm, services.get(*name), &tasks, &options.known_tasks).await?;
            }
            return Ok(false);
        }
        tokio::time::sleep(INTERVAL).await;
    }
    Ok(all_done)
}

fn before(service: Option<&Service>) -> Before {
    let update = service.and_then(update_of);
    Before {
        existed: service.is_some(),
        update_started: update.and_then(|update| update.started),
    }
}

fn look(service: &Service, before: Option<&Service>, tasks: &[Task], known: &TaskIds) -> Look {
    let template = |service: &Service| service.spec.as_ref().map(|spec| spec.task_template.clone());
    let status = service.service_status.clone().unwrap_or_default();
    let own = || tasks_of(service, tasks);
    Look {
        changed: before.and_then(template) != template(service),
        update: update_of(service),
        wanted: status.desired_tasks.unwrap_or(0),
        running: status.running_tasks.unwrap_or(0),
        completed: own()
            .filter(|task| has_completed(task) && is_new(task, known))
            .count() as u64,
        active: own().filter(|task| is_active(task)).count(),
        failed: own()
            .filter(|task| has_failed(task) && is_new(task, known))
            .count(),
    }
}

fn tasks_of<'a>(service: &Service, tasks: &'a [Task]) -> impl Iterator<Item = &'a Task> {
    tasks.iter().filter(|task| task.service_id == service.id)
}

fn is_new(task: &Task, known: &TaskIds) -> bool {
    task.id.as_ref().is_some_and(|id| !known.contains(id))
}

fn has_failed(task: &Task) -> bool {
    let state = task.status.as_ref().and_then(|status| status.state);
    matches!(state, Some(TaskState::FAILED | TaskState::REJECTED))
}

fn has_completed(task: &Task) -> bool {
    let state = task.status.as_ref().and_then(|status| status.state);
    state == Some(TaskState::COMPLETE)
}

/// Says what the service's tasks tell, and the last words of the one that tells most.
async fn explain(
    swarm: &Swarm,
    service: Option<&Service>,
    tasks: &[Task],
    known: &TaskIds,
) -> anyhow::Result<()> {
    let Some(service) = service else {
        return Ok(());
    };
    let tasks: Vec<Task> = tasks_of(service, tasks).cloned().collect();
    let Some((task, told)) = reason(&tasks, known, &swarm.node_names().await?) else {
        return Ok(());
    };
    println!("  {told}");
    for line in swarm.last_lines(task).await {
        println!("  | {}", line.trim_end());
    }
    Ok(())
}

fn print(name: &str, elapsed: Duration, verdict: &Verdict) {
    let seconds = elapsed.as_secs();
    match verdict {
        Verdict::Pending(how_far) => println!("{name:<20} {seconds:>4} s  {how_far}"),
        Verdict::Done(what) => println!("{name:<20} {seconds:>4} s  {what}"),
        Verdict::Failed(why) => println!("{name:<20} {seconds:>4} s  FAILED: {why}"),
    }
}
