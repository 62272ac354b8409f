//! Replacement of secrets in two steps. Between the steps both generations are valid.

use std::{
    fs,
    time::{Duration, Instant},
};

use anyhow::Context as _;

use crate::{
    command::output,
    load::LoadReport,
    scenario::swarm::{stack::Stack, stage::Stage, visitor::Visitor},
    trial::ScenarioResult,
    wait::wait_for,
};

/// Interval at which the visitor opens a page.
const VISIT_INTERVAL: Duration = Duration::from_millis(250);

/// Replaces the key of the cookies, a database's password, and the simulator's password.
pub(super) fn rotation(stage: &mut Stage) -> anyhow::Result<ScenarioResult> {
    let first = stage.next_generation();
    let visitor = Visitor::sign_in(&stage.machines, &format!("visitor{first}"))?;
    let cookie_key = stage.stack.secret("cookie_keys")?;
    let new_cookie_key = "b".repeat(64);
    let password = stage.stack.secret("simulator_credentials")?;
    let new_password = format!("simulator:generation_{first}");
    let database_url = next_database_url(stage)?;

    // Both generations are accepted, and the old generation is used.
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

    // The new generation is used, and the old password is not accepted.
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
    // The next scenarios need the first generation.
    stage.load.credentials = old_file;
    for variable in ["COOKIE_KEYS_GENERATION", "SIMULATOR_GENERATION"] {
        stage.stack.set(variable, "1");
    }
    stage.stack.deploy()?.check()?;
    let mut result = ScenarioResult::new(one.combine(two));
    result.promise(stayed && stayed_again, "a visitor was signed out");
    let message = "the old password of the simulator is still accepted";
    result.promise(is_refused, message);
    Ok(result.no_failure())
}

/// Deploys under load. Returns whether the visitor was signed in before, during and after the deployment.
fn deploy(stage: &mut Stage, visitor: &Visitor) -> anyhow::Result<(bool, LoadReport)> {
    stage.measure(|stage, _| {
        let before = visitor.is_signed_in(&stage.machines)?;
        let start = Instant::now();
        let during = std::thread::scope(|scope| {
            let deployment = scope.spawn(|| stage.stack.deploy()?.check());
            // Only a few visits, because they take processor time from the measured suite.
            let is_over = || Ok(deployment.is_finished().then_some(()));
            let mut stays = visitor.is_signed_in(&stage.machines)?;
            while wait_for(VISIT_INTERVAL, is_over).is_err() {
                stays &= visitor.is_signed_in(&stage.machines)?;
            }
            let deployment = deployment.join();
            deployment.map_err(|_| anyhow::anyhow!("the deployment panicked"))??;
            anyhow::Ok(stays)
        })?;
        println!("deployed in {:.0} s", start.elapsed().as_secs_f32());
        Ok(before && during && visitor.is_signed_in(&stage.machines)?)
    })
}

/// Returns the URL of the user service's database with the role that is not in use.
fn next_database_url(stage: &Stage) -> anyhow::Result<String> {
    let url = stage.stack.secret("user_database_url")?;
    let (_, rest) = url
        .split_once('@')
        .context("the URL of the database has no host")?;
    Ok(format!(
        "postgres://user_b:generation{}@{rest}",
        std::process::id()
    ))
}

/// Sets a password in the database's container, as an operator does.
fn set_database_password(stage: &Stage, url: &str) -> anyhow::Result<()> {
    let engine = stage.stack.engine();
    let container = engine.containers(&Stack::service("database"))?;
    let container = container
        .first()
        .context("the database does not run on the first machine")?;
    let file = stage.machines.folder().join("next_database_url");
    fs::write(&file, format!("{url}\n"))?;
    let text = engine.docker_from(
        &file,
        ["exec", "--interactive", container, "rotate-password"],
    )?;
    println!("{}", text.lines().next().unwrap_or_default());
    Ok(())
}

/// Whether the API refuses these credentials.
fn is_refused(stage: &Stage, credentials: &str) -> anyhow::Result<bool> {
    let mut curl = stage.machines.outside("curl")?;
    curl.args("--silent --output /dev/null --write-out %{http_code} --user".split(' '));
    curl.args([credentials, &format!("{}/msgs?no=1", stage.load.url)]);
    Ok(output(&mut curl)? == "403")
}
