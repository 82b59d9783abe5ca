use std::collections::BTreeSet;

use super::*;

#[test]
fn each_metric_is_named_as_prometheus_names_its_kind() {
    let names: BTreeSet<_> = ALL.iter().map(|metric| metric.name).collect();
    assert_eq!(names.len(), ALL.len());
    for Metric { name, kind, .. } in ALL {
        assert!(name.starts_with("token_refresh_"), "{name}");
        assert_eq!(name.ends_with("_total"), matches!(kind, Kind::Counter), "{name}");
        let in_seconds = matches!(kind, Kind::Histogram(Unit::Seconds));
        assert_eq!(name.ends_with("_seconds"), in_seconds, "{name}");
    }
}

fn rows() -> Vec<(&'static Metric, &'static str)> {
    let docs = include_str!("../../../docs/operations.md");
    let rows: Vec<_> = docs.lines().filter(|line| line.starts_with("| `token_refresh_")).collect();
    assert_eq!(rows.len(), ALL.len());
    ALL.iter().zip(rows).collect()
}

#[test]
fn the_documentation_has_each_metric_with_its_meaning() {
    for (Metric { name, kind, what, .. }, row) in rows() {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram(_) => "histogram",
        };
        let start = format!("| `{name}` | {kind} |");
        assert!(row.starts_with(&start) && row.contains(what), "{row}\nshould be {start} {what}");
    }
}

/// `tests/deploy` takes them from there.
#[test]
fn the_documentation_has_the_labels_of_each_metric_with_their_values() {
    for (metric, row) in rows() {
        let cell = row.split(" | ").nth(2).expect("a cell of labels");
        let quoted: BTreeSet<_> = cell.split('`').skip(1).step_by(2).collect();
        let (label, values) = metric.label.unwrap_or(("", &[]));
        let mut known: BTreeSet<_> = values.iter().copied().chain([label]).collect();
        known.extend(match metric.of {
            Of::Requests => Some("requests"),
            Of::Lock => Some("backend"),
            Of::Refresher | Of::Provider | Of::Process => None,
        });
        known.remove("");
        let backends = BTreeSet::from(["local", "redis", "postgres", "sqlite"]);
        let unknown: Vec<_> = quoted.difference(&known).copied().collect();
        assert!(unknown.iter().all(|word| backends.contains(word)), "{unknown:?}: {row}");
        let has_them_all = known.is_subset(&quoted) || cell.contains("the same");
        assert!(has_them_all, "{known:?}: {row}");
        let tells_of_kinds = cell.contains("the kind of the error") || cell.contains("the same");
        assert!(tells_of_kinds || !metric.or_kind, "{row}");
        let has_no_owner = matches!(metric.of, Of::Lock | Of::Process);
        assert_eq!(cell.contains("alone") || cell == "none", has_no_owner, "{row}");
    }
}
