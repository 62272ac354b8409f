//! The process of the message service. Each Swarm task runs one.

use std::process::ExitCode;

use database::service::ServiceProcess;

/// Allocator of the process. A request makes many small, short-lived allocations, and the C library's
/// allocator took an eighth of the gateway's CPU time under load.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    ServiceProcess {
        name: "message",
        binary: "minitwit-message",
        about: "The message service of MiniTwit: messages and their flags",
        listen: "127.0.0.1:5013",
        listen_admin: "127.0.0.1:5023",
        migrations: minitwit_message::migrations,
    }
    .run(minitwit_message::serve)
}
