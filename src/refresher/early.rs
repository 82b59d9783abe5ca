//! The refresh before it is needed: the request goes on with the token it has, and a flight of its own fetches the next.
//!
//! Whatever becomes of that flight, nobody waits for it: a failure is logged and counted, and the next one starts after a pause that
//! doubles. Only a refused refresh token and a log out are seen, by the requests after it.

use std::sync::Arc;

use tower_sessions::Session;

use super::{Core, flight_steps::Order};
use crate::{flight::Boarded, grant::HeldSet, session::slide_cookie};

impl Core {
    /// Starts the flight, unless one is under way or the last one failed just now.
    pub(super) fn refresh_early(self: &Arc<Self>, session: &Session, set: &HeldSet) {
        if set.refresh_token.is_none() || self.is_set_back(set) {
            return;
        }
        // Cycled earlier in this request: a flight needs a record to write to. The next request has one.
        let Ok(order) = Order::new(session, set.grant, set.generation) else { return };
        let boarded = self.board(order, set);
        // This request's activity is what prolongs the session.
        if let Boarded::Waiting { started: true, .. } = boarded {
            slide_cookie(session);
        }
    }

    fn is_set_back(&self, set: &HeldSet) -> bool {
        let setback = self.ledger.setback(set.grant, set.generation);
        setback
            .is_some_and(|setback| setback.ambiguous || self.clock.monotonic() < setback.not_before)
    }
}
