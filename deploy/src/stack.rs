//! The stack's files: read by the Docker client, taken apart into steps, deployed by the client.

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

/// What the name begins with of what brings a service's schema up to date, and ends.
pub(crate) const MIGRATION_PREFIX: &str = "migrate-";

/// The label, below `deploy`, of a service that the migrations need.
const DATABASE_LABEL: &str = "minitwit.phase";

/// How often an order is given again that met no leader.
const ATTEMPTS: usize = 30;

/// What a service is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// What migrations need.
    Database,
    /// What ends when it is done.
    Migration,
    /// All the rest.
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

/// The stack as its files describe it, with every variable replaced.
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

    /// Names each configuration file by its content: the Swarm's configurations cannot change, so
    /// another content is another configuration, and the services that use it are updated.
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

    /// What is deployed after what: the databases, each migration, what is new, each service that is
    /// replaced while it serves, all the rest.
    ///
    /// One at a time, because each start takes the processor of a small node for a second, and a
    /// second of two starts at once is one in which requests come late. And what fails comes before
    /// what has not been touched yet. The services with a schema go before those that call them.
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

        let together = |phase, services| Some(Step { phase, services });
        let alone = |phase| move |name| together(phase, vec![name]);
        let steps = iter::once(together(Phase::Database, databases))
            .chain(migrations.into_iter().map(alone(Phase::Migration)))
            .chain([together(Phase::Service, new)])
            .chain(serving.into_iter().map(alone(Phase::Service)))
            .chain([together(Phase::Service, rest)]);
        steps
            .flatten()
            .filter(|step| !step.services.is_empty())
            .collect()
    }

    /// Has the Docker client deploy some services.
    pub(crate) async fn deploy(
        &self,
        services: &[String],
        args: &DeployArgs,
    ) -> anyhow::Result<()> {
        let mut options = vec!["stack", "deploy", "--compose-file", "-"];
        options.extend(["--resolve-image", args.resolve_image.word()]);
        options.extend(args.with_registry_auth.then_some("--with-registry-auth"));
        options.push(&args.stack);
        order(args, &options, &self.part(services)).await
    }

    /// The file of some services, as JSON, which is YAML; only what they use, since the client looks
    /// up each secret that it finds.
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
        // The variables have been replaced once: what looks like one now is meant as it stands.
        part.to_string().replace('$', "$$")
    }
}

/// Has the Docker client give a service another image; a migration that has ended runs once more with it.
///
/// The client, since it hands the specification back as it is: what is known of it here leaves out
/// the health check, among others.
pub(crate) async fn set_image(service: &str, image: &str, args: &DeployArgs) -> anyhow::Result<()> {
    let label = image_label(image);
    let name = format!("{}_{service}", args.stack);
    let mut options = vec!["service", "update", "--detach", "--quiet", "--image", image];
    options.extend(["--label-add", &label]);
    options.extend(service.starts_with(MIGRATION_PREFIX).then_some("--force"));
    options.extend(args.with_registry_auth.then_some("--with-registry-auth"));
    options.extend((args.resolve_image == ResolveImage::Never).then_some("--no-resolve-image"));
    options.push(&name);
    order(args, &options, "").await
}

/// The label by which the next `docker stack deploy` tells that the file names another image: it
/// would keep this one otherwise, and say nothing.
fn image_label(image: &str) -> String {
    format!("com.docker.stack.image={image}")
}

/// Gives an order through the Docker client, again while the Swarm has no leader.
async fn order(args: &DeployArgs, options: &[&str], input: &str) -> anyhow::Result<()> {
    let what = options[..2].join(" ");
    for attempt in 1..=ATTEMPTS {
        let Err(said) = feed(docker(args.host.as_deref(), options), input).await? else {
            return Ok(());
        };
        if attempt == ATTEMPTS || !swarm::is_passing(&said) {
            bail!("`docker {what}` failed: {}", said.trim());
        }
        println!(
            "the Swarm cannot take orders now, trying again: {}",
            said.trim()
        );
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    Ok(())
}

/// A section of the file, if it is there: indexing would put an empty one in.
fn section_mut<'a>(file: &'a mut Value, section: &str) -> Option<&'a mut Map<String, Value>> {
    file.get_mut(section)?.as_object_mut()
}

/// Which of the file's configurations or secrets the services name.
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
        write!(name, "{byte:02x}").expect("a string takes everything");
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

/// Runs a command with `input`; what it said when it failed is the inner error.
async fn feed(mut command: Command, input: &str) -> anyhow::Result<Result<(), String>> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot run docker")?;
    let mut stdin = child.stdin.take().expect("it was piped");
    // A client that ends without reading says why itself.
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
    fn what_the_client_writes_keeps_its_types() {
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
    fn what_serves_is_replaced_one_at_a_time_callers_last() {
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
    fn a_step_needs_no_secret_of_another_one() {
        let part: Value =
            serde_json::from_str(&stack().part(&["migrate-user".to_owned()])).unwrap();
        let secrets: Vec<&String> = part["secrets"].as_object().unwrap().keys().collect();
        assert_eq!(secrets, ["owner"]);
        assert_eq!(part["version"], "3.9");
        assert!(
            part.get("configs").is_none(),
            "the client refuses a section of nothing"
        );
    }

    #[test]
    fn a_dollar_is_not_taken_for_a_variable_the_second_time() {
        assert!(stack().part(&["database".to_owned()]).contains("a$$b"));
    }

    #[test]
    fn the_next_deployment_sees_an_image_that_was_set_alone() {
        assert_eq!(image_label("user:2"), "com.docker.stack.image=user:2");
    }

    #[test]
    fn another_content_is_another_configuration() {
        let name = config_name("minitwit", "haproxy", b"one");
        assert_eq!(name, config_name("minitwit", "haproxy", b"one"));
        assert_ne!(name, config_name("minitwit", "haproxy", b"two"));
        assert!(
            name.starts_with("minitwit_haproxy_") && name.len() <= 64,
            "{name}"
        );
    }
}
