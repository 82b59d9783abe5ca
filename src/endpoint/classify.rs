//! The application's own word on what a provider's answer means.

use std::{fmt, sync::Arc, time::Duration};

use http::{HeaderMap, StatusCode};

use super::{
    error::{EndpointError, EndpointErrorKind as Kind},
    exchange::Answer,
};
use crate::error::LONGEST_RETRY_AFTER;

/// An answer to a refresh, for [`TokenEndpoint::classify`](crate::TokenEndpoint::classify). Its body
/// may hold tokens, so `Debug` shows the status only.
pub struct ProviderAnswer<'a>(&'a Answer);

impl ProviderAnswer<'_> {
    /// The status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.0.status
    }

    /// The headers.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        &self.0.headers
    }

    /// The body, decompressed. Empty if it broke off or was
    /// [too long](crate::TokenEndpoint::max_answer_bytes).
    #[must_use]
    pub fn body(&self) -> &[u8] {
        self.0.body.as_deref().unwrap_or_default()
    }
}

impl fmt::Debug for ProviderAnswer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProviderAnswer").field("status", &self.0.status).finish_non_exhaustive()
    }
}

/// What an answer means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum AnswerMeaning {
    /// The provider will never take this refresh token again. The login ends, with
    /// [`SessionExpired`](crate::RefreshErrorKind::SessionExpired).
    LoginEnded,
    /// The provider wants the request later. It is sent again after this time, 1 s if there is none
    /// and 5 min at the most. The requests of others go on, unless three of them in a row get this
    /// with a time. After a 2xx, or a 5xx other than 503, it is sent again only when the access
    /// token has expired, because the provider may have used the refresh token up.
    TryLater(Option<Duration>),
    /// A setting is wrong. [`Misconfigured`](crate::RefreshErrorKind::Misconfigured).
    Misconfigured,
}

type Question = dyn Fn(&ProviderAnswer<'_>) -> Option<AnswerMeaning> + Send + Sync;

/// Nobody is asked by default.
#[derive(Clone, Default)]
pub(super) struct Classify(Option<Arc<Question>>);

impl Classify {
    pub(super) fn new(
        classify: impl Fn(&ProviderAnswer<'_>) -> Option<AnswerMeaning> + Send + Sync + 'static,
    ) -> Self {
        Self(Some(Arc::new(classify)))
    }

    /// The error that the application makes of `answer`, if it has a word on it.
    pub(super) fn error(&self, answer: &Answer) -> Option<EndpointError> {
        let meaning = self.0.as_ref()?(&ProviderAnswer(answer))?;
        let status = answer.status;
        let consumed = status.is_success()
            || status.is_server_error() && status != StatusCode::SERVICE_UNAVAILABLE;
        let error = match meaning {
            AnswerMeaning::LoginEnded => EndpointError::new(Kind::InvalidGrant),
            AnswerMeaning::TryLater(after) => EndpointError::new(Kind::TryLater {
                retry_after: after.map(|after| after.min(LONGEST_RETRY_AFTER)),
            }),
            AnswerMeaning::Misconfigured => {
                EndpointError::new(Kind::Rejected { code: "as the application classified it" })
            }
        };
        Some(if consumed { error.maybe_consumed() } else { error })
    }
}
