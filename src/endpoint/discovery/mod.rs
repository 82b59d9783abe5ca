//! [`Discovery`]: fetches the provider's description of itself once (OpenID Connect Discovery 1.0,
//! section 4).
//!
//! All callers that arrive during a fetch share it. A success is kept for good. A failure goes to
//! the callers that waited for it, and the next caller fetches again.

pub(super) mod address;
mod document;
mod error;

use std::sync::{Arc, OnceLock};

use http::Uri;
use tokio_util::task::TaskTracker;

#[cfg(fuzzing)]
pub(super) use document::parse;
pub(super) use document::{Authorization, Metadata, MtlsAliases, document_url};
pub use error::DiscoveryError;

use self::address::SchemeRule;
use super::{
    exchange::{Exchange, FETCH_NET, MAX_ANSWER},
    issuers::Issuers,
    request, response,
};
use crate::single_flight::{Joined, SingleFlight, Start};

pub(super) struct Discovery {
    issuers: Issuers,
    document: Uri,
    rule: SchemeRule,
    found: OnceLock<Arc<Metadata>>,
    fetches: SingleFlight<(), Outcome>,
}

type Outcome = Result<Arc<Metadata>, DiscoveryError>;

impl Discovery {
    /// `known` is the result of an earlier discovery, if there was one.
    pub(super) fn new(
        issuers: Issuers,
        document: Uri,
        rule: SchemeRule,
        known: Option<Arc<Metadata>>,
    ) -> Arc<Self> {
        let found = known.map_or_else(OnceLock::new, OnceLock::from);
        let fetches = SingleFlight::new(FETCH_NET, TaskTracker::new());
        Arc::new(Self { issuers, document, rule, found, fetches })
    }

    /// The metadata. The first call fetches it by `exchange`.
    pub(super) async fn metadata(self: &Arc<Self>, exchange: &Exchange) -> Outcome {
        if let Some(found) = self.found.get() {
            return Ok(found.clone());
        }
        let boarded = self.fetches.join_or_start(&(), || match self.found.get() {
            Some(found) => Start::No(Ok(found.clone())),
            None => Start::Flight(self.clone().fetch(exchange.clone())),
        });
        match boarded {
            Joined::Known(outcome) => outcome,
            Joined::Waiting { answer, .. } => {
                answer.await.unwrap_or(Err(DiscoveryError::Interrupted))
            }
        }
    }

    async fn fetch(self: Arc<Self>, exchange: Exchange) -> Outcome {
        let url = address::without_secrets(&self.document.to_string());
        let answer = exchange.send(request::document(&self.document), MAX_ANSWER).await;
        let status = answer.as_ref().ok().map(|answer| answer.status.as_u16());
        let body = answer.and_then(response::document_answer).map_err(|source| {
            DiscoveryError::Fetch { url: url.clone(), status, source: Arc::new(source) }
        })?;
        let found = document::parse(&self.issuers, &url, &body, &self.rule)?;
        Ok(self.found.get_or_init(|| Arc::new(found)).clone())
    }
}

#[cfg(test)]
mod tests;
