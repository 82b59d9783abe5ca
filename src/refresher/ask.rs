//! "I hold generation g; give me one that is newer and fresh now."

use std::sync::Arc;

use http::StatusCode;
use serde_json::Value;
use tower_sessions::Session;

use super::{
    Core, Landed,
    failures::{
        internal, logged_out, misconfigured, sealed_shut, session_failed, unavailable, unguarded,
        wait_timeout,
    },
    flight_steps::Order,
};
use crate::{
    access_token::AccessToken,
    error::{Chain, RefreshError, RefreshErrorKind},
    flight::{Boarded, Departure},
    grant::{Generation, GrantId, HeldSet, Standing, later},
    ledger::{Custody, Lookup},
    policy::OnUnavailable,
    session::{
        bring_up_to_date,
        entry::{Entry, EntryError},
    },
};

/// An answer made for somebody else may be too old for this caller, and the next one as well. After this many it is told to come
/// back later.
const TURNS: usize = 3;

/// What a session's entry comes to, with what the ledger knows.
struct Holding {
    set: Arc<HeldSet>,
    custody: Custody,
    /// The set is newer than the one this request's session shows.
    session_is_behind: bool,
}

impl Core {
    pub(super) async fn valid_token(
        self: &Arc<Self>,
        session: &Session,
    ) -> Result<AccessToken, RefreshError> {
        let text = match session.get_value(&self.key).await.map_err(session_failed)? {
            None => {
                return Err(RefreshError::new(
                    RefreshErrorKind::NoTokens,
                    "the session holds no tokens",
                ));
            }
            Some(Value::String(text)) => text,
            Some(_) => return Err(self.unreadable(EntryError::NotAString)),
        };
        let holding = self.holding(&text)?;
        // What may wait is boxed: every request carries this future, and few go further than here.
        if holding.session_is_behind {
            Box::pin(self.show(session, &holding.set, false)).await?;
            if self.ledger.ending(holding.set.grant).is_some() {
                return Err(logged_out());
            }
        }
        match self.standing(&holding.set) {
            Standing::Fresh => {}
            Standing::DueSoon => self.refresh_early(session, &holding.set),
            Standing::Stale => return Box::pin(self.wait_for_fresh(session, holding.set)).await,
        }
        if holding.custody == Custody::Pending {
            self.write_pending(session, &holding.set);
        }
        Ok(self.token(holding.set))
    }

    pub(super) async fn newer_token(
        self: &Arc<Self>,
        session: &Session,
        rejected: &HeldSet,
    ) -> Result<AccessToken, RefreshError> {
        let token = self.valid_token(session).await?;
        let set = token.set();
        if set.grant == rejected.grant && set.generation <= rejected.generation {
            return self
                .newer_than(session, set.clone(), rejected.generation)
                .await
                .map(|set| self.token(set));
        }
        Ok(token)
    }

    fn token(&self, set: Arc<HeldSet>) -> AccessToken {
        AccessToken::new(set, self.claims_verifier.clone())
    }

    pub(super) fn is_fresh(&self, set: &HeldSet) -> bool {
        set.is_fresh_at(self.clock.now(), self.policy.leeway)
    }

    fn standing(&self, set: &HeldSet) -> Standing {
        set.standing_at(self.clock.now(), self.policy.leeway, self.policy.early_window)
    }

    async fn wait_for_fresh(
        self: &Arc<Self>,
        session: &Session,
        held: Arc<HeldSet>,
    ) -> Result<AccessToken, RefreshError> {
        let than = held.generation;
        match self.newer_than(session, held.clone(), than).await {
            Ok(set) => Ok(self.token(set)),
            Err(error) if error.kind().status() == StatusCode::UNAUTHORIZED => Err(error),
            Err(_) if self.ledger.ending(held.grant).is_some() => Err(logged_out()),
            // Within the leeway the old one is better than none.
            Err(_) if self.clock.now() < held.expires_at => Ok(self.token(held)),
            Err(error) if self.may_serve_expired(&held, &error) => {
                Ok(self.token(held).marked_stale())
            }
            Err(error) => Err(error),
        }
    }

    fn may_serve_expired(&self, held: &HeldSet, error: &RefreshError) -> bool {
        let OnUnavailable::ServeExpired { for_at_most } = self.policy.on_unavailable else {
            return false;
        };
        let is_outage =
            matches!(error.kind(), RefreshErrorKind::Unavailable | RefreshErrorKind::WaitTimeout);
        is_outage && later(held.expires_at, for_at_most) > self.clock.now()
    }

