//! New sets that the session store has refused so far.
//!
//! The provider has used the old refresh token up, so the new set must not get lost: it is kept in memory and served to this process.
//! Every request that is served it tries the store again, and so does a task of its own, after 1 s, 2 s … 60 s, until the store has
//! it, the login ends, or the set's life is over. A shutdown makes it try once more at once.

use std::sync::Arc;

use tower_sessions::Session;

use super::{Core, Landed, failures::logged_out, flight_steps::Order};
use crate::{
    flight::{Boarded, Departure},
    grant::{FlightKey, Generation, HeldSet},
    ledger::{Custody, Pin, pause},
};

impl Core {
    /// A request was served a set that the store does not have. Tries again, waiting for nothing.
    pub(super) fn write_pending(self: &Arc<Self>, session: &Session, pending: &HeldSet) {
        // Without a record there is nothing to write to; the `create` that makes one carries the set.
        if let Ok(order) = Order::new(session, pending.grant, pending.generation.previous()) {
            let _ = self.board_writer(order, &pending.flight_key());
        }
    }

    /// Begins the task that keeps trying, if the flight of `order` leaves a set that nobody tries to write yet.
    pub(super) fn appoint_writer(self: &Arc<Self>, order: Order) {
        if self.ledger.appoint_writer(order.grant()) {
            self.tasks.spawn(self.clone().keep_writing(order));
        }
    }

    /// From now on, what the store does not take while a session gets a new id has a writer as well.
    pub(super) fn write_what_moves_leave(self: &Arc<Self>) {
        // The core holds the store, which must not hold the core for ever.
        let core = Arc::downgrade(self);
        self.store.on_pending(Box::new(move |set, home, expiry| {
            if let Some(core) = core.upgrade() {
                core.appoint_writer(Order::at(home, set.grant, set.generation.previous(), expiry));
            }
        }));
    }

    async fn keep_writing(self: Arc<Self>, order: Order) {
        let grant = order.grant();
        let (mut attempts, mut tried_last) = (0, None);
        let worth_it = |set: &HeldSet, tried_last: Option<Generation>| {
            let lives = set.refresh_expires_at.is_none_or(|end| self.clock.now() < end);
            lives && tried_last != Some(set.generation)
        };
        while let Some(set) = self.ledger.writer_goes_on(grant, |set| worth_it(set, tried_last)) {
            attempts += 1;
            let wait = tokio::time::sleep(pause(grant, set.generation, attempts));
            if self.closing.run_until_cancelled(wait).await.is_none() {
                tried_last = Some(set.generation);
            }
            let order = order.newer_than(set.generation.previous());
            if let Boarded::Waiting { answer, .. } = self.board_writer(order, &set.flight_key()) {
                // Whether it was written is in the ledger, whatever the flight says.
                let _ = answer.await;
            }
        }
    }

    fn board_writer(self: &Arc<Self>, order: Order, key: &FlightKey) -> Boarded<Landed> {
        self.flights.board(key, || match self.ledger.newest(order.grant()) {
            Some((_, Custody::Pending)) => {
                Departure::Fly(self.clone().write_arrears(order, self.ledger.pin(order.grant())))
            }
            Some((set, _)) => Departure::Known(Ok(set)),
            None => Departure::Known(Err(logged_out())),
        })
    }

    /// The flight re-reads the store, finds it behind and writes what the ledger has. It asks the provider nothing.
    async fn write_arrears(self: Arc<Self>, order: Order, _pin: Pin) -> Landed {
        self.newest(&order).await
    }
}
