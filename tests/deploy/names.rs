//! Dashboard and rules name metrics and labels that exist, and each alert says what to do. The table
//! of docs/operations.md is the truth about both.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{read, read_all};

const RULES: &str = "deploy/prometheus/rules.yaml";
/// What Prometheus adds.
const COMMON: [&str; 3] = ["instance", "job", "le"];
/// What the metrics of refreshers and providers share. The table says which have others `alone`.
const OWNER: [&str; 2] = ["issuer", "client"];

/// Each metric's row.
fn table() -> BTreeMap<String, String> {
    let docs = read("docs/operations.md");
    let rows = docs.lines().filter_map(|line| {
        let name = line.strip_prefix("| `")?.split('`').next()?;
        name.starts_with("token_refresh_").then(|| (name.to_owned(), line.to_owned()))
    });
    rows.collect()
}

/// The kinds of errors, which the table does not repeat.
fn kinds() -> BTreeSet<String> {
    use tower_token_refresh::RefreshErrorKind as Kind;
    let kinds = [
        Kind::NoTokens,
        Kind::SessionExpired,
        Kind::LoggedOut,
        Kind::SubjectChanged,
        Kind::Unavailable,
        Kind::WaitTimeout,
        Kind::InvalidResponse,
        Kind::Misconfigured,
        Kind::Internal,
    ];
    kinds.iter().map(|kind| kind.name().to_owned()).collect()
}

fn is_of_name(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || matches!(letter, '_' | ':')
}

/// The names in a text that are a metric's or a recorded one's, and what follows each.
fn names(text: &str) -> Vec<(&str, &str)> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find("token_refresh_") {
        let begin = rest[..at].rfind(|letter| !is_of_name(letter)).map_or(0, |before| before + 1);
        let end = rest[at..].find(|letter| !is_of_name(letter)).map_or(rest.len(), |end| at + end);
        found.push((&rest[begin..end], &rest[end..]));
        rest = &rest[end..];
    }
    found
}

/// The metric that a series belongs to: histograms have three kinds of them.
fn metric<'a>(name: &'a str, table: &BTreeMap<String, String>) -> Option<&'a str> {
    let parts = ["_bucket", "_count", "_sum"].iter().find_map(|part| name.strip_suffix(part));
    match parts {
        Some(histogram) => table.get(histogram)?.contains("| histogram |").then_some(histogram),
        None => (!table.get(name)?.contains("| histogram |")).then_some(name),
    }
}

/// The labels in braces after a name, with their values.
fn labels(after: &str) -> Vec<(String, String)> {
    let Some(braces) = after.strip_prefix('{').and_then(|rest| rest.split('}').next()) else {
        return Vec::new();
    };
    let mut labels = Vec::new();
    let mut rest = braces;
    while let Some((label, quoted)) = rest.split_once('"') {
        let (value, next) = quoted.split_once('"').expect("a closing quote");
        let label = label.trim_matches(|letter: char| !is_of_name(letter));
        labels.push((label.to_owned(), value.to_owned()));
        rest = next;
    }
    labels
}

fn has_owner(row: &str) -> bool {
    let labels = row.split(" | ").nth(2).expect("a cell of labels");
    labels != "none" && !labels.contains("alone")
}

fn check(file: &str, text: &str, recorded: &BTreeSet<&str>) -> BTreeSet<String> {
    let (table, kinds) = (table(), kinds());
    let backends = &table["token_refresh_lock_acquire_duration_seconds"];
    let requests = ["refresh", "exchange", "login", "service"];
    let mut used = BTreeSet::new();
    for (name, after) in names(text) {
        if name.contains(':') {
            assert!(recorded.contains(name), "{file}: no rule records {name}");
            continue;
        }
        let metric = metric(name, &table).unwrap_or_else(|| panic!("{file}: there is no {name}"));
        used.insert(metric.to_owned());
        let row = &table[metric];
        for (label, value) in labels(after) {
            if COMMON.contains(&&*label) || has_owner(row) && OWNER.contains(&&*label) {
                continue;
            }
            assert!(row.contains(&format!("`{label}`")), "{file}: {name} has no label {label}");
            for value in value.split('|').filter(|value| !value.ends_with(".*")) {
                let known = row.contains(&format!("`{value}`"))
                    || row.contains("kind of the error") && kinds.contains(value)
                    || label == "requests" && requests.contains(&value)
                    || label == "backend" && backends.contains(&format!("`{value}`"));
                assert!(known, "{file}: {name} has no {label}=\"{value}\"");
            }
        }
    }
    used
}

/// The names that the rules record.
fn recorded(rules: &str) -> BTreeSet<&str> {
    rules.lines().filter_map(|line| line.trim().strip_prefix("- record: ")).collect()
}

fn alerts(rules: &str) -> Vec<(&str, &str)> {
    let alerts = rules.split("- alert: ").skip(1);
    alerts.map(|alert| alert.split_once('\n').expect("more than a name")).collect()
}

fn panels() -> Vec<Value> {
    let mut dashboard: Value =
        serde_json::from_str(&read("deploy/grafana/dashboard.json")).expect("JSON");
    serde_json::from_value(dashboard["panels"].take()).expect("panels")
}

