//! Why a logout token did not end its logins.

use std::{error::Error, sync::Arc};

use super::Fault;
use crate::error::RefreshError;

/// Why [`end_by_logout_token`](crate::TokenRefresher::end_by_logout_token) ended no login, or not
/// all of them.
///
/// `Display`, `Debug` and the sources show nothing of the token.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum BackChannelError {
    /// The refresher was built without
    /// [`back_channel_logout`](crate::TokenRefresherBuilder::back_channel_logout).
    #[error("the refresher was built without back_channel_logout")]
    TurnedOff,
    /// The token breaks a rule. Another attempt with it cannot succeed. 400.
    #[error("the logout token was refused")]
    Refused(#[source] Arc<dyn Error + Send + Sync>),
    /// The token has come before, and is being carried out. It may be sent again, as that may fail.
    /// 503.
    #[error("this logout token is being carried out")]
    UnderWay,
    /// The provider's keys or the token store cannot be reached. The token may be sent again. 503.
    #[error("the logout could not be completed")]
    Unavailable(#[source] RefreshError),
}

impl From<Fault> for BackChannelError {
    fn from(fault: Fault) -> Self {
        Self::Refused(Arc::new(fault))
    }
}