    fn holding(&self, text: &str) -> Result<Holding, RefreshError> {
        let entry = Entry::parse(text).map_err(|error| self.unreadable(error))?;
        if entry.guard != Some(self.store.mark()) {
            return Err(unguarded());
        }
        let generation = entry.generation().ok_or_else(logged_out)?;
        match self.ledger.look_up(entry.grant, generation) {
            Lookup::Ended => Err(logged_out()),
            Lookup::Same(set, custody) => Ok(Holding { set, custody, session_is_behind: false }),
            Lookup::Newer(set, custody) => Ok(Holding { set, custody, session_is_behind: true }),
            Lookup::Unknown => {
                let set = self
                    .store
                    .open(&entry)
                    .map_err(|error| self.unreadable(error))?
                    .ok_or_else(logged_out)?;
                let set = Arc::new(set);
                self.ledger.learn(set.clone(), Custody::Record);
                Ok(Holding { set, custody: Custody::Record, session_is_behind: false })
            }
        }
    }

    /// Gives up after the caller's own limit; the flight goes on without it.
    async fn newer_than(
        self: &Arc<Self>,
        session: &Session,
        held: Arc<HeldSet>,
        than: Generation,
    ) -> Result<Arc<HeldSet>, RefreshError> {
        let grant = held.grant;
        let waiting = self.wait_for_newer(session, held, than);
        match tokio::time::timeout(self.policy.wait_limit, waiting).await {
            Ok(answer) => answer,
            // The store may take longer to be told than this caller waits.
            Err(_elapsed) if self.ledger.ending(grant).is_some() => Err(logged_out()),
            Err(_elapsed) => self.refused_by_the_store(grant, than).ok_or_else(wait_timeout),
        }
    }

    /// A set that the provider gave and the store does not take: it may as well be served before the flight gives up writing it.
    fn refused_by_the_store(&self, grant: GrantId, than: Generation) -> Option<Arc<HeldSet>> {
        let (set, custody) = self.ledger.newest(grant)?;
        let unwritten = matches!(custody, Custody::Landing | Custody::Pending);
        (unwritten && set.generation > than && self.is_fresh(&set)).then_some(set)
    }

    async fn wait_for_newer(
        self: &Arc<Self>,
        session: &Session,
        held: Arc<HeldSet>,
        than: Generation,
    ) -> Result<Arc<HeldSet>, RefreshError> {
        if session.id().is_none() {
            // Cycled earlier in this request: the grant is between two records. A flight needs a record to write to.
            session.save().await.map_err(session_failed)?;
        }
        for _ in 0..TURNS {
            let order = Order::new(session, held.grant, than)?;
            let (landed, started) = match self.board(order, &held) {
                Boarded::Known(landed) => (landed, false),
                Boarded::Waiting { answer, started } => {
                    (answer.await.unwrap_or_else(|_lost| Err(internal())), started)
                }
            };
            let set = landed?;
            if set.generation > than && self.is_fresh(&set) {
                self.show(session, &set, started).await?;
            }
            // Tested last: the store may have taken its time.
            if self.ledger.ending(held.grant).is_some() {
                return Err(logged_out());
            }
            if set.generation > than && self.is_fresh(&set) {
                return Ok(set);
            }
        }
        Err(unavailable("the refreshed tokens were too old for this request each time"))
    }

    /// Joins the flight of the grant or starts one.
    pub(super) fn board(self: &Arc<Self>, order: Order, held: &HeldSet) -> Boarded<Landed> {
        // Taken before the look at `closing`: a shutdown that is not seen here waits for the flight that starts.
        let _under_way = self.tasks.token();
        let grant = held.grant;
        self.flights.board(&held.flight_key(), || match self.ledger.look_up(grant, order.than()) {
            Lookup::Ended => Departure::Known(Err(logged_out())),
            // A flight that landed between this caller's look and this moment.
            Lookup::Newer(set, _) if self.is_fresh(&set) => Departure::Known(Ok(set)),
            _ if self.closing.is_cancelled() => {
                Departure::Known(Err(unavailable("this process is shutting down")))
            }
            _ => Departure::Fly(self.clone().fly(order, self.ledger.pin(grant))),
        })
    }

    /// Makes the request's own session show what the store has.
    async fn show(
        &self,
        session: &Session,
        set: &HeldSet,
        slide: bool,
    ) -> Result<(), RefreshError> {
        let home = self.ledger.home(set.grant);
        match bring_up_to_date(session, &self.store, home, set, slide).await.map_err(session_failed)
        {
            Err(error) if self.is_pending(set) => {
                // The store is down altogether: this process serves what it holds.
                tracing::warn!(grant = %set.grant, error = %Chain(&error), "a session could not be brought up to date");
                Ok(())
            }
            shown => shown,
        }
    }

    fn is_pending(&self, set: &HeldSet) -> bool {
        self.ledger.newest(set.grant).is_some_and(|(_, custody)| custody == Custody::Pending)
    }

    pub(super) fn unreadable(&self, error: EntryError) -> RefreshError {
        if let EntryError::Sealed(error) = error {
            self.store.report(error);
            return sealed_shut();
        }
        misconfigured(format!("the session's {:?} entry cannot be read: {error}", self.key))
    }
}
