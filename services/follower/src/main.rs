//! The process of the follower service. Each Swarm task runs one.

use std::process::ExitCode;

use database::service::ServiceProcess;

/// Allocator of the process. A request makes many small, short-lived allocations, and the C library's
/// allocator took an eighth of the gateway's CPU time under load.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    ServiceProcess {
        name: "follower",
        binary: "minitwit-follower",
        about: "The follower service of MiniTwit: who follows whom",
        listen: "127.0.0.1:5012",
        listen_admin: "127.0.0.1:5022",
        migrations: minitwit_follower::migrations,
    }
    .run(minitwit_follower::serve)
}
