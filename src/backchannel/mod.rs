//! Log out from the provider's side (OpenID Connect Back-Channel Logout 1.0).
//!
//! The provider posts a logout token that names a session of its own (`sid`), a user (`sub`), or both. Four things make of it the end
//! of sessions here:
//!
//! - [`token`]: whether the provider says so, to us, now;
//! - [`index`]: in which sessions the logins live that it names;
//! - [`named`]: which logins to come it names as well, because they are under way;
//! - [`seen`]: that a token counts once.
//!
//! What ends, and how, is the refresher's: see `refresher/end_by_provider.rs`. `handler` is the Axum side of it.

mod error;
#[cfg(feature = "axum")]
mod handler;
mod index;
mod named;
mod seen;
mod token;

use std::{any::TypeId, sync::Arc};

use aws_lc_rs::hmac;
use tower_sessions::SessionStore;

pub use error::{BackChannelError, RefusedLogoutToken};
#[cfg(feature = "axum")]
pub(crate) use handler::route;
pub(crate) use index::{Index, Login, Named};
pub(crate) use named::Moment;
pub(crate) use seen::Work;
pub(crate) use token::{Fault, LogoutToken, verify};

use self::{named::NamedLately, seen::Seen};
use crate::{clock::Clock, endpoint::Provider, error::ConfigError, session::GuardedStore};

const SHORTEST_KEY: usize = 32;

/// What a refresher needs to be told by its provider who has logged out.
pub(crate) struct BackChannel {
    pub(crate) index: Index,
    pub(crate) named: NamedLately,
    pub(crate) seen: Seen,
}

/// As the application gave it, not checked yet.
pub(crate) struct Settings {
    store: Arc<dyn SessionStore>,
    /// The store is one of ours, which gives records ids of its own.
    is_guarded: bool,
    /// None: too short.
    key: Option<hmac::Key>,
}

impl Settings {
    pub(crate) fn new<S: SessionStore>(store: S, key: &[u8]) -> Self {
        let long_enough = key.len() >= SHORTEST_KEY;
        Self {
            store: Arc::new(store),
            is_guarded: TypeId::of::<S>() == TypeId::of::<GuardedStore>(),
            key: long_enough.then(|| hmac::Key::new(hmac::HMAC_SHA256, key)),
        }
    }

    pub(crate) fn validate(
        self,
        provider: &Provider,
        clock: &Clock,
    ) -> Result<BackChannel, ConfigError> {
        let broken = |value: &str, rule| {
            Err(ConfigError::Range { what: "back_channel_logout", value: value.into(), rule })
        };
        if self.is_guarded {
            return broken("over a guarded store", "it needs the store itself, or another one");
        }
        let Some(key) = self.key else {
            return broken("given a short key", "the key must be at least 32 bytes of randomness");
        };
        if provider.issuer().is_none() || provider.has_no_keys() {
            return broken(
                "turned on",
                "the endpoint needs an issuer and a jwks_url, or discovery",
            );
        }
        let index = Index::new(self.store, key);
        Ok(BackChannel {
            named: NamedLately::new(clock.clone(), index.clone()),
            seen: Seen::new(clock.clone(), index.clone()),
            index,
        })
    }
}
