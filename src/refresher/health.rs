//! Whether what a refresher needs is there, found out by using it.

use std::{future::Future, panic::AssertUnwindSafe, time::Duration};

use futures_util::FutureExt;
use tokio::time::timeout;
use tower_sessions::{SessionStore, session::Id};
use uuid::Uuid;

use super::{Core, TokenRefresher};
use crate::{
    error::Chain,
    operate::{Health, Probe},
    tokens::RecordKey,
};

/// How long each of them may take: an orchestrator gives a probe little more.
const LIMIT: Duration = Duration::from_secs(2);

impl TokenRefresher {
    /// Asks the token store, the session store and the [lock](crate::lock::LockService::health), if
    /// there is one, each with a key that nobody uses, for 2 s at the most. The provider is not
    /// asked: what its circuit breaker has seen is part of the answer. What fails, or panics, is
    /// logged as well.
    ///
    /// # Cancel safety
    /// Dropping the future is safe.
    pub async fn health(&self) -> Health {
        let core = &self.0;
        let (token_store, session_store, lock) =
            tokio::join!(core.token_store(), core.session_store(), core.lock());
        Health {
            provider: core.providers.own().provider.breaker_state(),
            token_store,
            session_store,
            lock,
            refreshing: core.flight_log.count(),
            waiting: core.flights.waiting(),
            unsaved: core.unsaved.count(),
            shutting_down: core.closing.is_cancelled(),
        }
    }
}

impl Core {
    async fn token_store(&self) -> Probe {
        let nobodys = RecordKey::from_bytes(Uuid::new_v4().into_bytes());
        let asked =
            async { self.records.read(nobodys).await.map(drop).map_err(|e| Chain(&e).to_string()) };
        self.probe("the token store", asked).await
    }

    async fn session_store(&self) -> Probe {
        let nobodys = Id(Uuid::new_v4().as_u128().cast_signed());
        let asked = async {
            self.sessions.load(&nobodys).await.map(drop).map_err(|e| Chain(&e).to_string())
        };
        self.probe("the session store", asked).await
    }

    async fn lock(&self) -> Option<Probe> {
        let lock = self.refresh_lock.service()?;
        let asked = async { lock.health().await.map_err(|e| Chain(&e).to_string()) };
        Some(self.probe("the lock", asked).await)
    }

    async fn probe(
        &self,
        what: &'static str,
        asked: impl Future<Output = Result<(), String>>,
    ) -> Probe {
        let began = self.clock.monotonic();
        let answer = match timeout(LIMIT, AssertUnwindSafe(asked).catch_unwind()).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_panic)) => Err("it panicked".to_owned()),
            Err(_elapsed) => Err("no answer in 2 s".to_owned()),
        };
        match answer {
            Ok(()) => Probe::Ok { took: self.clock.monotonic().saturating_sub(began) },
            Err(error) => {
                tracing::warn!(%error, "{what} is not well");
                Probe::Failed { error }
            }
        }
    }
}
