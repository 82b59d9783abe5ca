//! Whether a refresher can work.

use std::time::Duration;

use serde::{Serialize, Serializer, ser::SerializeStruct};

use super::flight::millis;
use crate::endpoint::BreakerState;

/// Whether what a [`TokenRefresher`](crate::TokenRefresher) needs is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Health {
    /// What the circuit breaker of the refresher's own provider does with refreshes.
    pub provider: BreakerState,
    /// The token store.
    pub token_store: Probe,
    /// The session store.
    pub session_store: Probe,
    /// The lock. None if the refresher has none.
    pub lock: Option<Probe>,
    /// Refreshes under way.
    pub refreshing: usize,
    /// Requests that wait for a refresh.
    pub waiting: usize,
    /// Logins of which the token store has refused new tokens or the end so far.
    pub unsaved: usize,
    /// [`shutdown`](crate::TokenRefresher::shutdown) was called.
    pub shutting_down: bool,
}

/// What came of asking for something.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Probe {
    /// It answered.
    Ok {
        /// After this time.
        took: Duration,
    },
    /// It did not answer in time, or refused.
    Failed {
        /// Why. It shows no secret, but may name hosts.
        error: String,
    },
}

impl Health {
    /// Whether to send requests to this process: its session store answers, and it is not shutting
    /// down.
    ///
    /// A provider that is down is no reason to send none. Every process would be taken out at the
    /// same moment, although requests with a good token are served without it, and logouts as well.
    /// Nor is a token store that is down where the sessions are elsewhere: requests with a good
    /// token are served out of the cache. Where both are one store, the session store does not
    /// answer either. Nor is a lock that is down, as refreshes go on without it.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        matches!(self.session_store, Probe::Ok { .. }) && !self.shutting_down
    }
}

/// Without the reason of a failure: whoever can ask for it need not know.
impl Serialize for Probe {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Probe", 2)?;
        match self {
            Self::Ok { took } => {
                fields.serialize_field("ok", &true)?;
                fields.serialize_field("took_ms", &millis(*took))?;
            }
            Self::Failed { .. } => {
                fields.serialize_field("ok", &false)?;
                fields.skip_field("took_ms")?;
            }
        }
        fields.end()
    }
}
