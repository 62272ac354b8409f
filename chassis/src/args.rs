//! Options that all processes share. Each option is a flag and an environment variable of the same name,
//! except that the variable of `--log` is the customary `RUST_LOG`. Secrets may also be given as a file.

use std::{fs, path::PathBuf, time::Duration};

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use secrecy::SecretString;

use crate::shutdown::Drain;

/// Options of every process.
#[derive(Args, Clone, Debug)]
pub struct ProcessArgs {
    /// Number of threads that run requests [default: 1 up to four cores, else half of the cores]
    #[arg(long, env, value_name = "N", help_heading = "Process")]
    pub worker_threads: Option<usize>,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would show it as help")]
    pub telemetry: TelemetryArgs,
}

/// Options of logs, metrics and traces.
#[derive(Args, Clone, Debug)]
pub struct TelemetryArgs {
    /// Filter of log lines, for example `info` or `warn,minitwit_gateway=debug`
    #[arg(
        long,
        env = "RUST_LOG",
        default_value = "info",
        value_name = "FILTER",
        help_heading = "Telemetry"
    )]
    pub log: String,
    /// Format of log lines [default: text at a terminal, json otherwise]
    #[arg(long, env, value_name = "FORMAT", help_heading = "Telemetry")]
    pub log_format: Option<LogFormat>,
    /// Disable metrics and traces, but not log lines
    #[arg(long, env, help_heading = "Telemetry")]
    pub otel_sdk_disabled: bool,
    /// URL of the trace collector, for example `http://collector:4317` [default: no traces]
    #[arg(long, env, value_name = "URL", help_heading = "Telemetry")]
    pub otel_exporter_otlp_endpoint: Option<String>,
    /// Share of requests to trace when the caller has not decided, from 0 to 1
    #[arg(
        long,
        env = "OTEL_TRACES_SAMPLER_ARG",
        default_value_t = 1.0,
        value_name = "RATIO",
        help_heading = "Telemetry"
    )]
    pub otel_traces_sampler_arg: f64,
    /// Name of this replica in logs and traces [default: the host name]
    #[arg(long, env, value_name = "NAME", help_heading = "Telemetry")]
    pub task_slot: Option<String>,
    /// Version to report, such as the tag of the image [default: version of the source]
    #[arg(long, env, value_name = "VERSION", help_heading = "Telemetry")]
    pub service_version: Option<String>,
    /// Commit that the program was built from
    #[arg(
        long,
        env,
        default_value = "unknown",
        value_name = "COMMIT",
        help_heading = "Telemetry"
    )]
    pub service_revision: String,
}

/// Format of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Text for people.
    Text,
    /// One JSON object per line, for machines.
    Json,
}

/// Options of the graceful shutdown of a server process.
#[derive(Args, Clone, Copy, Debug)]
pub struct DrainArgs {
    /// Time to keep accepting requests after SIGTERM, until callers have noticed, in milliseconds
    #[arg(
        long,
        env,
        default_value_t = 3_000,
        value_name = "MS",
        help_heading = "Process"
    )]
    pub lame_duck_ms: u64,
    /// Time after SIGTERM to stop even if requests are in flight, in milliseconds
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

/// Returns a secret that is given either as a value or as a file. Line ends at the end of the file are
/// removed. `name` is the environment variable of the option, for error messages.
///
/// # Errors
///
/// Both the value and the file are given, or the file cannot be read.
pub fn secret(
    name: &str,
    value: Option<&SecretString>,
    file: Option<&PathBuf>,
) -> anyhow::Result<Option<SecretString>> {
    match (value, file) {
        (Some(_), Some(_)) => bail!("{name} and {name}_FILE are both set: set only one"),
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
    fn a_secret_from_a_file_has_no_line_end() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "s3cret\n").unwrap();
        let value = secret("KEY", None, Some(&file.path().to_owned()))
            .unwrap()
            .unwrap();
        assert_eq!(value.expose_secret(), "s3cret");
    }

    #[test]
    fn a_secret_given_twice_is_refused() {
        let result = secret("KEY", Some(&"a".into()), Some(&PathBuf::from("b")));
        assert!(result.unwrap_err().to_string().contains("KEY_FILE"));
    }
}
