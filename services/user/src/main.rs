//! The user service as its own process: one per Swarm task.

use std::process::ExitCode;

use chassis::process::ServiceProcess;

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
