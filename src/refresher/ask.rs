//! "I hold generation g; give me one that is newer and fresh now."

use std::sync::Arc;

use serde_json::Value;
use tower_sessions::Session;

use super::{
    Core, Landed,
    failures::{internal, logged_out, misconfigured, sealed_shut, session_failed, unavailable, unguarded},
    flight_steps::Order,
};
use crate::{
    error::{Chain, RefreshError, RefreshErrorKind},
    flight::{Boarded, Departure},
    grant::{Generation, HeldSet},
    ledger::{Custody, Lookup},
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
    pub(super) async fn valid_set(self: &Arc<Self>, session: &Session) -> Result<Arc<HeldSet>, RefreshError> {
        let holding = self.holding(session).await?;
        // What may wait is boxed: every request carries this future, and few go further than here.
        if holding.session_is_behind {
            Box::pin(self.show(session, &holding.set, false)).await?;
            if self.ledger.ending(holding.set.grant).is_some() {
                return Err(logged_out());
            }
        }
        if !self.is_fresh(&holding.set) {
            let than = holding.set.generation;
            return Box::pin(self.newer_than(session, holding.set, than)).await;
        }
        if holding.custody == Custody::Pending {
            self.write_pending(session, &holding.set);
        }
        Ok(holding.set)
    }

    pub(super) async fn newer_set(
        self: &Arc<Self>,
        session: &Session,
        rejected: &HeldSet,
    ) -> Result<Arc<HeldSet>, RefreshError> {
        let set = self.valid_set(session).await?;
        if set.grant == rejected.grant && set.generation <= rejected.generation {
            return self.newer_than(session, set, rejected.generation).await;
        }
        Ok(set)
    }

    pub(super) fn is_fresh(&self, set: &HeldSet) -> bool {
        set.is_fresh_at(self.clock.now(), self.policy.leeway)
    }

    async fn holding(&self, session: &Session) -> Result<Holding, RefreshError> {
        let text = match session.get_value(&self.key).await.map_err(session_failed)? {
            None => return Err(RefreshError::new(RefreshErrorKind::NoTokens, "the session holds no tokens")),
            Some(Value::String(text)) => text,
            Some(_) => return Err(self.unreadable(EntryError::NotAString)),
        };
        let entry = Entry::parse(&text).map_err(|error| self.unreadable(error))?;
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

    async fn newer_than(
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
            let (landed, started) = match self.board(session, &held, than)? {
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
    fn board(
        self: &Arc<Self>,
        session: &Session,
        held: &HeldSet,
        than: Generation,
    ) -> Result<Boarded<Landed>, RefreshError> {
        let order = Order::new(session, held.grant, than)?;
        Ok(self.flights.board(&held.flight_key(), || match self.ledger.look_up(held.grant, than) {
            Lookup::Ended => Departure::Known(Err(logged_out())),
            // A flight that landed between this caller's look and this moment.
            Lookup::Newer(set, _) if self.is_fresh(&set) => Departure::Known(Ok(set)),
            _ => Departure::Fly(self.clone().fly(order, self.ledger.pin(held.grant))),
        }))
    }

    /// The store has refused this set so far; tries again, waiting for nothing.
    fn write_pending(self: &Arc<Self>, session: &Session, pending: &HeldSet) {
        // Without a record there is nothing to write to; the `create` that makes one carries the set.
        let Ok(order) = Order::new(session, pending.grant, pending.generation.previous()) else {
            return;
        };
        // The flight re-reads the store, finds it behind and writes what the ledger has.
        self.flights.board(&pending.flight_key(), || match self.ledger.newest(pending.grant) {
            Some((_, Custody::Pending)) => {
                Departure::Fly(self.clone().fly(order, self.ledger.pin(pending.grant)))
            }
            Some((set, _)) => Departure::Known(Ok(set)),
            None => Departure::Known(Err(logged_out())),
        });
    }

    /// Makes the request's own session show what the store has.
    async fn show(&self, session: &Session, set: &HeldSet, slide: bool) -> Result<(), RefreshError> {
        let home = self.ledger.home(set.grant);
        match bring_up_to_date(session, &self.store, home, set, slide).await.map_err(session_failed) {
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
