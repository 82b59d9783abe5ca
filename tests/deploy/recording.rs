//! Scrapes of a test, every 15 seconds of its time, and the judge of what would have fired on them.

use std::{
    collections::BTreeMap, fmt::Write as _, fs, path::Path, process::Command, time::Duration,
};

use support::scrape::Scrape;

use super::bff_metrics;

/// As deploy/prometheus/prometheus.yaml says.
pub const SCRAPED_EVERY: Duration = Duration::from_secs(15);
const OWN: &str = r#"job="bff",instance="a:9464""#;
const FIRING: &str = r#"group by (alertname) (ALERTS{alertstate="firing"})"#;

pub struct Recording {
    scrape: Scrape,
    series: BTreeMap<String, Vec<Option<String>>>,
    scrapes: usize,
}

/// How many scrapes there were until then.
#[derive(Clone, Copy)]
pub struct Moment(usize);

impl Recording {
    /// What this test's thread measures, with the buckets of the bff. Begin it before the refresher is built.
    pub fn of_this_thread() -> Self {
        let scrape = Scrape::made_by(bff_metrics::builder().expect("some buckets"));
        Self { scrape, series: BTreeMap::new(), scrapes: 0 }
    }

    /// One scrape.
    pub fn take(&mut self) {
        let text = self.scrape.text();
        for line in text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let (series, value) = line.rsplit_once(' ').expect("a value");
            let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
            let comma = if labels == "}" { "" } else { "," };
            let values = self.series.entry(format!("{name}{{{OWN}{comma}{labels}")).or_default();
            values.resize(self.scrapes, None);
            values.push(Some(value.to_owned()));
        }
        self.scrapes += 1;
    }

    pub fn now(&self) -> Moment {
        Moment(self.scrapes)
    }

    /// promtool says that nothing fires before the fault, that these alerts fire at the moment
    /// `during`, and that at the end all is quiet.
    pub fn judge(&self, before: Moment, during: Moment, alerts: &[&str]) {
        let mut file = self.input();
        expect(&mut file, FIRING, before, "[]");
        for alert in alerts {
            let alert = format!(r#"alertname="TokenRefresh{alert}""#);
            let query = FIRING.replace("alertstate", &format!("{alert},alertstate"));
            expect(&mut file, &query, during, &format!("[{{labels: '{{{alert}}}', value: 1}}]"));
        }
        expect(&mut file, FIRING, self.now(), "[]");
        promtool(&["test", "rules"], &file);
    }

    /// promtool says that nothing has fired at any time.
    pub fn judge_quiet(&self) {
        let mut file = self.input();
        let ever = format!("max_over_time({FIRING}[24h:1m])");
        expect(&mut file, &ever, self.now(), "[]");
        promtool(&["test", "rules"], &file);
    }

    /// The scrapes as promtool reads them.
    fn input(&self) -> String {
        let mut file = String::new();
        let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/prometheus/rules.yaml");
        let every = SCRAPED_EVERY.as_secs();
        writeln!(file, "rule_files: [{rules:?}]\nevaluation_interval: {every}s").unwrap();
        writeln!(file, "tests:\n- interval: {every}s\n  input_series:").unwrap();
        writeln!(file, "  - {{series: 'up{{{OWN}}}', values: 1x{}}}", self.scrapes).unwrap();
        for (series, values) in &self.series {
            let values = values.iter().map(|value| value.as_deref().unwrap_or("_"));
            let values: Vec<_> = values.collect();
            writeln!(file, "  - series: '{series}'\n    values: {}", values.join(" ")).unwrap();
        }
        writeln!(file, "  promql_expr_test:").unwrap();
        file
    }
}

fn expect(file: &mut String, query: &str, at: Moment, samples: &str) {
    let at = (at.0 as u64 - 1) * SCRAPED_EVERY.as_secs();
    writeln!(file, "  - expr: {query}\n    eval_time: {at}s\n    exp_samples: {samples}").unwrap();
}

/// Runs promtool on a file with this content.
pub fn promtool(arguments: &[&str], content: &str) {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("alerts");
    fs::create_dir_all(&folder).expect("a folder");
    let test = std::thread::current().name().expect("a test's name").replace("::", "-");
    let file = folder.join(format!("{test}.yaml"));
    fs::write(&file, content).expect("written");
    let ended = Command::new("promtool").args(arguments).arg(&file).output();
    let ended = ended.expect("promtool is installed: see tests/services/run");
    let said = [ended.stdout, ended.stderr].concat();
    assert!(ended.status.success(), "{}\n{}", file.display(), String::from_utf8_lossy(&said));
}
