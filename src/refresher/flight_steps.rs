//! What a flight does, in order:
//!
//! 1. re-read the session from the store, where the grant lives now; the newer of stored and known counts, and is written back if
//!    the store was behind. Newer than asked for and fresh: that is the answer;
//! 2. present the refresh token, once;
//! 3. the new set goes into the ledger, *then* into the store. Whoever makes a record in between finds it in the ledger;
//! 4. the answer goes to the waiters.
//!
//! A grant that ended meanwhile gets nothing written: what came is revoked, and a tombstone stands where the grant lived.

use std::{sync::Arc, time::Duration};

use time::OffsetDateTime;
use tower_sessions::{Session, session::Id, session_store};

use super::{
    Core, Landed,
    failures::{endpoint_failed, logged_out, misconfigured, store_failed, unavailable},
    replay::note_replay,
};
use crate::{
    endpoint::{EndpointError, EndpointErrorKind, Revocation, TokenTypeHint, is_left_alone},
    error::{Chain, RefreshError, RefreshErrorKind},
    grant::{Generation, GrantId, HeldSet},
    ledger::{Custody, Ending, Pin},
    metrics,
    session::{Patched, Stored},
};

/// A grant may move while a flight looks at its record; it then looks again where the grant went. More moves than this in one
/// flight are no browser's doing.
const MOVES: usize = 8;

/// What a flight is asked for, and by whose session.
#[derive(Debug, Clone, Copy)]
pub(super) struct Order {
    grant: GrantId,
    /// Newer than this.
    than: Generation,
    /// Where the grant lives if the ledger does not know.
    from: Id,
    /// The expiry of the record after this activity.
    expiry: OffsetDateTime,
}

impl Order {
    /// Fails for a session without a record.
    pub(super) fn new(
        session: &Session,
        grant: GrantId,
        than: Generation,
    ) -> Result<Self, RefreshError> {
        let from = session
            .id()
            .ok_or_else(|| misconfigured("the session has not been saved to its store"))?;
        Ok(Self::at(from, grant, than, session.expiry_date()))
    }

    /// For the record under `from`, which stays until `expiry`.
    pub(super) fn at(from: Id, grant: GrantId, than: Generation, expiry: OffsetDateTime) -> Self {
        Self { grant, than, from, expiry }
    }

    pub(super) fn grant(&self) -> GrantId {
        self.grant
    }

    pub(super) fn than(&self) -> Generation {
        self.than
    }

    pub(super) fn from(&self) -> Id {
        self.from
    }

    pub(super) fn expiry(&self) -> OffsetDateTime {
        self.expiry
    }

    pub(super) fn newer_than(self, than: Generation) -> Self {
        Self { than, ..self }
    }
}

/// Where a new set ended up.
enum WrittenBack {
    Stored,
    /// Its record has gone; the ledger keeps it for the `create` that carries the grant on.
    Uncarried,
    /// The store does not take it now; the ledger keeps it until the store does.
    Pending,
    Ended,
}

impl Core {
    pub(super) async fn fly(self: Arc<Self>, order: Order, _pin: Pin) -> Landed {
        let mut landed = self.refresh(&order).await;
        match &mut landed {
            Ok((set, outcome)) => {
                metrics::flight_ended(outcome);
                self.note_again(&order, set);
                tracing::debug!(grant = %order.grant, generation = set.generation.0, outcome, "token refresh landed");
            }
            Err(error) => {
                let outcome = error.kind().name();
                metrics::flight_ended(outcome);
                let (grant, chain) = (order.grant, Chain(error));
                match error.kind() {
                    RefreshErrorKind::Misconfigured
                    | RefreshErrorKind::InvalidResponse
                    | RefreshErrorKind::SubjectChanged => {
                        tracing::error!(%grant, outcome, error = %chain, "token refresh failed");
                    }
                    // Every request with an expired token meets it. What the provider did to be left alone has been logged.
                    _ if is_left_alone(error) => {
                        tracing::debug!(%grant, outcome, error = %chain, "token refresh failed");
                    }
                    _ => tracing::warn!(%grant, outcome, error = %chain, "token refresh failed"),
                }
                error.mark_logged();
            }
        }
        self.appoint_writer(order);
        landed.map(|(set, _)| set)
    }

