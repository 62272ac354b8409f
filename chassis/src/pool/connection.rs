//! The task that maintains the connection to one replica and checks its health.

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
use crate::protocol::VERSION_HEADER;

/// Maintains the connection to a replica until the replica is removed or the pool is dropped.
pub(super) async fn maintain(shared: Arc<Shared>, replica: Arc<Replica>) {
    let stop = replica.stop.clone();
    stop.run_until_cancelled(reconnect(&shared, &replica)).await;
    shared.disconnect(&replica, None);
}

async fn reconnect(shared: &Shared, replica: &Replica) {
    let config = &shared.config;
    let mut backoff = config.backoff_min;
    let mut warned = false;
    loop {
        let was_serving = match connect(shared, replica).await {
            Ok((sender, closed)) => probe_until_closed(shared, replica, sender, closed).await,
            Err(error) => {
                if !warned {
                    tracing::warn!(
                        service = shared.meter.service(), replica = %replica.address, %error,
                        "a replica cannot be reached: retrying",
                    );
                    warned = true;
                }
                false
            }
        };
        if was_serving {
            backoff = config.backoff_min;
            warned = false;
        }
        // Full jitter, so that not all clients connect at once after a restart of the replica.
        sleep(backoff.mul_f64(shared.rng.fraction())).await;
        backoff = (backoff * 2).min(config.backoff_max);
    }
}

/// Opens a connection. The returned task ends when the connection is closed.
async fn connect(shared: &Shared, replica: &Replica) -> io::Result<(Sender, JoinHandle<()>)> {
    let config = &shared.config;
    let handshake = async {
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
    let (sender, connection) = timeout(config.connect_timeout, handshake).await??;
    let closed = tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a connection failed");
        }
    });
    Ok((sender, closed))
}

/// Checks the health of a replica until its connection is closed. Returns whether any check found it
/// serving.
async fn probe_until_closed(
    shared: &Shared,
    replica: &Replica,
    sender: Sender,
    mut closed: JoinHandle<()>,
) -> bool {
    let config = &shared.config;
    replica.attach(sender.clone());
    let mut was_serving = false;
    loop {
        let probe = probe(config.service, replica, &sender);
        let health = tokio::select! {
            biased;
            _ = &mut closed => break,
            health = timeout(config.probe_timeout, probe) => health,
        };
        let health = health.unwrap_or(Health::TimedOut);
        was_serving |= health == Health::Serving;
        if !apply_health(shared, replica, health) {
            break;
        }
        let interval = config
            .probe_interval
            .mul_f64(0.8 + 0.4 * shared.rng.fraction());
        tokio::select! {
            biased;
            _ = &mut closed => break,
            () = sleep(interval) => {}
        }
    }
    shared.disconnect(replica, None);
    was_serving
}

/// Changes the state of a replica according to a health check. Returns whether to keep the connection.
fn apply_health(shared: &Shared, replica: &Replica, health: Health) -> bool {
    match health {
        Health::Serving => {
            if !replica.must_stay_ejected() {
                shared.transition(replica, ReplicaState::Ready);
            }
        }
        Health::NotServing => shared.transition(replica, ReplicaState::Draining),
        Health::Foreign => shared.transition(replica, ReplicaState::Foreign),
        Health::TimedOut if replica.state() == ReplicaState::Connecting => return false,
        Health::TimedOut => shared.eject(replica, Reason::Probe),
        Health::Unclear => {}
    }
    true
}

/// Result of a health check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Health {
    Serving,
    NotServing,
    /// The process answers but does not have the service.
    Foreign,
    /// The check was not answered in time.
    TimedOut,
    /// The answer does not show the state of the service, for example because the server is overloaded.
    Unclear,
}

/// Checks the health of `service` on a replica, with the gRPC health checking protocol.
async fn probe(service: &str, replica: &Replica, sender: &Sender) -> Health {
    let origin = Uri::builder()
        .scheme(Scheme::HTTP)
        .authority(replica.authority.clone())
        .path_and_query("/")
        .build()
        .expect("an authority and a slash make a URI");
    let exchange = tower::service_fn(|request| exchange(sender.clone(), request));
    let response = HealthClient::with_origin(exchange, origin)
        .check(HealthCheckRequest {
            service: service.to_owned(),
        })
        .await;
    if let Ok(answer) = &response
        && let Some(version) = answer.metadata().get(VERSION_HEADER)
        && let Ok(version) = version.to_str()
    {
        replica.set_version(version);
    }
    match response.map(|answer| answer.into_inner().status()) {
        Ok(ServingStatus::Serving) => Health::Serving,
        Ok(ServingStatus::ServiceUnknown) => Health::Foreign,
        Ok(ServingStatus::NotServing | ServingStatus::Unknown) => Health::NotServing,
        Err(status) => match status.code() {
            Code::NotFound | Code::Unimplemented => Health::Foreign,
            Code::DeadlineExceeded => Health::TimedOut,
            _ => Health::Unclear,
        },
    }
}

/// Sends the request of a health check on the connection of a replica.
async fn exchange(
    mut sender: Sender,
    request: Request<Body>,
) -> Result<Response<Incoming>, tonic::codegen::StdError> {
    let (head, body) = request.into_parts();
    let body: Bytes = body.collect().await?.to_bytes();
    let request = Request::from_parts(head, Full::new(body));
    Ok(sender.send_request(request).await?)
}