/// The queries of the dashboard, with their panel's title.
pub fn queries() -> Vec<(String, String)> {
    let mut queries = Vec::new();
    for panel in panels() {
        let title = panel["title"].as_str().expect("a title");
        for target in panel["targets"].as_array().into_iter().flatten() {
            queries.push((title.to_owned(), target["expr"].as_str().expect("a query").to_owned()));
        }
    }
    queries
}

#[test]
fn the_rules_name_metrics_and_labels_that_exist() {
    let rules = read(RULES);
    assert!(check(RULES, &rules, &recorded(&rules)).len() > 10);
    for (file, text) in read_all("deploy/prometheus/tests", ".yaml") {
        check(&file, &text, &recorded(&rules));
    }
}

#[test]
fn the_dashboard_names_metrics_and_labels_that_exist_and_shows_them_all() {
    let rules = read(RULES);
    let recorded = recorded(&rules);
    let mut shown = BTreeSet::new();
    for (title, query) in queries() {
        let used = check(&title, &query, &recorded);
        let derived = names(&query).iter().any(|(name, _)| name.contains(':'));
        assert!(derived || !used.is_empty() || query.contains("up{"), "{title}: {query}");
        shown.extend(used);
    }
    let all: BTreeSet<_> = table().into_keys().collect();
    assert_eq!(all.difference(&shown).collect::<Vec<_>>(), Vec::<&String>::new());
}

/// Lines that differ by a label say so in their name. A stat over a range of time would go on showing
/// the last number that was one, long after nothing is measured any more.
#[test]
fn each_panel_has_a_unit_each_line_a_name_of_its_own_and_a_stat_is_of_now() {
    for panel in panels().iter().filter(|panel| panel["type"] != "row") {
        let title = &panel["title"];
        assert!(panel["fieldConfig"]["defaults"]["unit"].is_string(), "{title}");
        for target in panel["targets"].as_array().expect("targets") {
            let (query, name) = (target["expr"].as_str(), target["legendFormat"].as_str());
            let (query, name) = (query.expect("a query"), name.expect("a name"));
            if panel["type"] == "stat" {
                assert_eq!(target["instant"], true, "{title}");
                continue;
            }
            assert!(!name.is_empty(), "{title}");
            let by = query.split("by (").nth(1).and_then(|rest| rest.split(')').next());
            let labels =
                by.into_iter().flat_map(|by| by.split(", ")).filter(|label| *label != "le");
            for label in labels {
                assert!(
                    name.contains(&format!("{{{{{label}}}}}")),
                    "{title}: {name} lacks {label}"
                );
            }
        }
    }
}

#[test]
fn a_name_that_does_not_exist_is_found() {
    let table = table();
    for wrong in
        ["token_refresh_flights", "token_refresh_wait_seconds", "token_refresh_served_total_count"]
    {
        assert_eq!(metric(wrong, &table), None, "{wrong}");
    }
    for wrong in [
        r#"rate(token_refresh_flights_total{outcome="lost_raec"}[5m])"#,
        r#"rate(token_refresh_api_401_total{client=~"$client"}[5m])"#,
        r#"token_refresh_locks_held{issuer="https://id.example"}"#,
        r#"token_refresh_dropped_saves_total{issuer="https://id.example"}"#,
    ] {
        let found = std::panic::catch_unwind(|| check("test", wrong, &BTreeSet::new()));
        assert!(found.is_err(), "{wrong}: a wrong label or value is found as well");
    }
}

#[test]
fn each_alert_says_what_users_see_how_bad_it_is_and_where_to_read_on() {
    let rules = read(RULES);
    for (name, alert) in alerts(&rules) {
        let anchor = format!("runbook_url: docs/runbook.md#{}\n", name.to_lowercase());
        for part in ["summary: ", "description: >-\n", "labels: {severity: ", &anchor] {
            assert!(alert.contains(part), "{name} lacks {part}");
        }
        let severity = alert.split("severity: ").nth(1).expect("it has one");
        assert!(severity.starts_with("critical}") || severity.starts_with("warning}"), "{name}");
    }
}

#[test]
fn each_alert_has_a_heading_in_the_runbook() {
    let runbook = read("docs/runbook.md");
    let headings: BTreeSet<_> =
        runbook.lines().filter_map(|line| line.strip_prefix("## ")).map(str::trim).collect();
    let rules = read(RULES);
    for (name, _) in alerts(&rules) {
        assert!(headings.contains(name), "docs/runbook.md has no heading {name}");
    }
}

#[test]
fn each_alert_fires_in_a_test_of_promtool() {
    let tests: String =
        read_all("deploy/prometheus/tests", ".yaml").into_iter().map(|(_, text)| text).collect();
    let rules = read(RULES);
    for (name, _) in alerts(&rules) {
        assert!(tests.contains(&format!(r#"alertname="{name}""#)), "{name} is not tested");
    }
}

/// Prometheus itself makes `up`. All others are driven by this crate's metrics.
#[test]
fn each_alert_about_a_metric_of_this_crate_has_a_provoked_fault() {
    let faults = [read("tests/deploy/alerts.rs"), read("tests/deploy/faults.rs")].concat();
    let rules = read(RULES);
    for (name, alert) in alerts(&rules) {
        let expression = alert.split("labels: ").next().expect("an expression");
        if !names(expression).is_empty() {
            let short = name.strip_prefix("TokenRefresh").expect("the prefix of all");
            assert!(faults.contains(&format!("\"{short}\"")), "{name}: nobody provokes it");
        }
    }
}
