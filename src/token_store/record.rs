//! What a token store keeps of a grant. [`text`](super::text) says how it is written.

use std::{fmt, time::SystemTime};

use aws_lc_rs::rand;
use serde_json::Value;

use super::{Put, text::VERSION};

/// What a token store keeps of one grant.
///
/// A store may keep it as its [text](Self::to_text), or the fields it compares (the
/// [version](Self::version)) in columns beside the text. `Debug` shows no token.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenRecord {
    pub(super) state: RecordState,
    pub(super) generation: u64,
    pub(super) nonce: Nonce,
    pub(super) issuer: String,
    pub(super) expires_at: SystemTime,
    pub(super) keep_until: SystemTime,
    pub(super) payload: Payload,
}

/// The tokens of a record.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Payload {
    /// Of a record that has ended.
    None,
    Plain(Value),
    Sealed(String),
}

/// What a record says of its grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecordState {
    /// The tokens are good.
    Live,
    /// The tokens are good, and a refresh presents the refresh token.
    Presenting {
        /// When the refresh marked the record, by the store's clock where it has one.
        since: SystemTime,
    },
    /// The login is over.
    Ended(Ending),
}

/// A [`RecordState`] without what belongs to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RecordStateKind {
    /// The tokens are good.
    Live,
    /// The tokens are good, and a refresh presents the refresh token.
    Presenting,
    /// The login is over.
    Ended,
}

/// What [`TokenStore::swap`](super::TokenStore::swap) compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RecordVersion {
    /// Counts the token sets of the grant, from 1.
    pub generation: u64,
    /// What the record says of its grant.
    pub state: RecordStateKind,
    /// Of the login, the refresh or the ending that wrote the record last.
    pub nonce: Nonce,
}

/// Names one login, one ending, or one attempt of a refresh: its mark, and the tokens that follow the
/// mark, carry the same one. 64 random bits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Nonce(u64);

/// How a login ends, for its token record and for what a refresh under way still brings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ending {
    /// Why the grant ended.
    pub reason: EndingReason,
    /// Whether tokens that a refresh still brings are revoked. Otherwise they are dropped.
    pub revoke: bool,
    /// Whether the sessions that point to the login end with it.
    pub with_session: bool,
    /// How long the record of the ending must stay. It stays as long as the record that it
    /// replaces, if that is longer.
    pub keep_until: SystemTime,
    /// Of this ending alone, and of the record that it leaves. Whoever sent it and got no answer
    /// knows by it whether the store has taken it.
    pub nonce: Nonce,
}

/// Why a login ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EndingReason {
    /// The user logged out.
    Logout,
    /// Another login took its place in the session.
    Replaced,
    /// The login that made it failed.
    FailedLogin,
    /// The provider ended it (OpenID Connect Back-Channel Logout 1.0).
    Provider,
    /// The provider no longer takes the refresh token, or there is none.
    Expired,
    /// The refreshed tokens were another user's.
    SubjectChanged,
}

/// Why a record cannot be read. It names the rule and never the value, which holds tokens.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// It is not a record of this crate.
    #[error("{rule}")]
    Malformed {
        /// The rule it breaks.
        rule: &'static str,
    },
    /// A later release wrote it.
    #[error("it has version {version}, and this release reads version {VERSION}")]
    NewerVersion {
        /// Its version.
        version: u64,
    },
}

impl TokenRecord {
    /// What is compared before the record is replaced.
    #[must_use]
    pub fn version(&self) -> RecordVersion {
        let state = self.state.kind();
        RecordVersion { generation: self.generation, state, nonce: self.nonce }
    }

    /// The state of the grant.
    #[must_use]
    pub fn state(&self) -> RecordState {
        self.state
    }

    /// How the grant ended, if it has.
    #[must_use]
    pub fn ending(&self) -> Option<Ending> {
        match self.state {
            RecordState::Ended(ending) => Some(ending),
            RecordState::Live | RecordState::Presenting { .. } => None,
        }
    }

