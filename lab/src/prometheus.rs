//! Alerts and dashboards with a Prometheus that scrapes the suite. Every expression is evaluated and finds
//! series where it should, and the page is sent when it should be.

use std::{
    collections::BTreeSet,
    fs,
    net::SocketAddr,
    path::Path,
    process::{Command, ExitCode},
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};
use serde_json::{Value, json};
use xtask::{
    dashboards::{Panel, fill_in, panels},
    find_program, workspace,
};

use crate::{
    fleet::{Build, DatabaseUrls, Fleet, Plan, Process, Programs, Role, Suite, free_address},
    http::Client,
};

/// Maximum time of a step that needs no waiting.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Maximum time until a new Prometheus pages about 2 % of errors.
const PAGE_TIMEOUT: Duration = Duration::from_mins(3);

/// Alert about 2 % of errors.
const PAGE: &str = "ApiErrorBudgetBurnsFast";

/// Prefixes of metrics of programs that do not run in this test.
const FOREIGN_METRICS: [&str; 7] = [
    "node_",
    "pg_",
    "haproxy_",
    "probe_",
    "otelcol_",
    "alertmanager_",
    "loki_",
];

/// Starts the suite and Prometheus, and evaluates all alerts and dashboards.
pub(crate) async fn run(build: &Build) -> anyhow::Result<ExitCode> {
    let prometheus = find_program("prometheus")
        .context("prometheus is not installed: `apt-get install prometheus`")?;
    let programs = build.programs("dev")?;
    let fleet = Fleet::new()?;
    let folder = fleet.folder();
    let suite = start_suite(&fleet, &programs).await?;

    let server = Server::start(&suite, &prometheus, &folder.join("first")).await?;
    let mut simulator = programs.minitwit();
    simulator.args(["simulate", &format!("http://{}", suite.api())]);
    simulator.args(["--rate", "50", "--for", "15s", "--reads", "30"]);
    xtask::run(simulator.args(["--timeout", "3s", "--quiet"]))?;
    visit_pages(&suite).await?;
    server.wait_for_scrapes().await?;
    server.evaluate_rules().await?;
    server
        .evaluate_panels(|panel| !shows_failures(panel))
        .await?;
    drop(server);

    suite.first(Role::Follower)?.process.kill()?;
    // A Prometheus without history, as after the loss of its disk.
    let server = Server::start(&suite, &prometheus, &folder.join("second")).await?;
    let time = server.wait_for_page(&suite).await?;
    println!("2 % of errors: paged after {} s", time.as_secs());
    // The service is unavailable, so its calls fail in the gateway and not in the service.
    let is_expected =
        |panel: &Panel| shows_failures(panel) && !panel.expression.contains("rpc_server_");
    server.evaluate_panels(is_expected).await?;
    Ok(ExitCode::SUCCESS)
}

/// Starts a replica of each program on SQLite, as in a Swarm.
async fn start_suite(fleet: &std::sync::Arc<Fleet>, programs: &Programs) -> anyhow::Result<Suite> {
    let mut databases = DatabaseUrls::new();
    for role in Role::SERVICES {
        let file = fleet.folder().join(format!("{}.db", role.name()));
        let url = format!("sqlite:{}", file.display());
        programs.migrate(role, &url)?;
        databases.insert(role, url);
    }
    let plan = Plan {
        // Programs without full optimisation are slow, and this test is not about time.
        gateway_environment: vec![("API_BUDGET_MS", "2000".to_owned())],
        ..Plan::with_replicas(1)
    };
    let suite = Suite::start(fleet, programs, databases, &plan).await?;
    suite.wait_until_serving().await?;
    Ok(suite)
}

async fn visit_pages(suite: &Suite) -> anyhow::Result<()> {
    let pages = suite.first(Role::Gateway)?.pages;
    let pages = pages.context("a gateway has pages")?;
    for path in ["/public", "/login", "/-/status"] {
        let status = Client::new(TIMEOUT).get(pages, path).await?.status;
        ensure!(status == 200, "{path}: status {status}");
    }
    Ok(())
}

