//! Metrics of the `metrics` facade. They cost nearly nothing until the application installs a
//! recorder. [`catalogue`] has all of them, as `docs/operations.md` does.
//!
//! What a refresher or a provider measures carries its issuer and its client, so that two of them
//! in one process can be told apart. Nothing carries a user, a session or a token.

mod catalogue;

/// A metric of this owner, with more labels.
macro_rules! owned {
    ($kind:ident, $metric:expr, $owner:expr $(, $label:literal => $value:expr)*) => {
        metrics::$kind!(
            $metric.name,
            "issuer" => $owner.issuer.clone(),
            "client" => $owner.client.clone()
            $(, $label => $value)*
        )
    };
}

mod outcome;
mod provider;
mod refresher;

use std::time::Duration;

use metrics::SharedString;

use self::catalogue as name;
pub(crate) use self::{
    catalogue::describe,
    outcome::Outcome,
    provider::ProviderMeter,
    refresher::{Meter, ServedFrom},
};

/// Whose it is that is measured. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Owner {
    issuer: SharedString,
    client: SharedString,
}

impl Owner {
    pub(crate) fn new(issuer: &str, client: &str) -> Self {
        let shared = |text: &str| SharedString::from_shared(text.into());
        Self { issuer: shared(issuer), client: shared(client) }
    }

    fn labels(&self) -> [(&'static str, SharedString); 2] {
        [("issuer", self.issuer.clone()), ("client", self.client.clone())]
    }
}

/// A value of the metric's own label. One that the catalogue lacks does not begin at 0.
fn known(metric: name::Metric, value: &'static str) -> &'static str {
    debug_assert!(metric.knows(value), "{} does not know {value}", metric.name);
    value
}

/// From now on sessions are saved by a guarded store.
pub(crate) fn begin_saves() {
    name::DROPPED_SAVES.begin(&[]);
}

/// A session's save that came too late.
pub(crate) fn save_dropped() {
    metrics::counter!(name::DROPPED_SAVES.name).increment(1);
}

/// From now on APIs are called.
pub(crate) fn begin_api_calls() {
    name::API_401.begin(&[]);
}

/// What became of a 401 of an API, as a label.
pub(crate) fn api_refused(outcome: &'static str) {
    let outcome = known(name::API_401, outcome);
    metrics::counter!(name::API_401.name, "outcome" => outcome).increment(1);
}

/// From now on the application asks for tokens of its own.
pub(crate) fn begin_service_tokens() {
    name::SERVICE_TOKENS.begin(&[]);
}

/// How a request for a token of the application itself ended, or for one by token exchange.
pub(crate) fn service_token(outcome: &'static str) {
    let outcome = known(name::SERVICE_TOKENS, outcome);
    metrics::counter!(name::SERVICE_TOKENS.name, "outcome" => outcome).increment(1);
}

/// From now on there is a lock of this backend, whose leases can be lost.
#[cfg(any(feature = "postgres", feature = "redis", feature = "sqlite"))]
pub(crate) fn begin_leases(backend: &'static str) {
    name::begin(name::Of::Lock, &[("backend", backend.into())]);
}

/// How long a lock was waited for, and what came of it.
pub(crate) fn lock_asked_for(backend: &'static str, outcome: &'static str, waited: Duration) {
    let outcome = known(name::LOCK_ACQUIRE, outcome);
    metrics::histogram!(name::LOCK_ACQUIRE.name, "backend" => backend, "outcome" => outcome)
        .record(waited);
}

/// One lock more is held.
pub(crate) fn lock_held(backend: &'static str) {
    metrics::gauge!(name::LOCKS_HELD.name, "backend" => backend).increment(1);
}

/// One lock less is held.
pub(crate) fn lock_let_go(backend: &'static str) {
    metrics::gauge!(name::LOCKS_HELD.name, "backend" => backend).decrement(1);
}

#[cfg(any(feature = "postgres", feature = "redis", feature = "sqlite"))]
pub(crate) fn lease_lost(backend: &'static str) {
    metrics::counter!(name::LEASES_LOST.name, "backend" => backend).increment(1);
}
