//! What is measured of the requests to one provider.

use std::{error::Error, time::Duration};

use super::{Owner, known, name};
use crate::endpoint::HeldBack;

/// A metric of the requests of this meter, with more labels.
macro_rules! of_requests {
    ($kind:ident, $metric:expr, $meter:expr $(, $label:literal => $value:expr)*) => {
        owned!(
            $kind, $metric, $meter.owner, "requests" => $meter.requests $(, $label => $value)*
        )
    };
}

/// Cheap to clone.
#[derive(Clone)]
pub(crate) struct ProviderMeter {
    owner: Owner,
    /// What its requests are for. Each kind has limits and a breaker of its own.
    requests: &'static str,
}

impl ProviderMeter {
    pub(crate) fn new(owner: Owner) -> Self {
        name::begin(name::Of::Provider, &owner.labels());
        Self { owner, requests: "refresh" }
    }

    pub(crate) fn owner(&self) -> &Owner {
        &self.owner
    }

    pub(crate) fn of(&self, requests: &'static str) -> Self {
        let [issuer, client] = self.owner.labels();
        name::begin(name::Of::Requests, &[issuer, client, ("requests", requests.into())]);
        Self { requests, ..self.clone() }
    }

    /// `outcome`: `granted`, or the kind of the error.
    pub(crate) fn answered(&self, outcome: &'static str, took: Duration) {
        let outcome = known(name::TOKEN_REQUEST, outcome);
        of_requests!(histogram, name::TOKEN_REQUEST, self, "outcome" => outcome).record(took);
    }

    pub(crate) fn resent(&self) {
        of_requests!(counter, name::RESENT, self).increment(1);
    }

    /// Counts `error` if it says that nothing was sent.
    pub(crate) fn held_back(&self, error: &(dyn Error + 'static)) {
        let held_back = error.source().and_then(|source| source.downcast_ref::<HeldBack>());
        if let Some(held_back) = held_back {
            let reason = known(name::REFUSED, held_back.reason());
            of_requests!(counter, name::REFUSED, self, "reason" => reason).increment(1);
        }
    }

    pub(crate) fn id_token_dropped(&self, reason: &'static str) {
        let reason = known(name::DROPPED_ID_TOKENS, reason);
        owned!(counter, name::DROPPED_ID_TOKENS, self.owner, "reason" => reason).increment(1);
    }

    pub(crate) fn breaker_opened(&self) {
        of_requests!(counter, name::BREAKER_OPENED, self).increment(1);
    }

    /// 0: closed, 1: half-open, 2: open.
    pub(crate) fn breaker_is(&self, state: u8) {
        of_requests!(gauge, name::BREAKER_STATE, self).set(state);
    }
}
