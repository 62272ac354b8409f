//! The commands, options and environment variables of all programs, and the values of options.
//!
//! The subcommands of the gateway and the services are not reachable from their libraries, so they
//! are not part of the list.

use clap::{Arg, Args, Command, CommandFactory as _};

/// The names of the command lines of all programs.
pub(crate) fn names() -> impl Iterator<Item = String> {
    let mut names = Vec::new();
    for program in [minitwit::args::Cli::command(), gateway(), service()] {
        let program = program.disable_help_flag(true).disable_version_flag(true);
        add_command(&program, program.get_name(), &mut names);
    }
    names.into_iter()
}

/// The options of the gateway as a process.
fn gateway() -> Command {
    use chassis::args::{DrainArgs, ProcessArgs};
    use minitwit_gateway::args::{ListenArgs, PageArgs, ServiceAddressArgs, TrustArgs};

    let command = Command::new("minitwit-gateway");
    let command = ListenArgs::augment_args(command);
    let command = ServiceAddressArgs::augment_args(command);
    let command = TrustArgs::augment_args(command);
    let command = PageArgs::augment_args(command);
    let command = DrainArgs::augment_args(command);
    ProcessArgs::augment_args(command)
}

/// The options of the services as processes, which are the same for each service.
fn service() -> Command {
    database::args::ServiceArgs::augment_args(Command::new("minitwit-SERVICE"))
}

fn add_command(command: &Command, path: &str, names: &mut Vec<String>) {
    names.push(format!("command {path}"));
    for arg in command.get_arguments() {
        add_arg(arg, path, names);
    }
    for subcommand in command.get_subcommands() {
        add_command(
            subcommand,
            &format!("{path} {}", subcommand.get_name()),
            names,
        );
    }
}

fn add_arg(arg: &Arg, path: &str, names: &mut Vec<String>) {
    let name = match (arg.get_long(), arg.get_short()) {
        (Some(long), _) => format!("--{long}"),
        (None, Some(short)) => format!("-{short}"),
        (None, None) => arg.get_id().to_string(),
    };
    // The name of a positional argument occurs only in help texts.
    if !arg.is_positional() {
        names.push(format!("option {path} {name}"));
    }
    if let (Some(_), Some(short)) = (arg.get_long(), arg.get_short()) {
        names.push(format!("option {path} -{short}"));
    }
    if let Some(variable) = arg.get_env() {
        names.push(format!("variable {path} {}", variable.display()));
    }
    if arg.get_action().takes_values() {
        for value in arg.get_possible_values() {
            names.push(format!("value {path} {name} {}", value.get_name()));
        }
    }
}