    /// Counts the token sets of the grant, from 1.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Whose tokens they are, or were.
    pub(crate) fn issuer(&self) -> &str {
        &self.issuer
    }

    /// How long the store must keep the record. After that it may drop it.
    #[must_use]
    pub fn keep_until(&self) -> SystemTime {
        self.keep_until
    }

    /// The record that replaces this one when its grant ends.
    #[must_use]
    pub fn ended(&self, ending: &Ending) -> Self {
        let keep_until = self.keep_until.max(ending.keep_until);
        Self {
            state: RecordState::Ended(Ending { keep_until, ..*ending }),
            generation: self.generation,
            nonce: ending.nonce,
            issuer: self.issuer.clone(),
            expires_at: self.expires_at,
            keep_until,
            payload: Payload::None,
        }
    }

    /// A record of something that is over, for a grant that has no other.
    pub(crate) fn of_ending(ending: Ending, issuer: &str) -> Self {
        Self {
            state: RecordState::Ended(ending),
            generation: 0,
            nonce: ending.nonce,
            issuer: issuer.to_owned(),
            expires_at: SystemTime::UNIX_EPOCH,
            keep_until: ending.keep_until,
            payload: Payload::None,
        }
    }

    /// What [`TokenStore::put_newer`](super::TokenStore::put_newer) must do with `new` where this
    /// record is stored.
    #[must_use]
    pub fn judge(&self, new: &Self) -> Put {
        if let Some(ending) = self.ending() {
            return Put::Ended(ending);
        }
        let is_new_itself = self.generation == new.generation && self.nonce == new.nonce;
        if self.generation < new.generation || is_new_itself { Put::Stored } else { Put::NotNewer }
    }
}

impl fmt::Debug for TokenRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenRecord")
            .field("state", &self.state)
            .field("generation", &self.generation)
            .field("expires_at", &self.expires_at)
            .field("keep_until", &self.keep_until)
            .finish_non_exhaustive()
    }
}

impl RecordState {
    /// Which of the states it is.
    #[must_use]
    pub fn kind(self) -> RecordStateKind {
        match self {
            Self::Live => RecordStateKind::Live,
            Self::Presenting { .. } => RecordStateKind::Presenting,
            Self::Ended(_) => RecordStateKind::Ended,
        }
    }
}

impl RecordStateKind {
    /// As it stands in a record: `live`, `presenting` or `ended`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Presenting => "presenting",
            Self::Ended => "ended",
        }
    }
}

impl EndingReason {
    const ALL: [Self; 6] = [
        Self::Logout,
        Self::Replaced,
        Self::FailedLogin,
        Self::Provider,
        Self::Expired,
        Self::SubjectChanged,
    ];
    /// The labels of metrics.
    pub(crate) const NAMES: [&str; 6] = [
        Self::Logout.name(),
        Self::Replaced.name(),
        Self::FailedLogin.name(),
        Self::Provider.name(),
        Self::Expired.name(),
        Self::SubjectChanged.name(),
    ];

    /// As it stands in a record, and as a label of metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Logout => "logout",
            Self::Replaced => "replaced",
            Self::FailedLogin => "failed_login",
            Self::Provider => "provider",
            Self::Expired => "expired",
            Self::SubjectChanged => "subject_changed",
        }
    }

    pub(super) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.name() == name)
    }
}

impl Nonce {
    pub(crate) fn random() -> Self {
        let mut nonce = [0; 8];
        rand::fill(&mut nonce).expect("the operating system gives random bytes");
        Self(u64::from_be_bytes(nonce))
    }

    #[cfg(test)]
    pub(crate) const fn sample(nonce: u64) -> Self {
        Self(nonce)
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        // `from_str_radix` would take a sign as well.
        if text.len() != 16 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        u64::from_str_radix(text, 16).ok().map(Self)
    }
}

/// Sixteen hexadecimal digits, as in a record's text.
impl fmt::Display for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
