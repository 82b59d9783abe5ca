//! Metrics of the `metrics` facade. They cost nearly nothing until the application installs a
//! recorder. [`catalogue`] has all of them, as `docs/operations.md` does.
//!
//! What a refresher or a provider measures carries its issuer and its client, so that two of them
//! in one process can be told apart. Nothing carries a user, a session or a token.

mod catalogue;

/// A metric of this owner, with more labels.
macro_rules! owned {
    ($kind:ident, $name:expr, $owner:expr $(, $label:literal => $value:expr)*) => {
        metrics::$kind!(
            $name,
            "issuer" => $owner.issuer.clone(),
            "client" => $owner.client.clone()
            $(, $label => $value)*
        )
    };
}

mod provider;
mod refresher;

use std::time::Duration;

use metrics::SharedString;

use self::catalogue as name;
pub(crate) use self::{
    catalogue::describe,
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
}

/// A session's save that came too late.
pub(crate) fn save_dropped() {
    metrics::counter!(name::DROPPED_SAVES).increment(1);
}

/// What became of a 401 of an API, as a label.
pub(crate) fn api_refused(outcome: &'static str) {
    metrics::counter!(name::API_401, "outcome" => outcome).increment(1);
}

/// How a request for a token of the application itself ended, or for one by token exchange.
pub(crate) fn service_token(outcome: &'static str) {
    metrics::counter!(name::SERVICE_TOKENS, "outcome" => outcome).increment(1);
}

/// How long a lock was waited for, and what came of it.
pub(crate) fn lock_asked_for(backend: &'static str, outcome: &'static str, waited: Duration) {
    metrics::histogram!(name::LOCK_ACQUIRE, "backend" => backend, "outcome" => outcome)
        .record(waited);
}

/// One lock more is held.
pub(crate) fn lock_held(backend: &'static str) {
    metrics::gauge!(name::LOCKS_HELD, "backend" => backend).increment(1);
}

/// One lock less is held.
pub(crate) fn lock_let_go(backend: &'static str) {
    metrics::gauge!(name::LOCKS_HELD, "backend" => backend).decrement(1);
}

#[cfg(any(feature = "postgres", feature = "redis", feature = "sqlite"))]
pub(crate) fn lease_lost(backend: &'static str) {
    metrics::counter!(name::LEASES_LOST, "backend" => backend).increment(1);
}
