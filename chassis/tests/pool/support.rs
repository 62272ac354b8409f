//! Servers that misbehave on demand, and what the tests say about them.

use std::{
    net::{SocketAddr, TcpListener},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
        mpsc,
    },
    time::{Duration, Instant},
};

use chassis::pool::{Pool, PoolConfig, ReplicaState};
use minitwit_proto::follower::v1::{
    CheckFollowsRequest, CheckFollowsResponse, CountFollowsRequest, CountFollowsResponse,
    FollowList, ListFollowsRequest, ListFollowsResponse, ListFollowsResult, SetFollowsRequest,
    SetFollowsResponse,
    follower_service_client::FollowerServiceClient,
    follower_service_server::{FollowerService, FollowerServiceServer},
    list_follows_result::Outcome,
};
use tokio::{runtime::Runtime, sync::Notify, task::JoinSet};
use tonic::{Request, Response, Status, transport::server::TcpIncoming};
use tonic_health::{ServingStatus, server::HealthReporter};

pub(crate) const SERVICE: &str = "minitwit.follower.v1.FollowerService";

/// Time enough for any call that does not hang, however busy the machine.
pub(crate) const AMPLE: Duration = Duration::from_secs(10);

/// What a server does with a call.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Mood {
    Answer,
    Hang,
    Refuse,
    /// Of so many calls one takes so long.
    Late(usize, Duration),
    /// The answer is so many bytes long.
    Verbose(usize),
}

#[derive(Debug)]
pub(crate) struct State {
    mood: Mutex<Mood>,
    pub(crate) calls: AtomicUsize,
    pub(crate) cancelled: AtomicUsize,
    pub(crate) timeouts: Mutex<Vec<Duration>>,
}

/// Counts a call that ended without an answer.
struct Unanswered<'a>(&'a State);

impl Drop for Unanswered<'_> {
    fn drop(&mut self) {
        self.0.cancelled.fetch_add(1, SeqCst);
    }
}

impl State {
    pub(crate) fn feel(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    pub(crate) fn calls(&self) -> usize {
        self.calls.load(SeqCst)
    }

    async fn act<T>(&self, request: Request<T>) -> Result<Vec<u8>, Status> {
        let nth = self.calls.fetch_add(1, SeqCst);
        let timeout = request.metadata().get("grpc-timeout").unwrap();
        let micros = timeout.to_str().unwrap().trim_end_matches('u');
        let timeout = Duration::from_micros(micros.parse().unwrap());
        self.timeouts.lock().unwrap().push(timeout);
        let mood = *self.mood.lock().unwrap();
        match mood {
            Mood::Answer => {}
            Mood::Hang => {
                let _unanswered = Unanswered(self);
                std::future::pending::<()>().await;
            }
            Mood::Refuse => return Err(Status::unavailable("the database is away")),
            Mood::Late(of, delay) => {
                if nth.is_multiple_of(of) {
                    tokio::time::sleep(delay).await;
                }
            }
            Mood::Verbose(bytes) => return Ok(vec![7; bytes]),
        }
        Ok(Vec::new())
    }
}

struct Fake(Arc<State>);

#[tonic::async_trait]
impl FollowerService for Fake {
    async fn set_follows(
        &self,
        request: Request<SetFollowsRequest>,
    ) -> Result<Response<SetFollowsResponse>, Status> {
        self.0.act(request).await?;
        Ok(Response::new(SetFollowsResponse::default()))
    }

    async fn list_follows(
        &self,
        request: Request<ListFollowsRequest>,
    ) -> Result<Response<ListFollowsResponse>, Status> {
        let ids = self.0.act(request).await?;
        let outcome = Some(Outcome::List(FollowList {
            version: 1,
            ids: ids.into(),
        }));
        Ok(Response::new(ListFollowsResponse {
            results: vec![ListFollowsResult { outcome }],
        }))
    }

    async fn check_follows(
        &self,
        request: Request<CheckFollowsRequest>,
    ) -> Result<Response<CheckFollowsResponse>, Status> {
        self.0.act(request).await?;
        Ok(Response::new(CheckFollowsResponse::default()))
    }

    async fn count_follows(
        &self,
        _: Request<CountFollowsRequest>,
    ) -> Result<Response<CountFollowsResponse>, Status> {
        Err(Status::invalid_argument("an id is no UUID"))
    }
}

/// A server with a runtime of its own, so that it can be killed and frozen like a process.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) state: Arc<State>,
    health: HealthReporter,
    shutdown: Arc<Notify>,
    runtime: Option<Runtime>,
}

impl Server {
    pub(crate) fn start() -> Self {
        Self::on(free_address(), SERVICE)
    }

    /// A server at an address whose health vouches for `service`.
    pub(crate) fn on(address: SocketAddr, service: &'static str) -> Self {
        let listener = bind(address);
        listener.set_nonblocking(true).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let state = Arc::new(State {
            mood: Mutex::new(Mood::Answer),
            calls: AtomicUsize::new(0),
            cancelled: AtomicUsize::new(0),
            timeouts: Mutex::default(),
        });
        let shutdown = Arc::new(Notify::new());
        let (health, health_service) = tonic_health::server::health_reporter();
        let (reporter, fake, stop) = (health.clone(), Fake(state.clone()), shutdown.clone());
        runtime.spawn(async move {
            reporter
                .set_service_status(service, ServingStatus::Serving)
                .await;
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
            tonic::transport::Server::builder()
                .add_service(health_service)
                .add_service(FollowerServiceServer::new(fake))
                .serve_with_incoming_shutdown(incoming, stop.notified())
                .await
                .unwrap();
        });
        Self {
            address,
            state,
            health,
            shutdown,
            runtime: Some(runtime),
        }
    }

