//! The stack's files: the Docker client reads them, [`Stack::steps`] splits the stack into steps, and
//! the client deploys each step.

use std::{
    fs, iter,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context as _, bail, ensure};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};
use tokio::{io::AsyncWriteExt as _, process::Command};

use crate::{DeployArgs, ResolveImage, swarm};

/// Prefix of the names of the services that migrate another service's schema and then end.
pub(crate) const MIGRATION_PREFIX: &str = "migrate-";

/// The label below `deploy` that marks a database, which has to run before the migrations.
const DATABASE_LABEL: &str = "minitwit.phase";

/// Maximum number of attempts to run a command of the Docker client while the Swarm has no leader.
const DOCKER_ATTEMPTS_MAX: usize = 30;

/// The phase of a deployment in which a service is deployed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Databases, which the migrations need.
    Database,
    /// Migrations, which end when they are done.
    Migration,
    /// All other services.
    Service,
}

impl Phase {
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Database => "Databases",
            Self::Migration => "Migrations",
            Self::Service => "Services",
        }
    }

    fn of(name: &str, service: &Value) -> Self {
        if name.starts_with(MIGRATION_PREFIX) {
            return Self::Migration;
        }
        match &service["deploy"]["labels"][DATABASE_LABEL] {
            Value::String(phase) if phase == "database" => Self::Database,
            _ => Self::Service,
        }
    }
}

/// Services that are deployed together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) phase: Phase,
    pub(crate) services: Vec<String>,
}

/// The stack as its files describe it, with all variables replaced.
#[derive(Debug)]
pub(crate) struct Stack(Value);

impl Stack {
    /// Reads the files as the Docker client does.
    pub(crate) async fn read(
        files: &[PathBuf],
        stack: &str,
        host: Option<&str>,
    ) -> anyhow::Result<Self> {
        let mut config = docker(host, &["stack", "config"]);
        for file in files {
            config.arg("--compose-file").arg(file);
        }
        let output = config
            .stderr(Stdio::inherit())
            .output()
            .await
            .context("cannot run docker")?;
        ensure!(output.status.success(), "the stack's files are not valid");
        let text = String::from_utf8(output.stdout).context("docker does not write UTF-8")?;
        let read = serde_saphyr::from_str(&text).context("cannot read what docker writes")?;
        let mut stack_file = Self(read);
        stack_file.name_configs(stack)?;
        Ok(stack_file)
    }

    /// Names each configuration file by its content.
    ///
    /// A configuration in a Swarm is immutable. A changed file therefore becomes a new configuration,
    /// and the services that use it are updated.
    fn name_configs(&mut self, stack: &str) -> anyhow::Result<()> {
        let Some(configs) = section_mut(&mut self.0, "configs") else {
            return Ok(());
        };
        for (key, config) in configs {
            let Some(file) = config["file"].as_str().map(Path::new) else {
                continue;
            };
            let content =
                fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
            let name = config_name(stack, key, &content);
            config["name"] = Value::String(name);
        }
        Ok(())
    }

    /// The steps of the deployment in their order: the databases, each migration, all new services,
    /// each service that is replaced while it serves (`start-first`), and all other services.
    ///
    /// Serving services are replaced one at a time, because a start occupies the processor of a small
    /// node for a second. Two starts at once would delay requests. The deployment stops at the first
    /// failed step, so the services after it stay as they are. The services with a schema go before
    /// the services that call them.
    pub(crate) fn steps(&self, exists: impl Fn(&str) -> bool) -> Vec<Step> {
        let services = self.0["services"].as_object().into_iter().flatten();
        let (mut databases, mut migrations, mut new, mut serving, mut rest) = Default::default();
        for (name, service) in services {
            let order = &service["deploy"]["update_config"]["order"];
            let group: &mut Vec<String> = match Phase::of(name, service) {
                Phase::Database => &mut databases,
                Phase::Migration => &mut migrations,
                Phase::Service if !exists(name) => &mut new,
                Phase::Service if order == "start-first" => &mut serving,
                Phase::Service => &mut rest,
            };
            group.push(name.clone());
        }
        let has_schema = |name: &String| migrations.contains(&format!("{MIGRATION_PREFIX}{name}"));
        serving.sort_by_key(|name| !has_schema(name));

        let step = |phase, services| Some(Step { phase, services });
        let single = |phase| move |name| step(phase, vec![name]);
        let steps = iter::once(step(Phase::Database, databases))
            .chain(migrations.into_iter().map(single(Phase::Migration)))
            .chain([step(Phase::Service, new)])
            .chain(serving.into_iter().map(single(Phase::Service)))
            .chain([step(Phase::Service, rest)]);
        steps
            .flatten()
            .filter(|step| !step.services.is_empty())
            .collect()
    }

