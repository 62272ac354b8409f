//! Identity of the process in logs, traces and answers of the health service.

use std::{fs, sync::OnceLock};

use crate::args::TelemetryArgs;

/// Identity of the process, which each log line and each span carries.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Name of the service.
    pub service: &'static str,
    /// Version of the service.
    pub version: String,
    /// Name of this replica of the service, which is the task's slot in a Swarm and otherwise the
    /// host.
    pub replica: String,
}

impl Identity {
    pub(crate) fn of(service: &'static str, args: &TelemetryArgs) -> Self {
        let host = || fs::read_to_string("/proc/sys/kernel/hostname").ok();
        let replica = args.task_slot.clone().or_else(host);
        Self {
            service,
            version: args
                .service_version
                .clone()
                .unwrap_or_else(|| env!("CARGO_PKG_VERSION").to_owned()),
            replica: replica.unwrap_or_default().trim().to_owned(),
        }
    }

    /// Makes this the identity of the process. A second call has no effect.
    pub(crate) fn publish(&self) {
        let _ = IDENTITY.set(self.clone());
    }
}

static IDENTITY: OnceLock<Identity> = OnceLock::new();

/// Identity of this process. `None` until [`telemetry::init`](crate::telemetry::init) has run.
pub fn identity() -> Option<&'static Identity> {
    IDENTITY.get()
}
