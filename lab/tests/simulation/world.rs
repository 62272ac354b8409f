//! The resilient channel and the server's stop in a simulated world: one thread, a network and clocks
//! that a seed decides, and faults that no real network repeats on demand.
//!
//! The invariants: every call has its answer within its deadline; no replica of another service ever
//! sees a call; and while one replica is well, every call succeeds, whatever happens to the others.

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

/// The replicas of the service; the first is spared in worlds where one is.
pub(crate) const REPLICAS: [&str; 3] = ["replica-0", "replica-1", "replica-2"];

/// A process of some other service at an address that the name also stands for.
const STRANGER: &str = "stranger";

/// Who calls.
pub(crate) const CALLER: &str = "gateway";

/// The budget of the simulator's API.
const DEADLINE: Duration = Duration::from_millis(250);

/// Timers count whole milliseconds, and so does the simulated world.
const GRACE: Duration = Duration::from_millis(5);

/// How many calls a world sees, and how far apart.
pub(crate) const CALLS: u32 = 300;
const PAUSE: Duration = Duration::from_millis(25);

/// What happened in a world.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// Calls answered well.
    pub(crate) answered: u64,
    /// Calls that failed while no replica was known to be well.
    pub(crate) failed: u64,
}

/// What the hosts of a world share.
#[derive(Debug, Default)]
pub(crate) struct World {
    /// Tells each replica's present life to stop in order.
    pub(crate) stops: Mutex<[CancellationToken; REPLICAS.len()]>,
    pub(crate) strayed: AtomicUsize,
    answered: AtomicU64,
    failed: AtomicU64,
    violations: Mutex<Vec<String>>,
}

impl World {
    fn violated(&self, what: String) {
        self.violations
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(what);
    }
}

/// Plays the world of a seed.
///
/// # Errors
///
/// An invariant does not hold; the message says which, and when.
pub(crate) fn play(seed: u64) -> anyhow::Result<Outcome> {
    let mut chance = StdRng::seed_from_u64(seed);
    let one_is_spared = chance.random_bool(0.75);
    let world = Arc::new(World::default());
    let mut simulation = turmoil::Builder::new()
        .rng_seed(seed)
        .simulation_duration(Duration::from_mins(2))
        .min_message_latency(Duration::from_millis(1))
        .max_message_latency(Duration::from_millis(chance.random_range(2..8)))
        .tcp_capacity(4096)
        .build();
    for (number, name) in REPLICAS.into_iter().enumerate() {
        let world = Arc::clone(&world);
        simulation.host(name, move || service::replica(Arc::clone(&world), number));
    }
    let strayed = Arc::clone(&world);
    simulation.host(STRANGER, move || service::stranger(Arc::clone(&strayed)));
    let names = REPLICAS.into_iter().chain([STRANGER]);
    let addresses = names.map(|name| simulation.lookup(name)).collect();
    simulation.client(
        CALLER,
        call(Arc::clone(&world), addresses, seed, one_is_spared),
    );

    let mut nemesis = Nemesis::new(&mut chance, one_is_spared);
    loop {
        nemesis.act(&mut simulation, &world);
        let done = simulation
            .step()
            .map_err(|error| anyhow::anyhow!("seed {seed}: {error}"))?;
        if done {
            break;
        }
    }
    if world.strayed.load(Relaxed) > 0 {
        world.violated("a call reached another service".to_owned());
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

/// The caller: one call after the other is begun, answered or not.
async fn call(
    world: Arc<World>,
    addresses: Vec<IpAddr>,
    seed: u64,
    one_is_spared: bool,
) -> turmoil::Result {
    let config = PoolConfig {
        resolver: Arc::new(Names {
            addresses,
            asked: AtomicUsize::new(0),
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
    // The first connections: what holds later holds when there is one.
    sleep(nemesis::WARM_UP).await;
    let mut calls = JoinSet::new();
    for number in 0..CALLS {
        let (mut client, world) = (client.clone(), Arc::clone(&world));
        calls.spawn(async move {
            let began = Instant::now();
            let answered = timeout(DEADLINE + GRACE, send(&mut client, number)).await;
            judge(&world, number, began, answered.ok(), one_is_spared);
        });
        sleep(PAUSE).await;
    }
    while calls.join_next().await.is_some() {}
    Ok(())
}

/// A write or a read, in turn.
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
    one_is_spared: bool,
) {
    let elapsed = began.elapsed();
    let at = turmoil::sim_elapsed().unwrap_or_default();
    match answered {
        Some(Ok(())) => {
            world.answered.fetch_add(1, Relaxed);
        }
        None => world.violated(format!("call {number} had no answer in time, at {at:?}")),
        Some(Err(status)) => {
            world.failed.fetch_add(1, Relaxed);
            if one_is_spared {
                world.violated(format!(
                    "call {number} failed at {at:?} after {elapsed:?}: {status}"
                ));
            }
        }
    }
}

/// The simulated network under the pool.
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

/// A name server that denies the name every third time and once in a while forgets somebody.
#[derive(Debug)]
struct Names {
    addresses: Vec<IpAddr>,
    asked: AtomicUsize,
}

impl Resolve for Names {
    fn resolve<'a>(&'a self, _: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        let asked = self.asked.fetch_add(1, Relaxed);
        let found = match asked % 6 {
            2 | 5 => Err(io::Error::other("no such name")),
            4 => Ok(self.addresses[1..].to_vec()),
            _ => Ok(self.addresses.clone()),
        };
        Box::pin(std::future::ready(found))
    }
}
