//! Secrets that are replaced in two steps, so that two generations are valid in between.

use std::{
    fs,
    time::{Duration, Instant},
};

use anyhow::Context as _;

use crate::{
    load::Measured,
    swarm::{engine::output, stack::Stack, stage::Stage, trial::Trial, visitor::Visitor},
    wait::wait_for,
};

/// How often the visitor looks whether she is still signed in.
const CLICK: Duration = Duration::from_millis(250);

/// The key of the cookies, a database's password, the simulator's password.
pub(super) fn rotation(stage: &mut Stage) -> anyhow::Result<Trial> {
    let first = stage.next_generation();
    let visitor = Visitor::sign_in(&stage.machines, &format!("visitor{first}"))?;
    let cookie_key = stage.stack.secret("cookie_keys")?;
    let new_cookie_key = "b".repeat(64);
    let password = stage.stack.secret("simulator_credentials")?;
    let new_password = format!("simulator:generation_{first}");
    let database_url = next_database_url(stage)?;

    // Both are known, the old ones are used.
    set_database_password(stage, &database_url)?;
    let rotate = &mut stage.stack;
    rotate.rotate(
        "user_database_url",
        "USER_DATABASE_GENERATION",
        first,
        &database_url,
    )?;
    let keys = format!("{cookie_key}\n{new_cookie_key}\n");
    rotate.rotate("cookie_keys", "COOKIE_KEYS_GENERATION", first, &keys)?;
    let both = format!("{password}\n{new_password}\n");
    rotate.rotate(
        "simulator_credentials",
        "SIMULATOR_GENERATION",
        first,
        &both,
    )?;
    let (stayed, one) = deploy(stage, &visitor)?;

    // The new ones are used, the old password is no longer known.
    let second = stage.next_generation();
    let rotate = &mut stage.stack;
    let keys = format!("{new_cookie_key}\n{cookie_key}\n");
    rotate.rotate("cookie_keys", "COOKIE_KEYS_GENERATION", second, &keys)?;
    let new = format!("{new_password}\n");
    rotate.rotate(
        "simulator_credentials",
        "SIMULATOR_GENERATION",
        second,
        &new,
    )?;
    let file = stage.machines.folder().join("simulator_credentials");
    fs::write(&file, &new_password)?;
    let old_file = stage.load.credentials.replace(file);
    let (stayed_again, two) = deploy(stage, &visitor)?;

    let is_refused = is_refused(stage, &password)?;
    // Back to the first ones, for the scenarios to come.
    stage.load.credentials = old_file;
    for variable in ["COOKIE_KEYS_GENERATION", "SIMULATOR_GENERATION"] {
        stage.stack.set(variable, "1");
    }
    stage.stack.deploy()?.check()?;
    Ok(Trial::new(Measured::sum(one, two))
        .promise(stayed && stayed_again, "somebody was signed out")
        .promise(
            is_refused,
            "the old password of the simulator is still good",
        )
        .no_failure())
}

/// Deploys under load; tells whether the visitor was signed in before, meanwhile and afterwards.
fn deploy(stage: &mut Stage, visitor: &Visitor) -> anyhow::Result<(bool, Measured)> {
    stage.measure(|stage, _| {
        let before = visitor.is_signed_in(&stage.machines)?;
        let start = Instant::now();
        let meanwhile = std::thread::scope(|scope| {
            let deployment = scope.spawn(|| stage.stack.deploy()?.check());
            // As a person clicks: the processors are for what is measured.
            let is_over = || Ok(deployment.is_finished().then_some(()));
            let mut stays = visitor.is_signed_in(&stage.machines)?;
            while wait_for(CLICK, is_over).is_err() {
                stays &= visitor.is_signed_in(&stage.machines)?;
            }
            let deployment = deployment.join();
            deployment.map_err(|_| anyhow::anyhow!("the deployment panicked"))??;
            anyhow::Ok(stays)
        })?;
        println!("deployed in {:.0} s", start.elapsed().as_secs_f32());
        Ok(before && meanwhile && visitor.is_signed_in(&stage.machines)?)
    })
}

/// The URL with the serving role that does not serve now.
fn next_database_url(stage: &Stage) -> anyhow::Result<String> {
    let url = stage.stack.secret("user_database_url")?;
    let (_, rest) = url
        .split_once('@')
        .context("the database's URL names no host")?;
    Ok(format!(
        "postgres://user_b:generation{}@{rest}",
        std::process::id()
    ))
}

/// As an operator does it, in the database's container.
fn set_database_password(stage: &Stage, url: &str) -> anyhow::Result<()> {
    let engine = stage.stack.engine();
    let container = engine.containers(&Stack::service("database"))?;
    let container = container
        .first()
        .context("the database does not run here")?;
    let file = stage.machines.folder().join("next_database_url");
    fs::write(&file, format!("{url}\n"))?;
    let said = engine.docker_from(
        &file,
        ["exec", "--interactive", container, "rotate-password"],
    )?;
    println!("{}", said.lines().next().unwrap_or_default());
    Ok(())
}

/// Whether the API refuses these credentials.
fn is_refused(stage: &Stage, credentials: &str) -> anyhow::Result<bool> {
    let mut curl = stage.machines.outside("curl")?;
    curl.args([
        "--silent",
        "--output",
        "/dev/null",
        "--write-out",
        "%{http_code}",
    ]);
    curl.args([
        "--user",
        credentials,
        &format!("{}/msgs?no=1", stage.load.url),
    ]);
    Ok(output(&mut curl)? == "403")
}
