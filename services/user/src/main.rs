//! The process of the user service. Each Swarm task runs one.

use std::process::ExitCode;

use database::service::ServiceProcess;

/// Allocator of the process. A request makes many small, short-lived allocations, and the C library's
/// allocator took an eighth of the gateway's CPU time under load.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    ServiceProcess {
        name: "user",
        binary: "minitwit-user",
        about: "The user service of MiniTwit: accounts, passwords and API clients",
        listen: "127.0.0.1:5011",
        listen_admin: "127.0.0.1:5021",
        migrations: minitwit_user::migrations,
    }
    .run(minitwit_user::serve)
}
