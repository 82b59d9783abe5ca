//! A refresh token whose last presentation had no usable answer: the provider may have used it up, or may never have seen it.
//!
//! | the old access token | what is done |
//! |---|---|
//! | is good | nothing: if the token was used up, presenting it again is punished, and that kills the access token too (measured on Keycloak and oidc-provider) |
//! | has expired | the login is lost for certain, unless the request never arrived: it is presented again, one flight at a time, 1 s, 2 s … 60 s apart, until the provider gives a clear answer |
//!
//! Deliberately not ended by the clock when the refresh token's life is over: the provider says so itself, and a wall clock that jumps
//! forward would log users out.
//!
//! Requests in between get `Unavailable`. [`RefreshPolicy::replay`](crate::RefreshPolicy::replay) turns the second row off.

use super::{Core, failures::unavailable_for, flight_steps::Order};
use crate::{
    error::RefreshError,
    grant::{GrantId, HeldSet},
    metrics,
};

impl Core {
    /// Fails if the refresh token of `newest` may not be presented now. True if that would be once more.
    pub(super) async fn may_present(
        &self,
        order: &Order,
        newest: &HeldSet,
    ) -> Result<bool, RefreshError> {
        let setback = self.ledger.setback(newest.grant, newest.generation);
        let Some(setback) = setback.filter(|setback| setback.ambiguous) else {
            return Ok(false);
        };
        let now = self.clock.now();
        if let Ok(left) = newest.expires_at.duration_since(now)
            && !left.is_zero()
        {
            return Err(unavailable_for(
                left,
                "the last refresh had no usable answer, and trying again could end the access token that is still good",
            ));
        }
        if !self.policy.replay {
            let why = "the last refresh had no usable answer, and presenting the refresh token again is turned off";
            return Err(self.expire(order, why).await);
        }
        let wait = setback.not_before.saturating_sub(self.clock.monotonic());
        if !wait.is_zero() {
            return Err(unavailable_for(
                wait,
                "the last refresh had no usable answer; it is tried again later",
            ));
        }
        Ok(true)
    }
}

pub(super) fn note_replay(grant: GrantId) {
    metrics::replayed();
    tracing::warn!(%grant, "a refresh token was presented again, whose last presentation had no usable answer");
}