/// Sends fifty requests, one of which needs the unavailable service.
async fn fail_one_in_fifty(client: &Client, api: SocketAddr, user: &str) -> anyhow::Result<()> {
    for _ in 0..49 {
        let status = client.get(api, "/latest").await?.status;
        ensure!(status == 200, "/latest: status {status}");
    }
    let status = client.get(api, &format!("/fllws/{user}")).await?.status;
    ensure!(
        status >= 500,
        "/fllws/{user}: status {status} although the follower service is unavailable"
    );
    Ok(())
}

/// A Prometheus that scrapes the suite with the deployed rules.
struct Server {
    process: Process,
    address: SocketAddr,
}

impl Server {
    async fn start(suite: &Suite, program: &Path, folder: &Path) -> anyhow::Result<Self> {
        fs::create_dir_all(folder)?;
        let address = free_address()?;
        let deployed = fs::read_to_string(workspace().join("ops/prometheus/prometheus.yml"))?;
        let mut jobs = Vec::new();
        for replica in suite.replicas() {
            let job = replica.name();
            ensure!(
                deployed.contains(&format!("job_name: {job}\n")),
                "ops/prometheus/prometheus.yml has no job {job}"
            );
            jobs.push(json!({
                "job_name": job, "static_configs": [{"targets": [replica.admin.to_string()]}],
            }));
        }
        let rules = workspace().join("ops/prometheus/rules/*.yml");
        let config = json!({
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [rules],
            "scrape_configs": jobs,
        });
        // Every JSON document is a YAML document.
        fs::write(folder.join("prometheus.yml"), config.to_string())?;
        let mut command = Command::new(program);
        command
            .arg(format!("--web.listen-address={address}"))
            .arg(format!("--storage.tsdb.path={}", folder.display()))
            .arg(format!("--config.file={}/prometheus.yml", folder.display()));
        let process = suite.fleet.start("prometheus", command)?;
        let server = Self { process, address };
        let is_ready = async || server.get("/-/ready").await.ok().map(drop);
        server.process.wait_for(TIMEOUT, is_ready).await?;
        Ok(server)
    }

    /// Waits until every replica is scraped twice from now on, so that there are rates.
    async fn wait_for_scrapes(&self) -> anyhow::Result<()> {
        let now = self.query("time()").await?;
        let start = now["result"][1].as_str().context("no time")?;
        let scraped = format!("min(min_over_time(timestamp(up)[3s:1s])) > {start}");
        let is_scraped = async || {
            let answer = self.query(&scraped).await.ok()?;
            let found = answer["result"].as_array()?;
            (!found.is_empty()).then_some(())
        };
        self.process.wait_for(TIMEOUT, is_scraped).await
    }

    /// Evaluates every rule, and requires that its metrics exist.
    async fn evaluate_rules(&self) -> anyhow::Result<()> {
        let mut wrong = Vec::new();
        let rules = self.get("/api/v1/rules").await?;
        let rules: Vec<&Value> = list(&rules["data"]["groups"])
            .flat_map(|group| list(&group["rules"]))
            .collect();
        for rule in &rules {
            if rule["health"] != "ok" {
                wrong.push(format!("the rule {} is {}", rule["name"], rule["health"]));
            }
            self.find_missing_metrics(rule, &mut wrong).await?;
        }
        ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
        ensure!(!rules.is_empty(), "Prometheus has no rules");
        println!("{} rules", rules.len());
        Ok(())
    }

    /// Evaluates every panel, and requires a result where one is expected.
    async fn evaluate_panels(&self, is_expected: impl Fn(&Panel) -> bool) -> anyhow::Result<()> {
        let mut empty = Vec::new();
        let mut showing = 0;
        let panels = panels()?;
        for panel in &panels {
            let answer = self
                .query(&fill_in(&panel.expression))
                .await
                .with_context(|| format!("{}: {}", panel.name, panel.expression))?;
            if list(&answer["result"]).next().is_some() {
                showing += 1;
            } else if is_expected(panel) && !is_foreign(panel) {
                empty.push(format!(
                    "{} has no result: {}",
                    panel.name, panel.expression
                ));
            }
        }
        ensure!(empty.is_empty(), "{}", empty.join("\n"));
        println!("{} expressions, {showing} have a result", panels.len());
        Ok(())
    }

