//! What happens to the replicas of a simulated world, and when.

use std::{fmt, sync::PoisonError, time::Duration};

use rand::{RngExt, rngs::StdRng};
use turmoil::Sim;

use crate::world::{CALLER, REPLICAS, World};

/// Nothing happens before the first connections are made.
pub(crate) const WARM_UP: Duration = Duration::from_secs(2);

/// Nothing begins after this; the calls end soon after.
const ENDS: Duration = Duration::from_secs(9);

/// What can happen to a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// The process ends without a word, and starts again at the end.
    Crash,
    /// The process is told to stop, does so in order, and starts again at the end.
    Stop,
    /// The network delivers nothing until the end, and then everything.
    Freeze,
    /// The network loses everything until the end.
    Partition,
    /// Each message takes longer than a call may until the end.
    Slow,
}

const FAULTS: [Fault; 5] = [
    Fault::Crash,
    Fault::Stop,
    Fault::Freeze,
    Fault::Partition,
    Fault::Slow,
];

/// A fault's beginning or end.
#[derive(Clone, Copy, Debug)]
struct Event {
    at: Duration,
    replica: usize,
    fault: Fault,
    begins: bool,
}

/// All that will happen, in order.
#[derive(Debug)]
pub(crate) struct Nemesis {
    events: Vec<Event>,
    next: usize,
}

impl Nemesis {
    /// Draws what will happen; the first replica may be spared.
    pub(crate) fn new(chance: &mut StdRng, spare_first: bool) -> Self {
        let mut events = Vec::new();
        for replica in usize::from(spare_first)..REPLICAS.len() {
            let mut at = WARM_UP + Duration::from_millis(chance.random_range(0..2_000));
            while at < ENDS {
                let fault = FAULTS[chance.random_range(0..FAULTS.len())];
                // A stop in order takes its time; a new process waits for the old one's end.
                let shortest = if fault == Fault::Stop { 3_100 } else { 50 };
                let ends = at + Duration::from_millis(chance.random_range(shortest..4_000));
                events.push(Event {
                    at,
                    replica,
                    fault,
                    begins: true,
                });
                events.push(Event {
                    at: ends,
                    replica,
                    fault,
                    begins: false,
                });
                at = ends + Duration::from_millis(chance.random_range(100..2_000));
            }
        }
        events.sort_by_key(|event| event.at);
        Self { events, next: 0 }
    }

    /// Does what is due.
    pub(crate) fn act(&mut self, simulation: &mut Sim<'_>, world: &World) {
        while let Some(event) = self.events.get(self.next) {
            if event.at > simulation.elapsed() {
                return;
            }
            event.happen(simulation, world);
            self.next += 1;
        }
    }
}

impl Event {
    fn happen(&self, simulation: &mut Sim<'_>, world: &World) {
        let name = REPLICAS[self.replica];
        match (self.fault, self.begins) {
            (Fault::Crash, true) => simulation.crash(name),
            (Fault::Crash | Fault::Stop, false) => simulation.bounce(name),
            (Fault::Stop, true) => {
                let stops = world.stops.lock().unwrap_or_else(PoisonError::into_inner);
                stops[self.replica].cancel();
            }
            (Fault::Freeze, true) => simulation.hold(CALLER, name),
            (Fault::Freeze, false) => simulation.release(CALLER, name),
            (Fault::Partition, true) => simulation.partition(CALLER, name),
            (Fault::Partition, false) => simulation.repair(CALLER, name),
            (Fault::Slow, true) => {
                simulation.set_link_latency(CALLER, name, Duration::from_millis(300));
            }
            (Fault::Slow, false) => {
                simulation.set_link_latency(CALLER, name, Duration::from_millis(2));
            }
        }
    }
}

impl fmt::Display for Nemesis {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for event in &self.events {
            let word = if event.begins { "begins" } else { "ends" };
            let (at, name, fault) = (event.at, REPLICAS[event.replica], event.fault);
            write!(formatter, "\n  {at:.3?} {name}: {fault:?} {word}")?;
        }
        Ok(())
    }
}
