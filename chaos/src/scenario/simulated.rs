//! A thousand simulated worlds.

use crate::{row::Row, simulation::play, trial::Context};

pub(super) async fn worlds(context: &Context) -> anyhow::Result<Row> {
    let count = context.pick(1_000, 50);
    let first = context.seed;
    // Nothing in a simulated world waits for anything in this one.
    let played = tokio::task::spawn_blocking(move || {
        let worlds = first..first + count;
        worlds
            .map(|seed| play(seed).map_err(|error| format!("{error:#}")))
            .collect::<Vec<_>>()
    });
    let mut row = Row::new("simulated worlds");
    for outcome in played.await? {
        match outcome {
            Ok(outcome) => {
                row.sent += outcome.answered + outcome.failed;
                row.failed += outcome.failed;
            }
            Err(error) => row.broken.push(error),
        }
    }
    row.notes.push(format!(
        "{count} worlds from seed {first}, {} of them broken; failed calls are of worlds in which no \
         replica was spared",
        row.broken.len()
    ));
    row.broken.truncate(5);
    Ok(row)
}