    /// Deploys some of the services through the Docker client.
    pub(crate) async fn deploy(
        &self,
        services: &[String],
        args: &DeployArgs,
    ) -> anyhow::Result<()> {
        let mut options = vec!["stack", "deploy", "--compose-file", "-"];
        options.extend(["--resolve-image", args.resolve_image.as_option()]);
        options.extend(args.with_registry_auth.then_some("--with-registry-auth"));
        options.push(&args.stack);
        run_docker(args, &options, &self.part(services)).await
    }

    /// The part of the stack file for some of the services, as JSON, which is also YAML.
    ///
    /// The part contains only the secrets and configurations that these services use, because the
    /// client looks up each secret in the file.
    fn part(&self, services: &[String]) -> String {
        let mut part = self.0.clone();
        if let Some(all) = section_mut(&mut part, "services") {
            all.retain(|name, _| services.contains(name));
        }
        for section in ["configs", "secrets"] {
            let used = used(&part["services"], section);
            if let Some(all) = section_mut(&mut part, section) {
                all.retain(|name, _| used.contains(name));
            }
        }
        // All variables have been replaced, so each remaining dollar sign is a literal.
        part.to_string().replace('$', "$$")
    }
}

/// Sets the image of a service through the Docker client. A migration that has ended runs again.
///
/// The Engine's API is not used here, because the models of its client library lack parts of the
/// specification, such as the health check, which an update through them would remove. The Docker
/// client keeps the whole specification.
pub(crate) async fn set_image(service: &str, image: &str, args: &DeployArgs) -> anyhow::Result<()> {
    let label = image_label(image);
    let name = format!("{}_{service}", args.stack);
    let mut options = vec!["service", "update", "--detach", "--quiet", "--image", image];
    options.extend(["--label-add", &label]);
    options.extend(service.starts_with(MIGRATION_PREFIX).then_some("--force"));
    options.extend(args.with_registry_auth.then_some("--with-registry-auth"));
    options.extend((args.resolve_image == ResolveImage::Never).then_some("--no-resolve-image"));
    options.push(&name);
    run_docker(args, &options, "").await
}

/// The label in which `docker stack deploy` stores the image that the file names.
///
/// Without this label, the next `docker stack deploy` would not notice that the file names another
/// image, and would keep the one set here.
fn image_label(image: &str) -> String {
    format!("com.docker.stack.image={image}")
}

/// Runs a command of the Docker client, and retries it while the Swarm has no leader.
async fn run_docker(args: &DeployArgs, options: &[&str], input: &str) -> anyhow::Result<()> {
    let command = options[..2].join(" ");
    for attempt in 1..=DOCKER_ATTEMPTS_MAX {
        let Err(error) = run_with_input(docker(args.host.as_deref(), options), input).await? else {
            return Ok(());
        };
        if attempt == DOCKER_ATTEMPTS_MAX || !swarm::is_temporary(&error) {
            bail!("`docker {command}` failed: {}", error.trim());
        }
        println!(
            "the Swarm cannot be changed, trying again: {}",
            error.trim()
        );
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    Ok(())
}

/// A section of the file, or `None` if the file has no such section. Indexing the value instead
/// would insert an empty section.
fn section_mut<'a>(file: &'a mut Value, section: &str) -> Option<&'a mut Map<String, Value>> {
    file.get_mut(section)?.as_object_mut()
}

/// The names of the configurations or secrets that the services use.
fn used(services: &Value, section: &str) -> Vec<String> {
    let services = services.as_object().map(Map::values);
    let named = services
        .into_iter()
        .flatten()
        .filter_map(|service| service[section].as_array());
    named
        .flatten()
        .filter_map(|use_| use_.as_str().or_else(|| use_["source"].as_str()))
        .map(str::to_owned)
        .collect()
}

fn config_name(stack: &str, key: &str, content: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut name = format!("{stack}_{key}_");
    for byte in &Sha256::digest(content)[..6] {
        write!(name, "{byte:02x}").expect("writing to a string does not fail");
    }
    name
}

