//! Logout by the provider (OpenID Connect Back-Channel Logout 1.0).
//!
//! The provider posts a logout token that names a session of its own (`sid`), a user (`sub`), or
//! both.
//!
//! - [`logout_token`]: whether the token is genuine;
//! - [`names`]: how the token store finds the logins;
//! - [`named`]: how a login is found that is just being made;
//! - [`replay_cache`]: a token counts once.
//!
//! The refresher ends the logins. The route is in the middleware.

mod error;
mod logout_token;
mod named;
mod names;
mod replay_cache;

use std::{sync::Arc, time::Duration};

use aws_lc_rs::hmac;

pub use error::BackChannelError;
#[cfg(fuzzing)]
pub(crate) use logout_token::read as read_logout_token;
pub(crate) use logout_token::{Fault, LogoutToken, verify};
pub(crate) use named::Tick;
pub(crate) use names::Names;
pub(crate) use replay_cache::{ReplayCache, Work};

use self::named::NamedLately;
use crate::{
    clock::{Clock, Throttle},
    endpoint::Provider,
    error::ConfigError,
};

const SHORTEST_KEY: usize = 32;
/// The shortest time between two lines about logout tokens that were refused, and between two about
/// those that could not be verified.
const LOG_EVERY: Duration = Duration::from_secs(10);

/// What a refresher needs for logout tokens.
pub(crate) struct BackChannel {
    pub(crate) names: Arc<Names>,
    pub(crate) named: NamedLately,
    pub(crate) replays: ReplayCache,
    /// Anybody can post here.
    refusals: Throttle,
    unverified: Throttle,
}

impl BackChannel {
    /// Whether logout tokens of `provider` can be verified.
    pub(crate) fn check(provider: &Provider) -> Result<(), ConfigError> {
        if !provider.can_verify() {
            return broken("on", "the endpoint needs an issuer and a jwks_url, or discovery");
        }
        Ok(())
    }

    /// Whether to log a refusal. The metric counts all.
    pub(crate) fn may_log_refusal(&self, clock: &Clock) -> bool {
        self.refusals.is_due(clock.monotonic())
    }

    /// Whether to log that a token could not be verified. The metric counts all.
    pub(crate) fn may_log_unverified(&self, clock: &Clock) -> bool {
        self.unverified.is_due(clock.monotonic())
    }

    /// `key`: as the application gave it, not checked yet.
    pub(crate) fn new(
        key: &[u8],
        clock: &Clock,
        longest_log_in: Duration,
    ) -> Result<Self, ConfigError> {
        if key.len() < SHORTEST_KEY {
            let value = format!("a key of {} bytes", key.len());
            return broken(&value, "the key must be at least 32 bytes of randomness");
        }
        let key = hmac::Key::new(hmac::HMAC_SHA256, key);
        Ok(Self {
            names: Arc::new(Names::new(key)),
            named: NamedLately::new(clock.clone(), longest_log_in),
            replays: ReplayCache::new(clock.clone()),
            refusals: Throttle::due(LOG_EVERY),
            unverified: Throttle::due(LOG_EVERY),
        })
    }
}

fn broken<T>(value: &str, rule: &'static str) -> Result<T, ConfigError> {
    let what = "back_channel_logout";
    Err(ConfigError::Range { what, value: value.into(), rule })
}
