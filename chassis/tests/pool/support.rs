//! Servers that misbehave on demand, and helpers to make calls and check their results.

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

/// A timeout that only hanging calls exceed, however busy the machine is.
pub(crate) const LONG_TIMEOUT: Duration = Duration::from_secs(10);

/// Behavior of a server for its calls.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Behavior {
    /// Answers at once.
    Answer,
    /// Never answers.
    Hang,
    /// Answers `UNAVAILABLE`.
    Unavailable,
    /// Delays every n-th call by the given time, and answers the other calls at once.
    SlowEvery(usize, Duration),
    /// Answers with the given number of bytes.
    AnswerBytes(usize),
}

/// State of a server, shared with the tests.
#[derive(Debug)]
pub(crate) struct State {
    behavior: Mutex<Behavior>,
    /// Number of calls that have arrived.
    pub(crate) calls: AtomicUsize,
    /// Number of hanging calls that were cancelled.
    pub(crate) cancelled: AtomicUsize,
    /// The `grpc-timeout` of each call.
    pub(crate) timeouts: Mutex<Vec<Duration>>,
}

/// Counts a cancelled call when it is dropped.
struct CountCancelled<'a>(&'a State);

impl Drop for CountCancelled<'_> {
    fn drop(&mut self) {
        self.0.cancelled.fetch_add(1, SeqCst);
    }
}

impl State {
    pub(crate) fn set_behavior(&self, behavior: Behavior) {
        *self.behavior.lock().unwrap() = behavior;
    }

    pub(crate) fn calls(&self) -> usize {
        self.calls.load(SeqCst)
    }

    /// Records a call, and behaves as set. Returns the bytes of the answer.
    async fn act<T>(&self, request: Request<T>) -> Result<Vec<u8>, Status> {
        let nth = self.calls.fetch_add(1, SeqCst);
        let timeout = request.metadata().get("grpc-timeout").unwrap();
        let micros = timeout.to_str().unwrap().trim_end_matches('u');
        let timeout = Duration::from_micros(micros.parse().unwrap());
        self.timeouts.lock().unwrap().push(timeout);
        let behavior = *self.behavior.lock().unwrap();
        match behavior {
            Behavior::Answer => {}
            Behavior::Hang => {
                let _count = CountCancelled(self);
                std::future::pending::<()>().await;
            }
            Behavior::Unavailable => {
                return Err(Status::unavailable("the database is unavailable"));
            }
            Behavior::SlowEvery(interval, delay) => {
                if nth.is_multiple_of(interval) {
                    tokio::time::sleep(delay).await;
                }
            }
            Behavior::AnswerBytes(bytes) => return Ok(vec![7; bytes]),
        }
        Ok(Vec::new())
    }
}

/// A follower service that behaves as its state says.
struct FakeService(Arc<State>);

#[tonic::async_trait]
impl FollowerService for FakeService {
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

/// A server with a tokio runtime of its own, so that a test can kill and freeze it like a process.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) state: Arc<State>,
    health: HealthReporter,
    shutdown: Arc<Notify>,
    runtime: Option<Runtime>,
}

impl Server {
    /// Starts a server at a free address.
    pub(crate) fn start() -> Self {
        Self::on(free_address(), SERVICE)
    }