    pub(crate) fn target(&self) -> String {
        self.address.to_string()
    }

    /// Ends all connections and the listener at once.
    pub(crate) fn kill(&mut self) {
        self.runtime.take().unwrap().shutdown_background();
    }

    pub(crate) async fn drain(&self) {
        let status = ServingStatus::NotServing;
        self.health.set_service_status(SERVICE, status).await;
    }

    /// Stops as tonic does: no new connections, GOAWAY on the old ones.
    pub(crate) fn stop(&self) {
        self.shutdown.notify_one();
    }

    /// Holds the only thread until the sender is dropped.
    pub(crate) fn freeze(&self) -> mpsc::Sender<()> {
        let (thaw, held) = mpsc::channel();
        let runtime = self.runtime.as_ref().unwrap();
        runtime.spawn(async move { held.recv().is_ok() });
        thaw
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Listens where a killed server may not have let go yet.
fn bind(address: SocketAddr) -> TcpListener {
    let began = Instant::now();
    loop {
        match TcpListener::bind(address) {
            Ok(listener) => return listener,
            Err(error) => assert!(began.elapsed() < Duration::from_secs(20), "{error}"),
        }
        std::thread::yield_now();
    }
}

/// An address where nobody listens, below the range from which the kernel takes the ports of
/// clients: no connection can meet itself there. Test processes begin far from one another.
pub(crate) fn free_address() -> SocketAddr {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let start = usize::try_from(std::process::id()).unwrap() * 97;
    loop {
        let port = 20_000 + (start + NEXT.fetch_add(1, SeqCst)) % 12_000;
        let port = u16::try_from(port).unwrap();
        if let Ok(listener) = TcpListener::bind(("127.0.0.1", port)) {
            return listener.local_addr().unwrap();
        }
    }
}

pub(crate) fn config<T: Into<String>>(targets: impl IntoIterator<Item = T>) -> PoolConfig {
    PoolConfig {
        backoff_max: Duration::from_millis(100),
        probe_interval: Duration::from_millis(200),
        probe_timeout: AMPLE,
        ..PoolConfig::new(SERVICE, targets)
    }
}

/// A pool in which so many replicas are ready.
pub(crate) async fn connected(config: PoolConfig, ready: usize) -> Pool {
    let pool = Pool::connect(config);
    until("replicas are ready", || {
        count(&pool, ReplicaState::Ready) == ready
    })
    .await;
    pool
}

pub(crate) fn count(pool: &Pool, state: ReplicaState) -> usize {
    let replicas = pool.snapshot();
    replicas
        .iter()
        .filter(|replica| replica.state == state)
        .count()
}

pub(crate) fn state_of(pool: &Pool, address: SocketAddr) -> Option<ReplicaState> {
    let replicas = pool.snapshot();
    let replica = replicas.iter().find(|replica| replica.address == address)?;
    Some(replica.state)
}

/// Waits for a condition; far longer than it should take, because the machine may be busy.
pub(crate) async fn until(what: &str, condition: impl Fn() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < Duration::from_secs(20), "never: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// A write.
pub(crate) async fn write(pool: &Pool, timeout: Duration) -> Result<(), Status> {
    let mut request = Request::new(SetFollowsRequest::default());
    request.set_timeout(timeout);
    FollowerServiceClient::new(pool.clone())
        .set_follows(request)
        .await?;
    Ok(())
}

/// A read, which may be hedged.
pub(crate) async fn read(pool: &Pool, timeout: Duration) -> Result<(), Status> {
    let mut request = Request::new(CheckFollowsRequest::default());
    request.set_timeout(timeout);
    FollowerServiceClient::new(pool.clone())
        .check_follows(request)
        .await?;
    Ok(())
}

/// What became of many calls.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) elapsed: Vec<Duration>,
    pub(crate) failures: Vec<Status>,
}

impl Tally {
    pub(crate) fn slower_than(&self, limit: Duration) -> usize {
        self.elapsed
            .iter()
            .filter(|elapsed| **elapsed > limit)
            .count()
    }

    #[track_caller]
    pub(crate) fn assert_no_failure(&self) {
        let (failed, calls) = (self.failures.len(), self.elapsed.len());
        assert!(
            failed == 0,
            "{failed} of {calls} failed: {:?}",
            self.failures[0]
        );
    }
}

/// Makes `calls` writes from `callers` callers, each after its last.
pub(crate) async fn load(pool: &Pool, callers: usize, calls: usize, timeout: Duration) -> Tally {
    let left = Arc::new(AtomicUsize::new(calls));
    let proceed = move || {
        left.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1))
            .is_ok()
    };
    load_while(pool, callers, timeout, proceed).await
}

/// Makes writes from `callers` callers as long as `proceed` says so.
pub(crate) async fn load_while(
    pool: &Pool,
    callers: usize,
    timeout: Duration,
    proceed: impl Fn() -> bool + Clone + Send + 'static,
) -> Tally {
    let mut tasks = JoinSet::new();
    for _ in 0..callers {
        let (pool, proceed) = (pool.clone(), proceed.clone());
        tasks.spawn(async move {
            let mut tally = Tally::default();
            while proceed() {
                let began = Instant::now();
                let result = write(&pool, timeout).await;
                tally.elapsed.push(began.elapsed());
                tally.failures.extend(result.err());
            }
            tally
        });
    }
    tasks
        .join_all()
        .await
        .into_iter()
        .fold(Tally::default(), |mut all, one| {
            all.elapsed.extend(one.elapsed);
            all.failures.extend(one.failures);
            all
        })
}
