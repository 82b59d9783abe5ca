//! The metrics of a provider in trouble.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, atomic::AtomicU64},
};

use ::metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};

use super::*;
use crate::endpoint::attempt::Aborted;

#[derive(Default)]
struct Counters(Mutex<BTreeMap<String, Arc<AtomicU64>>>);

impl Counters {
    /// Those that have counted something.
    fn all(&self) -> Vec<(String, u64)> {
        let all = self.0.lock().unwrap();
        all.iter()
            .map(|(name, count)| (name.clone(), count.load(std::sync::atomic::Ordering::SeqCst)))
            .filter(|(_, count)| *count > 0)
            .collect()
    }
}

impl Recorder for Counters {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        let labels = key.labels().filter(|label| !["issuer", "client"].contains(&label.key()));
        let labels = labels.map(|label| format!(" {}={}", label.key(), label.value()));
        let name = key.name().to_owned() + &labels.collect::<String>();
        Counter::from_arc(Arc::clone(self.0.lock().unwrap().entry(name).or_default()))
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

#[tokio::test(start_paused = true)]
async fn openings_refusals_and_what_is_sent_again_are_counted_without_a_subject() {
    let counters = Counters::default();
    let _counting = ::metrics::set_default_local_recorder(&counters);
    let script = Script::default();
    let transport = script.answering(|_, turn| match turn {
        0 => answer(400, r#"{"error":"invalid_grant"}"#),
        _ => answer(503, ""),
    });
    let limits = ProviderLimits::default().breaker_failures(2);
    let provider = endpoint(transport)
        .limits(limits)
        .validate()
        .unwrap()
        .with_clock(Clock::new(Hand::default()));
    for token in ["dead", "dead", "a", "b", "c"] {
        assert!(provider.refresh_always(&token.into()).await.is_err());
    }
    let expected = [
        ("token_refresh_breaker_opened_total requests=refresh", 1),
        ("token_refresh_refused_total requests=refresh reason=breaker_open", 2),
        ("token_refresh_refused_total requests=refresh reason=dead_token", 1),
        ("token_refresh_resent_total requests=refresh", 1),
    ];
    assert_eq!(counters.all(), expected.map(|(name, count)| (name.to_owned(), count)));
    assert_eq!(script.sent().len(), 3);
}

/// As where another process has been faster meanwhile.
struct OnlyOnce(bool);

#[async_trait::async_trait]
impl BeforeAttempt for OnlyOnce {
    async fn before_attempt(&mut self) -> Result<(), Aborted> {
        if std::mem::replace(&mut self.0, true) { Err(Aborted) } else { Ok(()) }
    }
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_is_called_off_after_the_pause_is_not_counted_as_sent_again() {
    let counters = Counters::default();
    let _counting = ::metrics::set_default_local_recorder(&counters);
    let script = Script::default();
    let provider = endpoint(script.answering(|_, _| answer(503, ""))).validate().unwrap();
    let answer = provider.refresh(&"a".into(), None, &mut OnlyOnce(false)).await;
    assert!(matches!(answer, Err(RefreshFailure::Aborted)));
    assert_eq!(script.sent().len(), 1);
    assert_eq!(counters.all(), []);
}
