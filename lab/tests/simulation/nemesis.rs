//! Faults of the replicas of a simulated world.

use std::{fmt, sync::PoisonError, time::Duration};

use rand::{RngExt, rngs::StdRng};
use turmoil::Sim;

use crate::world::{CALLER, REPLICAS, World};

/// Time before the first fault, in which the first connections are made.
pub(crate) const WARM_UP: Duration = Duration::from_secs(2);

/// Time after which no fault begins. The calls end soon after.
const LAST_FAULT: Duration = Duration::from_secs(9);

/// Fault of a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// The process crashes, and starts again at the end of the fault.
    Crash,
    /// The process is stopped orderly, and starts again at the end of the fault.
    Stop,
    /// The network delivers all messages only at the end of the fault.
    Freeze,
    /// The network loses all messages until the end of the fault.
    Partition,
    /// Each message takes longer than the deadline of a call until the end of the fault.
    Slow,
}

const FAULTS: [Fault; 5] = [
    Fault::Crash,
    Fault::Stop,
    Fault::Freeze,
    Fault::Partition,
    Fault::Slow,
];

/// Start or end of a fault.
#[derive(Clone, Copy, Debug)]
struct Event {
    at: Duration,
    replica: usize,
    fault: Fault,
    begins: bool,
}

/// All faults of a world in order.
#[derive(Debug)]
pub(crate) struct Nemesis {
    events: Vec<Event>,
    next: usize,
}

impl Nemesis {
    /// Chooses the faults at random. The first replica can be spared.
    pub(crate) fn new(random: &mut StdRng, spare_first: bool) -> Self {
        let mut events = Vec::new();
        for replica in usize::from(spare_first)..REPLICAS.len() {
            let mut at = WARM_UP + Duration::from_millis(random.random_range(0..2_000));
            while at < LAST_FAULT {
                let fault = FAULTS[random.random_range(0..FAULTS.len())];
                // A new process can start only after the orderly stop of the old process.
                let shortest = if fault == Fault::Stop { 3_100 } else { 50 };
                let ends = at + Duration::from_millis(random.random_range(shortest..4_000));
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
                at = ends + Duration::from_millis(random.random_range(100..2_000));
            }
        }
        events.sort_by_key(|event| event.at);
        Self { events, next: 0 }
    }

    /// Applies all events that are due.
    pub(crate) fn apply(&mut self, simulation: &mut Sim<'_>, world: &World) {
        while let Some(event) = self.events.get(self.next) {
            if event.at > simulation.elapsed() {
                return;
            }
            event.apply(simulation, world);
            self.next += 1;
        }
    }
}

impl Event {
    fn apply(&self, simulation: &mut Sim<'_>, world: &World) {
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