    async fn refresh(&self, order: &Order) -> Result<(Arc<HeldSet>, &'static str), RefreshError> {
        let newest = match self.newest(order).await {
            Ok(newest) => newest,
            Err(error) => {
                self.ledger.put_off(order.grant, order.than);
                return Err(error);
            }
        };
        if newest.generation > order.than && self.is_fresh(&newest) {
            return Ok((newest, "already_newer"));
        }
        let Some(refresh_token) = &newest.refresh_token else {
            if self.is_fresh(&newest) {
                // An API has refused it; others may not. It is not ours to throw away.
                let why = "there is no refresh token to get a newer access token with";
                return Err(RefreshError::new(RefreshErrorKind::SessionExpired, why));
            }
            return Err(self
                .expire(order, "the access token has expired and there is no refresh token")
                .await);
        };
        if self.ledger.ending(order.grant).is_some() {
            return Err(logged_out());
        }
        let again = self.may_present(order, &newest).await?;
        self.ledger.presenting(order.grant, newest.generation);
        let sent_at = self.clock.now();
        let answer = self.provider.refresh(refresh_token).await;
        let left_alone = answer.as_ref().is_err_and(|error| is_left_alone(error));
        if again && !left_alone {
            note_replay(order.grant);
        }
        match answer {
            Ok(answer) => {
                let mut next = newest.next(answer, sent_at, self.policy.fallback_lifetime);
                self.check_who_came_back(order, &newest, &mut next).await?;
                let expired_at_birth = next.expires_at <= next.obtained_at;
                // Stored all the same: its refresh token is the only good one.
                let landed = self.land(order, Arc::new(next)).await?;
                if expired_at_birth {
                    let why = "the provider's new access token has already expired by our clock";
                    return Err(RefreshError::new(RefreshErrorKind::InvalidResponse, why));
                }
                Ok((landed, "refreshed"))
            }
            Err(error) if *error.kind() == EndpointErrorKind::InvalidGrant => {
                Ok((self.refused(order, &newest).await?, "already_newer"))
            }
            Err(error) => {
                if left_alone {
                    self.ledger.not_presented(order.grant);
                } else if !error.may_have_consumed() {
                    self.ledger.answered(order.grant);
                }
                let failed = endpoint_failed(error);
                self.ledger.hold_off(order.grant, failed.retry_after().unwrap_or_default());
                Err(failed)
            }
        }
    }

    /// The newest set there is: the store's, or the ledger's where the store is behind. Writes the store's arrears.
    pub(super) async fn newest(&self, order: &Order) -> Result<Arc<HeldSet>, RefreshError> {
        for _ in 0..MOVES {
            let home = self.ledger.home_or(order.grant, order.from);
            let stored = self.read(home, order.grant).await?;
            if self.ledger.ending(order.grant).is_some() {
                return Err(logged_out());
            }
            if self.ledger.home(order.grant) != Some(home) {
                continue;
            }
            let stored = match stored {
                Stored::Set(stored) => Arc::<HeldSet>::from(stored),
                // The session went, perhaps to come back under another id: that ends nothing but this flight.
                Stored::Nothing => return Err(logged_out()),
                Stored::Unreadable(error) => return Err(self.unreadable(error)),
            };
            let newest = self.ledger.learn(stored.clone(), Custody::Record);
            if newest.generation > stored.generation {
                self.write_back(order, &newest).await;
            } else {
                // Also after a flight that panicked between its write and this note.
                self.ledger.entrust(order.grant, stored.generation, Custody::Record);
            }
            return Ok(newest);
        }
        Err(unavailable("the session kept changing its id"))
    }

