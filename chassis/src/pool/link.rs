//! The task that keeps one replica connected and asks for its health.

use std::{io, sync::Arc};

use bytes::Bytes;
use http::{Request, Response, Uri, uri::Scheme};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::{
    task::JoinHandle,
    time::{sleep, timeout},
};
use tonic::{Code, body::Body};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use super::{
    meter::Reason,
    replica::{Replica, ReplicaState, Sender},
    set::Shared,
};
use crate::grpc::VERSION_HEADER;

/// Keeps a replica connected until it is forgotten or the pool is dropped.
pub(super) async fn maintain(shared: Arc<Shared>, replica: Arc<Replica>) {
    let stop = replica.stop.clone();
    stop.run_until_cancelled(reconnect(&shared, &replica)).await;
    shared.lose(&replica, None);
}

async fn reconnect(shared: &Shared, replica: &Replica) {
    let config = &shared.config;
    let mut pause = config.backoff_min;
    let mut warned = false;
    loop {
        let served = match dial(shared, replica).await {
            Ok((sender, closed)) => serve(shared, replica, sender, closed).await,
            Err(error) => {
                if !warned {
                    tracing::warn!(
                        service = shared.meter.service(), replica = %replica.address, %error,
                        "a replica cannot be reached; trying on",
                    );
                    warned = true;
                }
                false
            }
        };
        if served {
            pause = config.backoff_min;
            warned = false;
        }
        // Any part of the pause is as good as the whole: after a restart not all callers come at
        // once.
        sleep(pause.mul_f64(shared.chance.fraction())).await;
        pause = (pause * 2).min(config.backoff_max);
    }
}

/// Opens the connection; its end is the end of the task handed back.
async fn dial(shared: &Shared, replica: &Replica) -> io::Result<(Sender, JoinHandle<()>)> {
    let config = &shared.config;
    let dialled = async {
        let io = config.connector.connect(replica.address).await?;
        http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .keep_alive_interval(config.keep_alive_interval)
            .keep_alive_timeout(config.keep_alive_timeout)
            .keep_alive_while_idle(true)
            .handshake(TokioIo::new(io))
            .await
            .map_err(io::Error::other)
    };
    let (sender, connection) = timeout(config.connect_timeout, dialled).await??;
    let closed = tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a connection broke");
        }
    });
    Ok((sender, closed))
}

/// Asks for the replica's health as long as its connection lives; answers whether it ever was of
/// use.
async fn serve(
    shared: &Shared,
    replica: &Replica,
    sender: Sender,
    mut closed: JoinHandle<()>,
) -> bool {
    let config = &shared.config;
    replica.attach(sender.clone());
    let mut served = false;
    loop {
        let probe = probe(config.service, replica, &sender);
        let health = tokio::select! {
            biased;
            _ = &mut closed => break,
            health = timeout(config.probe_timeout, probe) => health,
        };
        let health = health.unwrap_or(Health::Silent);
        served |= health == Health::Serving;
        if !judge(shared, replica, health) {
            break;
        }
        let interval = config
            .probe_interval
            .mul_f64(0.8 + 0.4 * shared.chance.fraction());
        tokio::select! {
            biased;
            _ = &mut closed => break,
            () = sleep(interval) => {}
        }
    }
    shared.lose(replica, None);
    served
}

/// Draws the conclusion from a probe; answers whether the connection is worth keeping.
fn judge(shared: &Shared, replica: &Replica, health: Health) -> bool {
    match health {
        Health::Serving => {
            if !replica.is_held() {
                shared.change(replica, ReplicaState::Ready);
            }
        }
        Health::NotServing => shared.change(replica, ReplicaState::Draining),
        Health::Foreign => shared.change(replica, ReplicaState::Foreign),
        Health::Silent if replica.state() == ReplicaState::Connecting => return false,
        Health::Silent => shared.eject(replica, Reason::Probe),
        Health::Unclear => {}
    }
    true
}

/// What a probe found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Health {
    Serving,
    NotServing,
    /// The process is alive but knows nothing of the service.
    Foreign,
    /// No answer in time.
    Silent,
    /// An answer that says nothing about the service, such as one of an overloaded server.
    Unclear,
}

async fn probe(service: &str, replica: &Replica, sender: &Sender) -> Health {
    let origin = Uri::builder()
        .scheme(Scheme::HTTP)
        .authority(replica.authority.clone())
        .path_and_query("/")
        .build()
        .expect("an authority and a slash make a URI");
    let exchange = tower::service_fn(|request| exchange(sender.clone(), request));
    let asked = HealthClient::with_origin(exchange, origin)
        .check(HealthCheckRequest {
            service: service.to_owned(),
        })
        .await;
    if let Ok(answer) = &asked
        && let Some(version) = answer.metadata().get(VERSION_HEADER)
        && let Ok(version) = version.to_str()
    {
        replica.is_version(version);
    }
    match asked.map(|answer| answer.into_inner().status()) {
        Ok(ServingStatus::Serving) => Health::Serving,
        Ok(ServingStatus::ServiceUnknown) => Health::Foreign,
        Ok(ServingStatus::NotServing | ServingStatus::Unknown) => Health::NotServing,
        Err(status) => match status.code() {
            Code::NotFound | Code::Unimplemented => Health::Foreign,
            Code::DeadlineExceeded => Health::Silent,
            _ => Health::Unclear,
        },
    }
}

async fn exchange(
    mut sender: Sender,
    request: Request<Body>,
) -> Result<Response<Incoming>, tonic::codegen::StdError> {
    let (head, body) = request.into_parts();
    let body: Bytes = body.collect().await?.to_bytes();
    let request = Request::from_parts(head, Full::new(body));
    Ok(sender.send_request(request).await?)
}
