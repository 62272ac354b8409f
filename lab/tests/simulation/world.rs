//! A simulated world of the resilient channel and the server's stop. It has one thread, and a seed decides its
//! network, clocks and faults, so that every fault can be repeated.
//!
//! Three invariants hold. Every call has a response within its deadline. No replica of another service receives
//! a call. While one replica has no fault, every call succeeds.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use anyhow::ensure;
use chassis::pool::{BoxFuture, Connect, Io, Pool, PoolConfig, Resolve};
use minitwit_proto::follower::v1::{
    CheckFollowsRequest, SetFollowsRequest, follower_service_client::FollowerServiceClient,
    follower_service_server::SERVICE_NAME,
};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tonic::{Request, Status};

use crate::{
    nemesis::{self, Nemesis},
    service,
};

/// Replicas of the service. In some worlds the first replica has no fault.
pub(crate) const REPLICAS: [&str; 3] = ["replica-0", "replica-1", "replica-2"];

/// A process of another service, whose address the name of the service also resolves to.
const OTHER_SERVICE: &str = "other-service";

/// Host that sends the calls.
pub(crate) const CALLER: &str = "gateway";

/// Deadline of a call, as of the simulator API.
const DEADLINE: Duration = Duration::from_millis(250);

/// Tolerance of the deadline, because timers and the simulated world count whole milliseconds.
const GRACE: Duration = Duration::from_millis(5);

/// Number of calls of a world.
pub(crate) const CALLS: u32 = 300;

/// Time between two calls.
const PAUSE: Duration = Duration::from_millis(25);

/// Result of a world.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// Calls that succeeded.
    pub(crate) answered: u64,
    /// Calls that failed while every replica could have a fault.
    pub(crate) failed: u64,
}

/// State that all hosts of a world share.
#[derive(Debug, Default)]
pub(crate) struct World {
    /// Stops the present process of each replica orderly.
    pub(crate) stops: Mutex<[CancellationToken; REPLICAS.len()]>,
    pub(crate) misdirected: AtomicUsize,
    answered: AtomicU64,
    failed: AtomicU64,
    violations: Mutex<Vec<String>>,
}

impl World {
    fn add_violation(&self, description: String) {
        self.violations
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(description);
    }
}

/// Simulates the world of a seed.
///
/// # Errors
///
/// The error names the violated invariant and its time.
pub(crate) fn simulate(seed: u64) -> anyhow::Result<Outcome> {
    let mut random = StdRng::seed_from_u64(seed);
    let is_one_spared = random.random_bool(0.75);
    let world = Arc::new(World::default());
    let mut simulation = turmoil::Builder::new()
        .rng_seed(seed)
        .simulation_duration(Duration::from_mins(2))
        .min_message_latency(Duration::from_millis(1))
        .max_message_latency(Duration::from_millis(random.random_range(2..8)))
        .tcp_capacity(4096)
        .build();
    for (number, name) in REPLICAS.into_iter().enumerate() {
        let world = Arc::clone(&world);
        simulation.host(name, move || service::replica(Arc::clone(&world), number));
    }
    let misdirected = Arc::clone(&world);
    simulation.host(OTHER_SERVICE, move || {
        service::other(Arc::clone(&misdirected))
    });
    let names = REPLICAS.into_iter().chain([OTHER_SERVICE]);
    let addresses = names.map(|name| simulation.lookup(name)).collect();
    simulation.client(
        CALLER,
        call(Arc::clone(&world), addresses, seed, is_one_spared),
    );

    let mut nemesis = Nemesis::new(&mut random, is_one_spared);
    loop {
        nemesis.apply(&mut simulation, &world);
        let done = simulation
            .step()
            .map_err(|error| anyhow::anyhow!("seed {seed}: {error}"))?;
        if done {
            break;
        }
    }
    if world.misdirected.load(Relaxed) > 0 {
        world.add_violation("a call reached another service".to_owned());
    }
    let violations = world
        .violations
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    ensure!(
        violations.is_empty(),
        "seed {seed}: {} violations, the first: {}\nfaults: {nemesis}",
        violations.len(),
        violations[0]
    );
    Ok(Outcome {
        answered: world.answered.load(Relaxed),
        failed: world.failed.load(Relaxed),
    })
}

/// Starts calls at regular times, independent of their responses.
async fn call(
    world: Arc<World>,
    addresses: Vec<IpAddr>,
    seed: u64,
    is_one_spared: bool,
) -> turmoil::Result {
    let config = PoolConfig {
        resolver: Arc::new(Names {
            addresses,
            queries: AtomicUsize::new(0),
        }),
        connector: Arc::new(Network),
        seed: Some(seed),
        ..PoolConfig::new(
            SERVICE_NAME,
            [format!("tasks.follower:{}", service::PORT)],
            minitwit_proto::methods::is_read,
        )
    };
    let client = FollowerServiceClient::new(Pool::connect(config));
    // The invariants hold from the first connection on.
    sleep(nemesis::WARM_UP).await;
    let mut calls = JoinSet::new();
    for number in 0..CALLS {
        let (mut client, world) = (client.clone(), Arc::clone(&world));
        calls.spawn(async move {
            let began = Instant::now();
            let answered = timeout(DEADLINE + GRACE, send(&mut client, number)).await;
            judge(&world, number, began, answered.ok(), is_one_spared);
        });
        sleep(PAUSE).await;
    }
    while calls.join_next().await.is_some() {}
    Ok(())
}

/// Sends a write or a read in turn.
async fn send(client: &mut FollowerServiceClient<Pool>, number: u32) -> Result<(), Status> {
    if number.is_multiple_of(2) {
        let mut request = Request::new(SetFollowsRequest::default());
        request.set_timeout(DEADLINE);
        client.set_follows(request).await?;
    } else {
        let mut request = Request::new(CheckFollowsRequest::default());
        request.set_timeout(DEADLINE);
        client.check_follows(request).await?;
    }
    Ok(())
}

fn judge(
    world: &World,
    number: u32,
    began: Instant,
    answered: Option<Result<(), Status>>,
    is_one_spared: bool,
) {
    let elapsed = began.elapsed();
    let at = turmoil::sim_elapsed().unwrap_or_default();
    match answered {
        Some(Ok(())) => {
            world.answered.fetch_add(1, Relaxed);
        }
        None => world.add_violation(format!("call {number} had no response in time, at {at:?}")),
        Some(Err(status)) => {
            world.failed.fetch_add(1, Relaxed);
            if is_one_spared {
                world.add_violation(format!(
                    "call {number} failed at {at:?} after {elapsed:?}: {status}"
                ));
            }
        }
    }
}

/// Connections of the pool in the simulated network.
#[derive(Debug)]
struct Network;

impl Connect for Network {
    fn connect(&self, address: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Io>>> {
        Box::pin(async move {
            let stream = turmoil::net::TcpStream::connect(address).await?;
            Ok(Box::new(stream) as Box<dyn Io>)
        })
    }
}

/// A name server that denies the name for every third query and sometimes omits a replica.
#[derive(Debug)]
struct Names {
    addresses: Vec<IpAddr>,
    queries: AtomicUsize,
}

impl Resolve for Names {
    fn resolve<'a>(&'a self, _: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        let query = self.queries.fetch_add(1, Relaxed);
        let found = match query % 6 {
            2 | 5 => Err(io::Error::other("no such name")),
            4 => Ok(self.addresses[1..].to_vec()),
            _ => Ok(self.addresses.clone()),
        };
        Box::pin(std::future::ready(found))
    }
}
