//! What a caller of a refresh may say before each attempt, and what it hears if there are no tokens.

use async_trait::async_trait;

use super::error::EndpointError;

/// Asked just before each time the refresh token is sent: after admission (queue and breaker) and
/// after discovery, so that as little time as possible lies between its answer and the request.
///
/// The provider sets no time limit here, because it must not cancel a write half way. If too
/// little time is left afterwards for a whole request, it does not send the token.
#[async_trait]
pub(crate) trait BeforeAttempt: Send {
    /// Permits the next attempt, or calls the refresh off.
    async fn before_attempt(&mut self) -> Result<(), Aborted>;

    /// The permitted attempt is sent now. An attempt for which too little time was left is not.
    fn sending(&mut self) {}
}

/// The caller has called the refresh off. This attempt sent nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Aborted;

/// Permits every attempt.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AlwaysSend;

#[async_trait]
impl BeforeAttempt for AlwaysSend {
    async fn before_attempt(&mut self) -> Result<(), Aborted> {
        Ok(())
    }
}

/// Why a refresh brought no tokens.
#[derive(Debug, Clone)]
pub(crate) enum RefreshFailure {
    /// [`BeforeAttempt`] called it off. Earlier attempts may have been sent; none of them can have
    /// used up the refresh token.
    Aborted,
    /// The provider refused or failed, or this process did not send the token.
    Endpoint(EndpointError),
}

impl From<EndpointError> for RefreshFailure {
    fn from(error: EndpointError) -> Self {
        Self::Endpoint(error)
    }
}
