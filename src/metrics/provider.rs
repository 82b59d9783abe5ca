//! What is measured of the requests to one provider.

use std::{error::Error, time::Duration};

use metrics::SharedString;

use super::name;
use crate::endpoint::HeldBack;

/// Cheap to clone.
#[derive(Clone)]
pub(crate) struct ProviderMeter {
    pub(super) issuer: SharedString,
    pub(super) client: SharedString,
    /// What its requests are for. Each kind has limits and a breaker of its own.
    requests: &'static str,
}

macro_rules! labels {
    ($kind:ident, $name:expr, $meter:expr $(, $label:literal => $value:expr)*) => {
        metrics::$kind!(
            $name,
            "issuer" => $meter.issuer.clone(),
            "client" => $meter.client.clone(),
            "requests" => $meter.requests
            $(, $label => $value)*
        )
    };
}

impl ProviderMeter {
    pub(crate) fn new(issuer: &str, client: &str) -> Self {
        let shared = |text: &str| SharedString::from_shared(text.into());
        Self { issuer: shared(issuer), client: shared(client), requests: "refresh" }
    }

    pub(crate) fn of(&self, requests: &'static str) -> Self {
        Self { requests, ..self.clone() }
    }

    /// `outcome`: `granted`, or the kind of the error.
    pub(crate) fn answered(&self, outcome: &'static str, took: Duration) {
        labels!(histogram, name::TOKEN_REQUEST, self, "outcome" => outcome).record(took);
    }

    pub(crate) fn resent(&self) {
        labels!(counter, name::RESENT, self).increment(1);
    }

    /// Counts `error` if it says that nothing was sent.
    pub(crate) fn held_back(&self, error: &(dyn Error + 'static)) {
        let held_back = error.source().and_then(|source| source.downcast_ref::<HeldBack>());
        if let Some(held_back) = held_back {
            labels!(counter, name::REFUSED, self, "reason" => held_back.reason()).increment(1);
        }
    }

    pub(crate) fn id_token_dropped(&self, reason: &'static str) {
        metrics::counter!(
            name::DROPPED_ID_TOKENS,
            "issuer" => self.issuer.clone(),
            "client" => self.client.clone(),
            "reason" => reason
        )
        .increment(1);
    }

    pub(crate) fn breaker_opened(&self) {
        labels!(counter, name::BREAKER_OPENED, self).increment(1);
    }

    /// 0: closed, 1: half-open, 2: open.
    pub(crate) fn breaker_is(&self, state: u8) {
        labels!(gauge, name::BREAKER_STATE, self).set(state);
    }
}
