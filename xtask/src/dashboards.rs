//! Queries of the Grafana dashboards.

use std::{fs, path::Path};

use anyhow::{Context, ensure};
use serde_json::Value;

use crate::workspace;

/// A query with which a dashboard's panel reads Prometheus.
#[derive(Debug)]
pub struct Panel {
    /// Title of the dashboard and title of the panel.
    pub name: String,
    /// The query in `PromQL`, with Grafana's variables.
    pub expression: String,
}

/// Reads the Prometheus queries of all dashboards. A panel with several queries is listed several times.
pub fn panels() -> anyhow::Result<Vec<Panel>> {
    let mut panels = Vec::new();
    let folder = workspace().join("ops/grafana/dashboards");
    for entry in fs::read_dir(&folder).with_context(|| format!("no folder {}", folder.display()))? {
        let path = entry?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "json")
        {
            panels.extend(panels_of(&path)?);
        }
    }
    panels.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(panels)
}

fn panels_of(path: &Path) -> anyhow::Result<Vec<Panel>> {
    let text = fs::read_to_string(path)?;
    let dashboard: Value =
        serde_json::from_str(&text).with_context(|| format!("{} is not JSON", path.display()))?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut panels = Vec::new();
    for panel in dashboard["panels"].as_array().into_iter().flatten() {
        for target in panel["targets"].as_array().into_iter().flatten() {
            if target["datasource"]["type"] == "prometheus" {
                let expression = text(&target["expr"]);
                let name = format!("{}: {}", text(&dashboard["title"]), text(&panel["title"]));
                ensure!(
                    !expression.is_empty(),
                    "the panel {name:?} has no expression"
                );
                panels.push(Panel { name, expression });
            }
        }
    }
    ensure!(
        !panels.is_empty(),
        "{} has no panel that queries Prometheus",
        path.display()
    );
    Ok(panels)
}

/// Replaces Grafana's variables in an expression, as Grafana does before it sends a query.
pub fn fill_in(expression: &str) -> String {
    expression
        .replace("$__rate_interval", "1m")
        .replace("$__range", "1h")
        .replace("$job", ".+")
        .replace("$batch", ".+")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filled_in_expression_has_no_variable_of_grafana() {
        let filled = fill_in(r#"sum(rate(a{job=~"$job"}[$__rate_interval]))"#);
        assert!(!filled.contains('$'), "{filled}");
    }
}