fn docker(host: Option<&str>, arguments: &[&str]) -> Command {
    let mut command = Command::new("docker");
    if let Some(host) = host {
        command.env("DOCKER_HOST", host);
    }
    command.args(arguments).kill_on_drop(true);
    command
}

/// Runs a command with `input`. The inner error is the standard error output of a failed command.
async fn run_with_input(mut command: Command, input: &str) -> anyhow::Result<Result<(), String>> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot run docker")?;
    let mut stdin = child.stdin.take().expect("the standard input is piped");
    // A client that ends before it has read its input reports the cause itself.
    let _ = stdin.write_all(input.as_bytes()).await;
    drop(stdin);
    let output = child
        .wait_with_output()
        .await
        .context("cannot wait for docker")?;
    if output.status.success() {
        return Ok(Ok(()));
    }
    Ok(Err(String::from_utf8_lossy(&output.stderr).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stack() -> Stack {
        Stack(serde_json::json!({
            "version": "3.9",
            "services": {
                "database": {
                    "image": "postgres",
                    "command": ["a$b"],
                    "secrets": [{"source": "password"}],
                    "deploy": {"labels": {"minitwit.phase": "database"}},
                },
                "edge": {"image": "haproxy", "deploy": {"update_config": {"order": "stop-first"}}},
                "gateway": {"image": "gateway", "deploy": {"update_config": {"order": "start-first"}}},
                "migrate-user": {"image": "user", "secrets": [{"source": "owner"}]},
                "prometheus": {"image": "prometheus"},
                "user": {
                    "image": "user",
                    "secrets": [{"source": "url"}],
                    "deploy": {"update_config": {"order": "start-first"}},
                },
            },
            "secrets": {
                "password": {"external": true}, "owner": {"external": true}, "url": {"external": true},
            },
        }))
    }

    #[test]
    fn values_in_the_clients_yaml_keep_their_types() {
        let text = "version: \"3.9\"\nservices:\n  a:\n    environment:\n      ON: \"true\"\n    \
                    configs:\n    - source: b\n      mode: 365\n    healthcheck:\n      interval: 1s\n";
        let read: Value = serde_saphyr::from_str(text).unwrap();
        assert_eq!(read["version"], "3.9");
        assert_eq!(read["services"]["a"]["environment"]["ON"], "true");
        assert_eq!(read["services"]["a"]["configs"][0]["mode"], 365);
    }

    /// The services of each step.
    fn steps(exists: impl Fn(&str) -> bool) -> Vec<Vec<String>> {
        let steps = stack().steps(exists).into_iter();
        steps.map(|step| step.services).collect()
    }

    #[test]
    fn the_first_deployment_starts_all_services_at_once() {
        assert_eq!(
            steps(|_| false),
            [
                vec!["database"],
                vec!["migrate-user"],
                vec!["edge", "gateway", "prometheus", "user"]
            ]
        );
    }

    #[test]
    fn serving_services_are_replaced_one_at_a_time_and_callers_last() {
        assert_eq!(
            steps(|name| name != "prometheus"),
            [
                vec!["database"],
                vec!["migrate-user"],
                vec!["prometheus"],
                vec!["user"],
                vec!["gateway"],
                vec!["edge"]
            ]
        );
    }

    #[test]
    fn a_step_contains_only_the_secrets_of_its_services() {
        let part: Value =
            serde_json::from_str(&stack().part(&["migrate-user".to_owned()])).unwrap();
        let secrets: Vec<&String> = part["secrets"].as_object().unwrap().keys().collect();
        assert_eq!(secrets, ["owner"]);
        assert_eq!(part["version"], "3.9");
        assert!(
            part.get("configs").is_none(),
            "the client refuses an empty section"
        );
    }

    #[test]
    fn a_dollar_sign_is_escaped_for_the_client() {
        assert!(stack().part(&["database".to_owned()]).contains("a$$b"));
    }

    #[test]
    fn the_image_label_has_the_name_that_the_client_reads() {
        assert_eq!(image_label("user:2"), "com.docker.stack.image=user:2");
    }

    #[test]
    fn a_changed_file_is_a_new_configuration() {
        let name = config_name("minitwit", "haproxy", b"one");
        assert_eq!(name, config_name("minitwit", "haproxy", b"one"));
        assert_ne!(name, config_name("minitwit", "haproxy", b"two"));
        assert!(
            name.starts_with("minitwit_haproxy_") && name.len() <= 64,
            "{name}"
        );
    }
}
