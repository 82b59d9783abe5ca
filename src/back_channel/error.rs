//! Why a provider's log out was not carried out.

use super::Fault;
use crate::error::RefreshError;

/// Why [`end_by_logout_token`](crate::TokenRefresher::end_by_logout_token) ended nothing, or not everything.
///
/// Nothing of the token is in `Display`, `Debug` or the sources.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum BackChannelError {
    /// The refresher was built without [`back_channel_logout`](crate::TokenRefresherBuilder::back_channel_logout).
    #[error("the refresher was built without back_channel_logout")]
    TurnedOff,
    /// The token breaks a rule. Another attempt with it is of no use. 400.
    #[error("the logout token was refused")]
    Refused(#[source] RefusedLogoutToken),
    /// The provider's keys or a session store are not at hand, or this very token is at work. It may be sent again. 503.
    #[error("the log out could not be completed")]
    Unavailable(#[source] RefreshError),
}

/// The rule that a logout token breaks.
#[derive(Debug, Clone, thiserror::Error)]
#[error(transparent)]
pub struct RefusedLogoutToken(Fault);

impl From<Fault> for BackChannelError {
    fn from(fault: Fault) -> Self {
        Self::Refused(RefusedLogoutToken(fault))
    }
}