    /// Starts a server at `address`, whose health service reports `service`.
    pub(crate) fn on(address: SocketAddr, service: &'static str) -> Self {
        let listener = bind(address);
        listener.set_nonblocking(true).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let state = Arc::new(State {
            behavior: Mutex::new(Behavior::Answer),
            calls: AtomicUsize::new(0),
            cancelled: AtomicUsize::new(0),
            timeouts: Mutex::default(),
        });
        let shutdown = Arc::new(Notify::new());
        let (health, health_service) = tonic_health::server::health_reporter();
        let (reporter, fake, stop) = (health.clone(), FakeService(state.clone()), shutdown.clone());
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

    /// Closes all connections and the listener at once.
    pub(crate) fn kill(&mut self) {
        self.runtime.take().unwrap().shutdown_background();
    }

    /// Reports `NOT_SERVING`, and goes on serving.
    pub(crate) async fn drain(&self) {
        let status = ServingStatus::NotServing;
        self.health.set_service_status(SERVICE, status).await;
    }

    /// Shuts down gracefully, as tonic does. Accepts no new connections, and sends GOAWAY on the open
    /// ones.
    pub(crate) fn stop(&self) {
        self.shutdown.notify_one();
    }

    /// Blocks the only thread of the server until the returned sender is dropped.
    pub(crate) fn freeze(&self) -> mpsc::Sender<()> {
        let (thaw, thawed) = mpsc::channel();
        let runtime = self.runtime.as_ref().unwrap();
        runtime.spawn(async move { thawed.recv().is_ok() });
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

/// Listens at `address`. Retries while a killed server still occupies it.
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

/// A free address below the range of ephemeral ports, so that no connection gets the port as its local
/// port and connects to itself. Each test process starts its search at a different port.
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
        probe_timeout: LONG_TIMEOUT,
        ..PoolConfig::new(SERVICE, targets, minitwit_proto::methods::is_read)
    }
}

/// Connects a pool, and waits until `ready` replicas are ready.
pub(crate) async fn connected(config: PoolConfig, ready: usize) -> Pool {
    let pool = Pool::connect(config);
    until("replicas are ready", || {
        count(&pool, ReplicaState::Ready) == ready
    })
    .await;
    pool
}

pub(crate) fn count(pool: &Pool, state: ReplicaState) -> usize {
    let replicas = pool.replicas();
    replicas
        .iter()
        .filter(|replica| replica.state == state)
        .count()
}

pub(crate) fn state_of(pool: &Pool, address: SocketAddr) -> Option<ReplicaState> {
    let replicas = pool.replicas();
    let replica = replicas.iter().find(|replica| replica.address == address)?;
    Some(replica.state)
}

/// Waits until a condition holds. The limit is far longer than necessary, because the machine may be
/// busy.
pub(crate) async fn until(what: &str, condition: impl Fn() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < Duration::from_secs(20), "never: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Makes a write, which is not hedged.
pub(crate) async fn write(pool: &Pool, timeout: Duration) -> Result<(), Status> {
    let mut request = Request::new(SetFollowsRequest::default());
    request.set_timeout(timeout);
    FollowerServiceClient::new(pool.clone())
        .set_follows(request)
        .await?;
    Ok(())
}

/// Makes a read, which may be hedged.
pub(crate) async fn read(pool: &Pool, timeout: Duration) -> Result<(), Status> {
    let mut request = Request::new(CheckFollowsRequest::default());
    request.set_timeout(timeout);
    FollowerServiceClient::new(pool.clone())
        .check_follows(request)
        .await?;
    Ok(())
}

/// Durations and failures of many calls.
#[derive(Debug, Default)]
pub(crate) struct LoadResult {
    pub(crate) elapsed: Vec<Duration>,
    pub(crate) failures: Vec<Status>,
}

impl LoadResult {
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

/// Makes `calls` writes from `callers` concurrent callers.
pub(crate) async fn load(
    pool: &Pool,
    callers: usize,
    calls: usize,
    timeout: Duration,
) -> LoadResult {
    let left = Arc::new(AtomicUsize::new(calls));
    let proceed = move || {
        left.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1))
            .is_ok()
    };
    load_while(pool, callers, timeout, proceed).await
}

/// Makes writes from `callers` concurrent callers while `proceed` returns true.
pub(crate) async fn load_while(
    pool: &Pool,
    callers: usize,
    timeout: Duration,
    proceed: impl Fn() -> bool + Clone + Send + 'static,
) -> LoadResult {
    let mut tasks = JoinSet::new();
    for _ in 0..callers {
        let (pool, proceed) = (pool.clone(), proceed.clone());
        tasks.spawn(async move {
            let mut load = LoadResult::default();
            while proceed() {
                let began = Instant::now();
                let result = write(&pool, timeout).await;
                load.elapsed.push(began.elapsed());
                load.failures.extend(result.err());
            }
            load
        });
    }
    tasks
        .join_all()
        .await
        .into_iter()
        .fold(LoadResult::default(), |mut total, load| {
            total.elapsed.extend(load.elapsed);
            total.failures.extend(load.failures);
            total
        })
}
