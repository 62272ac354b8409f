//! Alerts and dashboards before a Prometheus that really scrapes the suite: every expression is
//! evaluated, shows something where it should, and the page goes out when it is to.

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};
use serde_json::{Value, json};

use super::{Panel, fill_in, panels};
use crate::{
    cargo::{find_program, workspace},
    http::Client,
    process::Fleet,
    steps::{self, Outcome},
    suite::{Binaries, SERVICES, free_address, wait_until_serving},
};

/// How long anything here may take that is to happen at once.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long a fresh Prometheus may take to page about 2 % of errors.
const PAGED_WITHIN: Duration = Duration::from_mins(3);

/// The page about it.
const PAGE: &str = "ApiErrorBudgetBurnsFast";

/// Metrics of programs that are not here, by their beginnings.
const ELSEWHERE: [&str; 7] = [
    "node_",
    "pg_",
    "haproxy_",
    "probe_",
    "otelcol_",
    "alertmanager_",
    "loki_",
];

/// A suite of processes as in a Swarm, and where each tells its metrics.
struct Watched {
    fleet: Fleet,
    api: SocketAddr,
    pages: SocketAddr,
    admin: Vec<(&'static str, SocketAddr)>,
}

/// Starts the suite and Prometheus, and asks for everything that is shown or alerted on.
pub(super) fn run(programs: impl FnOnce() -> anyhow::Result<Binaries>) -> anyhow::Result<Outcome> {
    let Some(prometheus) = find_program("prometheus") else {
        let reason = "prometheus is not installed: it is in the package of its name";
        return Ok(Outcome::Skipped(reason.to_owned()));
    };
    let binaries = programs()?;
    let folder = tempfile::tempdir().context("cannot create a folder")?;
    let mut watched = Watched::start(&binaries, folder.path())?;

    let server = Server::start(&mut watched, &prometheus, &folder.path().join("first"))?;
    let api = format!("http://{}", watched.api);
    let crowd = ["--rate", "50", "--for", "15s", "--reads", "30"];
    let mut simulate = binaries.suite();
    simulate.args(["simulate", &api, "--timeout", "3s", "--quiet"]);
    steps::run(simulate.args(crowd))?;
    watched.visit_pages()?;
    server.wait_for_scrapes(&mut watched.fleet)?;
    server.evaluate_rules()?;
    server.evaluate_panels(|panel| !panel.tells_of_failures())?;
    watched.fleet.stop("prometheus")?;

    watched.fleet.stop("follower")?;
    // Without any history, as after a loss of its disk.
    let server = Server::start(&mut watched, &prometheus, &folder.path().join("second"))?;
    let took = server.page(&mut watched)?;
    println!("2 % of errors: paged after {} s", took.as_secs());
    // What fails here is a call, and it fails in the gateway: the service is away.
    server.evaluate_panels(|panel| {
        panel.tells_of_failures() && !panel.expression.contains("rpc_server_")
    })?;
    Ok(Outcome::Passed)
}

impl Watched {
    fn start(binaries: &Binaries, folder: &Path) -> anyhow::Result<Self> {
        let mut fleet = Fleet::new()?;
        let mut admin = Vec::new();
        let mut gateway = binaries.command("minitwit-gateway");
        for name in SERVICES {
            let url = format!("sqlite:{}", folder.join(format!("{name}.db")).display());
            binaries.migrate(name, &url)?;
            let (address, metrics) = (free_address()?, free_address()?);
            let mut service = binaries.service(name, &url);
            service
                .env("LISTEN", address.to_string())
                .env("LISTEN_ADMIN", metrics.to_string());
            fleet.start(name, &mut service)?;
            gateway.env(
                format!("{}_SERVICE", name.to_uppercase()),
                address.to_string(),
            );
            admin.push((name, metrics));
        }
        let (api, pages, metrics) = (free_address()?, free_address()?, free_address()?);
        gateway
            .env("LISTEN_API", api.to_string())
            // These programs are not optimised; what is asked is what is seen of them.
            .env("API_BUDGET_MS", "2000")
            .env("LISTEN_PAGES", pages.to_string())
            .env("LISTEN_ADMIN", metrics.to_string());
        fleet.start("gateway", &mut gateway)?;
        admin.push(("gateway", metrics));
        wait_until_serving(&mut fleet, api)?;
        Ok(Self {
            fleet,
            api,
            pages,
            admin,
        })
    }