    /// The provider gave a new set.
    async fn land(&self, order: &Order, next: Arc<HeldSet>) -> Landed {
        if let Err(ending) = self.ledger.publish(&next) {
            self.discard(order, &next, ending).await;
            return Err(logged_out());
        }
        if let WrittenBack::Ended = self.write_back(order, &next).await {
            // Ended by the record alone, if the ledger does not know: another process logged this grant out.
            let ending = self.ledger.ending(order.grant).unwrap_or(Ending::Final);
            self.ledger.end(order.grant, ending);
            self.discard(order, &next, ending).await;
            return Err(logged_out());
        }
        Ok(next)
    }

    async fn write_back(&self, order: &Order, set: &Arc<HeldSet>) -> WrittenBack {
        for _ in 0..MOVES {
            let home = self.ledger.home_or(order.grant, order.from);
            let patched = self.retrying(|| self.store.patch(home, set.clone(), order.expiry)).await;
            if patched.is_ok() && self.ledger.home(order.grant) != Some(home) {
                continue;
            }
            return match patched {
                Ok(Patched::Written | Patched::AlreadyThere) => WrittenBack::Stored,
                Ok(Patched::NoRecord) => {
                    self.ledger.entrust(order.grant, set.generation, Custody::Uncarried);
                    WrittenBack::Uncarried
                }
                Ok(Patched::Ended) => WrittenBack::Ended,
                Err(error) => {
                    self.ledger.entrust(order.grant, set.generation, Custody::Pending);
                    metrics::set_pending();
                    tracing::error!(grant = %order.grant, error = %Chain(&error), "the session store does not take the new tokens; they are kept in memory");
                    WrittenBack::Pending
                }
            };
        }
        self.ledger.entrust(order.grant, set.generation, Custody::Pending);
        WrittenBack::Pending
    }

    async fn read(&self, home: Id, grant: GrantId) -> Result<Stored, RefreshError> {
        self.in_time(self.store.read(home, grant)).await
    }

    /// Asks the session store, or the index, once.
    pub(super) async fn in_time<T>(
        &self,
        asked: impl Future<Output = session_store::Result<T>>,
    ) -> Result<T, RefreshError> {
        match tokio::time::timeout(self.policy.write_back, asked).await {
            Ok(answer) => answer.map_err(store_failed),
            Err(_elapsed) => Err(unavailable("the session store did not answer in time")),
        }
    }

    /// Asks the session store again and again, for as long as a write-back may take.
    pub(super) async fn retrying<T, F>(&self, mut ask: impl FnMut() -> F) -> Result<T, RefreshError>
    where
        F: Future<Output = session_store::Result<T>>,
    {
        const LONGEST_PAUSE: Duration = Duration::from_secs(1);
        let mut last = None;
        let attempts = async {
            let mut pause = Duration::from_millis(50);
            loop {
                match ask().await {
                    Ok(done) => return done,
                    Err(error) => last = Some(error),
                }
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        };
        match tokio::time::timeout(self.policy.write_back, attempts).await {
            Ok(done) => Ok(done),
            Err(_elapsed) => Err(last.map_or_else(
                || unavailable("the session store did not answer in time"),
                store_failed,
            )),
        }
    }

    /// Revokes the refresh token (RFC 7009), with which providers end the access token as well; without one the access token.
    pub(super) async fn revoke(&self, set: &HeldSet) -> Result<Revocation, EndpointError> {
        let revoked = match &set.refresh_token {
            Some(token) => self.provider.revoke(token, TokenTypeHint::RefreshToken).await,
            None => {
                self.provider.revoke(set.access_token.secret(), TokenTypeHint::AccessToken).await
            }
        };
        if let Err(error) = &revoked {
            tracing::warn!(grant = %set.grant, error = %Chain(error), "the provider did not revoke the tokens");
        }
        revoked
    }
}
