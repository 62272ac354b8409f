//! Short commands whose output is needed.

use std::process::{Command, Stdio};

use anyhow::{Context, bail};

/// Runs a command to its end, and returns its output without the end of the last line. An error shows the
/// command and all that it printed. Some programs report errors on the standard output.
pub(crate) fn output(command: &mut Command) -> anyhow::Result<String> {
    let name = command.get_program().display().to_string();
    let output = command
        .output()
        .with_context(|| format!("cannot run {name}"))?;
    if !output.status.success() {
        let arguments: Vec<_> = command
            .get_args()
            .map(|word| word.to_string_lossy())
            .collect();
        let printed = [output.stderr, output.stdout].concat();
        let printed = String::from_utf8_lossy(&printed);
        bail!(
            "`{name} {}` failed: {}",
            arguments.join(" "),
            printed.trim()
        );
    }
    let text = String::from_utf8(output.stdout);
    let text = text.with_context(|| format!("the output of {name} is not UTF-8"))?;
    Ok(text.trim_end().to_owned())
}

/// Runs a command to its end without input, and discards its output.
pub(crate) fn run(command: &mut Command) -> anyhow::Result<()> {
    output(command.stdin(Stdio::null())).map(drop)
}