    /// Finds metrics of a rule that do not exist, because an alert on a misspelt metric never fires.
    async fn find_missing_metrics(
        &self,
        rule: &Value,
        wrong: &mut Vec<String>,
    ) -> anyhow::Result<()> {
        let query = rule["query"].as_str().context("a rule without query")?;
        for metric in metrics_of(query) {
            if FOREIGN_METRICS
                .iter()
                .any(|prefix| metric.starts_with(prefix))
            {
                continue;
            }
            let answer = self
                .query(&format!("present_over_time({metric}[5m])"))
                .await?;
            if list(&answer["result"]).next().is_none() {
                wrong.push(format!(
                    "{}: the metric {metric} does not exist",
                    rule["name"]
                ));
            }
        }
        Ok(())
    }

    /// Lets one request in fifty fail until the page is sent, and returns the time until then.
    async fn wait_for_page(&self, suite: &Suite) -> anyhow::Result<Duration> {
        let client = Client::keeping_connections(TIMEOUT);
        let body = json!({"username": "watched", "email": "watched@example.org", "pwd": "secret"});
        let response = client.post(suite.api(), "/register", &[], &body).await?;
        let status = response.status;
        ensure!(status == 204, "/register: status {status}");
        let start = Instant::now();
        while start.elapsed() < PAGE_TIMEOUT {
            suite.check()?;
            self.process.check()?;
            fail_one_in_fifty(&client, suite.api(), "watched").await?;
            let alerts = self.get("/api/v1/alerts").await?;
            let is_page =
                |alert: &Value| alert["labels"]["alertname"] == PAGE && alert["state"] == "firing";
            if list(&alerts["data"]["alerts"]).any(is_page) {
                return Ok(start.elapsed());
            }
        }
        bail!("{PAGE} does not fire within {PAGE_TIMEOUT:?}")
    }

    async fn query(&self, expression: &str) -> anyhow::Result<Value> {
        let mut parameters = form_urlencoded::Serializer::new(String::new());
        let query = parameters.append_pair("query", expression).finish();
        let mut answer = self.get(&format!("/api/v1/query?{query}")).await?;
        Ok(answer["data"].take())
    }

    /// Reads a path. Some responses of Prometheus are not JSON and become null.
    async fn get(&self, path: &str) -> anyhow::Result<Value> {
        let response = Client::new(TIMEOUT).get(self.address, path).await?;
        let status = response.status;
        ensure!(status == 200, "{path}: status {status} {}", response.text());
        Ok(response.json())
    }
}

/// Whether a panel shows metrics of programs that do not run in this test.
fn is_foreign(panel: &Panel) -> bool {
    let mut prefixes = FOREIGN_METRICS.iter();
    prefixes.any(|prefix| panel.expression.contains(prefix))
}

/// Whether a panel is empty without failures.
fn shows_failures(panel: &Panel) -> bool {
    [r#""5..""#, r#"!="OK""#, "INTERNAL|"]
        .iter()
        .any(|failure| panel.expression.contains(failure))
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// Finds the names of metrics in an expression, before a brace or a bracket or in a comparison.
fn metrics_of(expression: &str) -> BTreeSet<&str> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let mut found = BTreeSet::new();
    let mut rest = expression;
    while let Some(begin) = rest.find(is_name) {
        rest = &rest[begin..];
        let length = rest.find(|c| !is_name(c)).unwrap_or(rest.len());
        let (word, after) = rest.split_at(length);
        let is_selected = after.starts_with(['{', '[']);
        let is_own = word.starts_with("minitwit") || word.starts_with("slo:");
        if is_selected && word.contains('_') || is_own {
            found.insert(word);
        }
        rest = after;
        // Text between quotes is not a metric.
        if let Some(quoted) = rest
            .strip_prefix("=\"")
            .or_else(|| rest.strip_prefix("=~\""))
        {
            rest = quoted.split_once('"').map_or("", |(_, after)| after);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_in_an_expression_are_found() {
        let found = metrics_of(
            r#"sum by (job) (rate(a_total{b_c=~"d_e[5]"}[5m])) > 1 and minitwit_latest == 0"#,
        );
        assert_eq!(found, BTreeSet::from(["a_total", "minitwit_latest"]));
    }
}
