//! Lines about who logged in, and how each login ended, for whoever has to say so later: events of
//! the target `tower_token_refresh::audit`.
//!
//! `docs/operations.md` has the table of events, and the label under which each of them is counted.
//!
//! What begins and ends is counted here, too: one line, one count.
//!
//! The process whose ending the token store took writes its line. If the store's answer got lost,
//! it does so when it next hears how the login has ended, and finds its own ending there.
//!
//! A user is a keyed hash, so that the log leads to nobody without the key. Tokens, session ids and
//! subjects never appear.

mod lost_answers;

use std::sync::Arc;

use aws_lc_rs::{hmac, rand};

use self::lost_answers::LostAnswers;
use crate::{
    error::ConfigError,
    hex,
    metrics::Meter,
    token_store::{Ending, EndingReason, TokenRecord},
    tokens::{CachedToken, GrantTokens, RecordKey},
};

const SHORTEST_KEY: usize = 32;

/// Cheap to clone.
#[derive(Clone)]
pub(super) struct Audit(Arc<Parts>);

struct Parts {
    key: hmac::Key,
    /// The refresher's own, for logins of which nothing else is known.
    issuer: Arc<str>,
    lost: LostAnswers,
    meter: Arc<Meter>,
}

/// Whose login it is, as far as that is known. A subject is unique at its issuer only.
#[derive(Clone, Default)]
pub(super) struct Whose {
    issuer: Option<Arc<str>>,
    subject: Option<Arc<str>>,
}

impl Whose {
    /// Of a record whose tokens cannot be opened.
    pub(super) fn of_record(record: &TokenRecord) -> Self {
        Self { issuer: Some(record.issuer().into()), subject: None }
    }
}

impl From<&GrantTokens> for Whose {
    fn from(tokens: &GrantTokens) -> Self {
        Self { issuer: Some(tokens.issuer.clone()), subject: tokens.subject.clone() }
    }
}

impl From<&CachedToken> for Whose {
    fn from(token: &CachedToken) -> Self {
        Self { issuer: Some(token.issuer.clone()), subject: token.subject.clone() }
    }
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
        let (issuer, lost) = (issuer.into(), LostAnswers::default());
        Ok(Self(Arc::new(Parts { key, issuer, lost, meter })))
    }

    /// Stands for the user with this subject at this issuer.
    pub(super) fn user(&self, issuer: &str, subject: &str) -> String {
        let mut context = hmac::Context::with_key(&self.0.key);
        context.update(issuer.as_bytes());
        context.update(&[0]);
        context.update(subject.as_bytes());
        let tag = context.sign();
        let mut half = [0; 16];
        half.copy_from_slice(&tag.as_ref()[..16]);
        hex::digits(half)
    }

    pub(super) fn login(&self, login: RecordKey, whose: &Whose) {
        self.0.meter.login_began();
        self.line("login", login, whose);
    }

    /// The token store has taken an ending, and no other one before.
    pub(super) fn ended(&self, login: RecordKey, whose: &Whose, why: EndingReason) {
        self.0.meter.login_ended(why.name());
        let event = match why {
            EndingReason::Logout => "logout",
            EndingReason::Replaced => "replaced",
            EndingReason::FailedLogin => "failed_login",
            EndingReason::Provider => "ended_by_provider",
            EndingReason::Expired => "refused",
            EndingReason::SubjectChanged => "subject_changed",
        };
        self.line(event, login, whose);
    }

    /// The token store may have taken this ending: its answer got lost.
    pub(super) fn answer_lost(&self, login: RecordKey, ending: &Ending, whose: Whose) {
        self.0.lost.add(login, ending.nonce, whose);
    }

    /// The token store says that the login has ended like this. If that is an ending of this
    /// process whose answer got lost, its line is due. `whose`: if more is known by now.
    pub(super) fn found_ended(&self, login: RecordKey, ending: &Ending, whose: Option<Whose>) {
        if let Some(known) = self.0.lost.take(login, ending.nonce) {
            self.ended(login, &whose.unwrap_or(known), ending.reason);
        }
    }

    pub(super) fn reuse_suspected(&self, login: RecordKey, whose: &Whose) {
        self.line("reuse_suspected", login, whose);
    }

    fn line(&self, event: &'static str, login: RecordKey, whose: &Whose) {
        let issuer = whose.issuer.as_deref().unwrap_or(&self.0.issuer);
        let user = whose.subject.as_deref().map(|subject| self.user(issuer, subject));
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