    fn visit_pages(&self) -> anyhow::Result<()> {
        let mut client = Client::new(self.pages);
        for path in ["/public", "/login", "/-/status"] {
            let answer = client.get(path)?;
            ensure!(answer.status == 200, "{path} answers {}", answer.status);
        }
        Ok(())
    }
}

/// Fifty requests, one of which needs the service that is away.
fn fail_one_in_fifty(client: &mut Client, user: &str) -> anyhow::Result<()> {
    for _ in 0..49 {
        let answer = client.get("/latest")?;
        ensure!(answer.status == 200, "/latest answers {}", answer.status);
    }
    let answer = client.get(&format!("/fllws/{user}"))?;
    ensure!(answer.status >= 500, "a service that is away is no error");
    Ok(())
}

/// A Prometheus that scrapes the suite with the rules that are deployed.
struct Server(SocketAddr);

impl Server {
    fn start(watched: &mut Watched, program: &Path, folder: &Path) -> anyhow::Result<Self> {
        fs::create_dir_all(folder)?;
        let address = free_address()?;
        let deployed = fs::read_to_string(workspace().join("ops/prometheus/prometheus.yml"))?;
        let mut jobs = Vec::new();
        for (job, target) in &watched.admin {
            ensure!(
                deployed.contains(&format!("job_name: {job}\n")),
                "ops/prometheus/prometheus.yml has no job {job}"
            );
            jobs.push(json!({
                "job_name": job, "static_configs": [{"targets": [target.to_string()]}],
            }));
        }
        let rules = workspace().join("ops/prometheus/rules/*.yml");
        let config = json!({
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [rules],
            "scrape_configs": jobs,
        });
        // JSON is YAML.
        fs::write(folder.join("prometheus.yml"), config.to_string())?;
        let mut command = Command::new(program);
        command
            .arg(format!("--web.listen-address={address}"))
            .arg(format!("--storage.tsdb.path={}", folder.display()))
            .arg(format!("--config.file={}/prometheus.yml", folder.display()));
        watched.fleet.start("prometheus", &mut command)?;
        let server = Self(address);
        let mut ready = || server.get("/-/ready").is_ok().then_some(());
        watched.fleet.wait_for(PATIENCE, &mut ready)?;
        Ok(server)
    }

    /// Waits until what has happened is recorded, twice, so that there is a rate of it.
    fn wait_for_scrapes(&self, fleet: &mut Fleet) -> anyhow::Result<()> {
        let now = self.query("time()")?;
        let began = now["result"][1].as_str().context("no time")?;
        let seen = format!("min(min_over_time(timestamp(up)[3s:1s])) > {began}");
        let mut recorded = || {
            let answer = self.query(&seen).ok()?;
            let found = answer["result"].as_array()?;
            (!found.is_empty()).then_some(())
        };
        fleet.wait_for(PATIENCE, &mut recorded)
    }

    /// Evaluates every rule; each stands on metrics that are there.
    fn evaluate_rules(&self) -> anyhow::Result<()> {
        let mut wrong = Vec::new();
        let rules = self.get("/api/v1/rules")?;
        let rules: Vec<&Value> = list(&rules["data"]["groups"])
            .flat_map(|group| list(&group["rules"]))
            .collect();
        for rule in &rules {
            if rule["health"] != "ok" {
                wrong.push(format!("the rule {} is {}", rule["name"], rule["health"]));
            }
            self.alerts_on_what_is_there(rule, &mut wrong)?;
        }
        ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
        ensure!(!rules.is_empty(), "there are no rules");
        println!("{} rules", rules.len());
        Ok(())
    }

    /// Evaluates every panel; those that are to show something do.
    fn evaluate_panels(&self, shows: impl Fn(&Panel) -> bool) -> anyhow::Result<()> {
        let mut empty = Vec::new();
        let mut showing = 0;
        let panels = panels()?;
        for panel in &panels {
            let answer = self
                .query(&fill_in(&panel.expression))
                .with_context(|| format!("{}: {}", panel.name, panel.expression))?;
            if list(&answer["result"]).next().is_some() {
                showing += 1;
            } else if shows(panel) && !panel.is_of_others() {
                empty.push(format!(
                    "{} shows nothing: {}",
                    panel.name, panel.expression
                ));
            }
        }
        ensure!(empty.is_empty(), "{}", empty.join("\n"));
        println!("{} expressions, {showing} show something", panels.len());
        Ok(())
    }

