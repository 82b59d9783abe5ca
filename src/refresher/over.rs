//! What a flight does where a grant is over.

use std::{sync::Arc, time::Duration};

use super::{Core, Landed, flight_steps::Order};
use crate::{
    error::{RefreshError, RefreshErrorKind},
    grant::HeldSet,
    ledger::{Custody, Ending},
    session::Stored,
};

/// The pauses before each look for the set of a faster process. Whoever has to log in again waits for all of them.
const PATIENCE: [Duration; 4] = [
    Duration::ZERO,
    Duration::from_millis(100),
    Duration::from_millis(200),
    Duration::from_millis(400),
];

impl Core {
    /// The provider refused the refresh token. That is the end, unless another process was faster; its set may be on the way to the
    /// store only now.
    pub(super) async fn refused(&self, order: &Order, presented: &HeldSet) -> Landed {
        for pause in PATIENCE {
            tokio::time::sleep(pause).await;
            let home = self.ledger.home_or(order.grant(), order.from());
            // Without the store's word nobody knows who was faster, and the winner's tokens must not be removed.
            match self.retrying(|| self.store.read(home, order.grant())).await? {
                Stored::Set(stored) if stored.generation > presented.generation => {
                    return Ok(self.ledger.learn(Arc::from(stored), Custody::Record));
                }
                Stored::Set(_) => {}
                Stored::Nothing => break,
                // Perhaps of a faster process with a newer key.
                Stored::Unreadable(error) => return Err(self.unreadable(error)),
            }
        }
        Err(self.expire(order, "the provider no longer accepts the refresh token").await)
    }

    /// Ends a grant that has nothing left to live on.
    pub(super) async fn expire(&self, order: &Order, why: &'static str) -> RefreshError {
        self.ledger.end(order.grant(), Ending::Final);
        self.bury_at_home(order).await;
        RefreshError::new(RefreshErrorKind::SessionExpired, why)
    }

    /// A set that nobody may have any more.
    pub(super) async fn discard(&self, order: &Order, set: &HeldSet, ending: Ending) {
        if ending != Ending::Replaced && self.revoke_on_log_out {
            // The outcome is logged by `revoke`; there is nobody left to tell.
            let _ = self.revoke(set).await;
        }
        self.bury_at_home(order).await;
    }

    async fn bury_at_home(&self, order: &Order) {
        let home = self.ledger.home_or(order.grant(), order.from());
        // What the store refuses is logged there, and tried again.
        let _ = self.bury(home, order.grant()).await;
    }
}
