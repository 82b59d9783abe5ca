//! What a Prometheus server would read.

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

/// A recorder for everything that this test's thread measures from now on.
pub struct Scrape(PrometheusHandle);

impl Scrape {
    pub fn of_this_thread() -> Self {
        Self::made_by(PrometheusBuilder::new())
    }

    /// The same with the histograms of this builder.
    pub fn made_by(builder: PrometheusBuilder) -> Self {
        let recorder = builder.build_recorder();
        let handle = recorder.handle();
        let recorder: &'static _ = Box::leak(Box::new(recorder));
        // The recorder stays for as long as the test's thread.
        #[expect(clippy::mem_forget, reason = "its guard would take it away again")]
        std::mem::forget(metrics::set_default_local_recorder(recorder));
        Self(handle)
    }

    pub fn text(&self) -> String {
        self.0.render()
    }

    /// The sum of the series with this name and these labels.
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        value(&self.text(), name, labels)
    }

    /// How many series there are.
    pub fn series(&self) -> usize {
        self.text().lines().filter(|line| !line.is_empty() && !line.starts_with('#')).count()
    }
}

/// The sum of the series of a scrape with this name and these labels. Of a histogram, name
/// `…_count` or `…_sum`.
pub fn value(scrape: &str, name: &str, labels: &[(&str, &str)]) -> f64 {
    let of_name = scrape
        .lines()
        .filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' '])));
    let labelled = of_name.filter(|line| {
        labels.iter().all(|(label, value)| line.contains(&format!("{label}=\"{value}\"")))
    });
    labelled
        .map(|line| {
            let (_, value) = line.rsplit_once(' ').expect("a value");
            value.parse::<f64>().unwrap_or_else(|_| panic!("{line}"))
        })
        .sum()
}
