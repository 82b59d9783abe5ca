//! Lines about who logged in, and how each login ended, for whoever has to say so later: events of
//! the target `tower_token_refresh::audit`.
//!
//! | `event` | when |
//! |---|---|
//! | `login` | a login has begun |
//! | `logout` | its user has ended it |
//! | `replaced` | another login took its place in the session |
//! | `failed_login` | it was undone, as it could not be given to its session |
//! | `ended_by_provider` | a logout token has ended it |
//! | `refused` | the provider no longer takes its refresh token |
//! | `subject_changed` | the provider gave it the tokens of somebody else |
//! | `reuse_suspected` | two processes presented one refresh token, which a provider may punish |
//!
//! What begins and ends is counted here, too: one line, one count.
//!
//! A user is a keyed hash, so that the log leads to nobody without the key. Tokens, session ids and
//! subjects never appear.

use std::sync::Arc;

use aws_lc_rs::{hmac, rand};

use crate::{
    error::ConfigError,
    hex,
    metrics::Meter,
    token_store::EndingReason,
    tokens::{GrantTokens, RecordKey},
};

const SHORTEST_KEY: usize = 32;

/// Cheap to clone.
#[derive(Clone)]
pub(super) struct Audit(Arc<Parts>);

struct Parts {
    key: hmac::Key,
    issuer: String,
    meter: Arc<Meter>,
}

impl Audit {
    /// Without a key, with a random one: users have another hash in each process.
    pub(super) fn new(
        key: Option<&[u8]>,
        issuer: &str,
        meter: Arc<Meter>,
    ) -> Result<Self, ConfigError> {
        let mut random = [0; SHORTEST_KEY];
        let key = match key {
            Some(key) if key.len() < SHORTEST_KEY => {
                return Err(ConfigError::Range {
                    what: "the audit key",
                    value: format!("{} bytes", key.len()),
                    rule: "it must have at least 32 bytes",
                });
            }
            Some(key) => key,
            None => {
                rand::fill(&mut random).map_err(|_| ConfigError::Range {
                    what: "the audit key",
                    value: "none".into(),
                    rule: "it is needed, as the system gives no random bytes",
                })?;
                &random
            }
        };
        let key = hmac::Key::new(hmac::HMAC_SHA256, key);
        Ok(Self(Arc::new(Parts { key, issuer: issuer.to_owned(), meter })))
    }

    /// Stands for the user with this subject.
    pub(super) fn user(&self, subject: &str) -> String {
        let mut context = hmac::Context::with_key(&self.0.key);
        context.update(self.0.issuer.as_bytes());
        context.update(&[0]);
        context.update(subject.as_bytes());
        let tag = context.sign();
        let mut half = [0; 16];
        half.copy_from_slice(&tag.as_ref()[..16]);
        hex::digits(half)
    }

    pub(super) fn login(&self, login: RecordKey, subject: Option<&str>) {
        self.0.meter.login_began();
        self.line("login", login, subject);
    }

    /// The token store has taken an ending, and no other one before. `of`: what is known of the
    /// login.
    pub(super) fn ended(&self, login: RecordKey, of: Option<&GrantTokens>, why: EndingReason) {
        self.0.meter.login_ended(why.name());
        let subject = of.and_then(|tokens| tokens.subject.as_deref());
        let event = match why {
            EndingReason::Logout => "logout",
            EndingReason::Replaced => "replaced",
            EndingReason::FailedLogin => "failed_login",
            EndingReason::Provider => "ended_by_provider",
            EndingReason::Expired => "refused",
            EndingReason::SubjectChanged => "subject_changed",
        };
        self.line(event, login, subject);
    }

    pub(super) fn reuse_suspected(&self, login: RecordKey, subject: Option<&str>) {
        self.line("reuse_suspected", login, subject);
    }

    fn line(&self, event: &'static str, login: RecordKey, subject: Option<&str>) {
        let user = subject.map(|subject| self.user(subject));
        let issuer = &self.0.issuer;
        tracing::info!(
            target: "tower_token_refresh::audit",
            event,
            %login,
            user,
            issuer,
            "{event}"
        );
    }
}