    /// An alert on a metric that is misspelt is one that never fires.
    fn alerts_on_what_is_there(&self, rule: &Value, wrong: &mut Vec<String>) -> anyhow::Result<()> {
        let query = rule["query"].as_str().context("a rule without query")?;
        for metric in metrics_of(query) {
            if ELSEWHERE.iter().any(|other| metric.starts_with(other)) {
                continue;
            }
            let answer = self.query(&format!("present_over_time({metric}[5m])"))?;
            if list(&answer["result"]).next().is_none() {
                wrong.push(format!("{}: there is no {metric}", rule["name"]));
            }
        }
        Ok(())
    }

    /// Lets one request in fifty fail until the page goes out; tells how long that took.
    fn page(&self, watched: &mut Watched) -> anyhow::Result<Duration> {
        let mut client = Client::new(watched.api);
        let body = r#"{"username":"watched","email":"watched@example.org","pwd":"secret"}"#;
        let answer = client.post("/register", body)?;
        ensure!(answer.status == 204, "/register answers {}", answer.status);
        let began = Instant::now();
        while began.elapsed() < PAGED_WITHIN {
            watched.fleet.check()?;
            fail_one_in_fifty(&mut client, "watched")?;
            let alerts = self.get("/api/v1/alerts")?;
            let pages =
                |alert: &Value| alert["labels"]["alertname"] == PAGE && alert["state"] == "firing";
            if list(&alerts["data"]["alerts"]).any(pages) {
                return Ok(began.elapsed());
            }
        }
        bail!("{PAGE} does not fire within {PAGED_WITHIN:?}")
    }

    fn query(&self, expression: &str) -> anyhow::Result<Value> {
        let mut answer = self.get(&format!("/api/v1/query?query={}", encoded(expression)))?;
        Ok(answer["data"].take())
    }

    /// By HTTP/1.0: without it a long answer comes in chunks.
    fn get(&self, path: &str) -> anyhow::Result<Value> {
        let mut stream = TcpStream::connect(self.0)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        write!(stream, "GET {path} HTTP/1.0\r\nHost: {}\r\n\r\n", self.0)?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (head, body) = answer.split_once("\r\n\r\n").context("no HTTP")?;
        let status = head.lines().next().unwrap_or_default();
        ensure!(status.contains(" 200 "), "{status}: {body}");
        // Not every answer of it is JSON.
        Ok(serde_json::from_str(body).unwrap_or_default())
    }
}

impl Panel {
    /// Whether it stands on programs that are not here.
    fn is_of_others(&self) -> bool {
        ELSEWHERE.iter().any(|name| self.expression.contains(name))
    }

    /// Whether it is empty as long as all is well.
    fn tells_of_failures(&self) -> bool {
        [r#""5..""#, r#"!="OK""#, "INTERNAL|"]
            .iter()
            .any(|failure| self.expression.contains(failure))
    }
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// The names of metrics in an expression: what stands before a brace or a bracket, or is compared.
fn metrics_of(expression: &str) -> BTreeSet<&str> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let mut found = BTreeSet::new();
    let mut rest = expression;
    while let Some(begin) = rest.find(is_name) {
        rest = &rest[begin..];
        let length = rest.find(|c| !is_name(c)).unwrap_or(rest.len());
        let (word, after) = rest.split_at(length);
        let is_selected = after.starts_with(['{', '[']);
        let is_ours = word.starts_with("minitwit") || word.starts_with("slo:");
        if is_selected && word.contains('_') || is_ours {
            found.insert(word);
        }
        rest = after;
        // What stands between quotes is no metric.
        if let Some(quoted) = rest
            .strip_prefix("=\"")
            .or_else(|| rest.strip_prefix("=~\""))
        {
            rest = quoted.split_once('"').map_or("", |(_, after)| after);
        }
    }
    found
}

fn encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut encoded, byte| {
        let _ = match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => write!(encoded, "{}", char::from(byte)),
            _ => write!(encoded, "%{byte:02X}"),
        };
        encoded
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_metrics_of_an_expression_are_found() {
        let found = metrics_of(
            r#"sum by (job) (rate(a_total{b_c=~"d_e[5]"}[5m])) > 1 and minitwit_latest == 0"#,
        );
        assert_eq!(found, BTreeSet::from(["a_total", "minitwit_latest"]));
    }
}
