//! The options that processes share: each a flag and an environment variable of the same name (but
//! `--log` is `RUST_LOG`, as everywhere), secrets also as a file.

use std::{fs, path::PathBuf, time::Duration};

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use secrecy::SecretString;

use crate::shutdown::Drain;

/// How a process runs, whatever it does.
#[derive(Args, Clone, Debug)]
pub struct ProcessArgs {
    /// Threads that run requests [default: 1 up to four cores, half of them beyond]
    #[arg(long, env, value_name = "N", help_heading = "Process")]
    pub worker_threads: Option<usize>,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would show it as help")]
    pub telemetry: TelemetryArgs,
}

/// What a process tells of itself.
#[derive(Args, Clone, Debug)]
pub struct TelemetryArgs {
    /// Which log lines are written, for example `info` or `warn,minitwit_gateway=debug`
    #[arg(
        long,
        env = "RUST_LOG",
        default_value = "info",
        value_name = "FILTER",
        help_heading = "Telemetry"
    )]
    pub log: String,
    /// How log lines look [default: text at a terminal, json otherwise]
    #[arg(long, env, value_name = "FORMAT", help_heading = "Telemetry")]
    pub log_format: Option<LogFormat>,
    /// Keep no metrics and make no traces; log lines are written all the same
    #[arg(long, env, help_heading = "Telemetry")]
    pub otel_sdk_disabled: bool,
    /// Where traces go, for example `http://collector:4317`; none are made without it
    #[arg(long, env, value_name = "URL", help_heading = "Telemetry")]
    pub otel_exporter_otlp_endpoint: Option<String>,
    /// Which share of the requests is traced when the caller has not decided, from 0 to 1
    #[arg(
        long,
        env = "OTEL_TRACES_SAMPLER_ARG",
        default_value_t = 1.0,
        value_name = "RATIO",
        help_heading = "Telemetry"
    )]
    pub otel_traces_sampler_arg: f64,
    /// What tells this process from its service's others in logs and traces [default: the host]
    #[arg(long, env, value_name = "NAME", help_heading = "Telemetry")]
    pub task_slot: Option<String>,
    /// Which version it calls itself, as its image is named [default: the source's]
    #[arg(long, env, value_name = "VERSION", help_heading = "Telemetry")]
    pub service_version: Option<String>,
    /// Which commit it was built from
    #[arg(
        long,
        env,
        default_value = "unknown",
        value_name = "COMMIT",
        help_heading = "Telemetry"
    )]
    pub service_revision: String,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines: one JSON object a line.
    Json,
}

/// How a process of its own stops when it is told to.
#[derive(Args, Clone, Copy, Debug)]
pub struct DrainArgs {
    /// How long to go on accepting after SIGTERM, so that callers hear of it, in milliseconds
    #[arg(
        long,
        env,
        default_value_t = 3_000,
        value_name = "MS",
        help_heading = "Process"
    )]
    pub lame_duck_ms: u64,
    /// When to stop in any case, counted from SIGTERM, in milliseconds
    #[arg(
        long,
        env,
        default_value_t = 8_000,
        value_name = "MS",
        help_heading = "Process"
    )]
    pub hard_stop_ms: u64,
}

impl From<DrainArgs> for Drain {
    fn from(args: DrainArgs) -> Self {
        Self {
            lame_duck: Duration::from_millis(args.lame_duck_ms),
            hard_stop: Duration::from_millis(args.hard_stop_ms),
        }
    }
}

/// A secret that is given as it is or as the file that holds it; a line end at its end is dropped.
///
/// # Errors
///
/// Both are given, or the file cannot be read; `name` is the option's.
pub fn secret(
    name: &str,
    value: Option<&SecretString>,
    file: Option<&PathBuf>,
) -> anyhow::Result<Option<SecretString>> {
    match (value, file) {
        (Some(_), Some(_)) => bail!("{name} and {name}_FILE are both given: choose one"),
        (Some(value), None) => Ok(Some(value.clone())),
        (None, Some(file)) => {
            let text = fs::read_to_string(file)
                .with_context(|| format!("cannot read {name}_FILE {}", file.display()))?;
            Ok(Some(text.trim_end_matches(['\r', '\n']).into()))
        }
        (None, None) => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret as _;

    #[test]
    fn a_secret_comes_from_its_file_without_the_line_end() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "s3cret\n").unwrap();
        let found = secret("KEY", None, Some(&file.path().to_owned()))
            .unwrap()
            .unwrap();
        assert_eq!(found.expose_secret(), "s3cret");
    }

    #[test]
    fn a_secret_given_twice_is_refused() {
        let twice = secret("KEY", Some(&"a".into()), Some(&PathBuf::from("b")));
        assert!(twice.unwrap_err().to_string().contains("KEY_FILE"));
    }
}
