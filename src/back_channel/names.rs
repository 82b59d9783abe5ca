//! What the token store finds logins by: HMAC-SHA-256 of the name that the provider may use, cut to
//! 128 bits. Nobody can make or read one without the key.

use std::sync::atomic::{AtomicBool, Ordering};

use aws_lc_rs::hmac;

use super::LogoutToken;
use crate::{token_store::NameKey, tokens::GrantTokens};

pub(crate) struct Names {
    key: hmac::Key,
    warned_of_nameless: AtomicBool,
}

impl Names {
    pub(super) fn new(key: hmac::Key) -> Self {
        Self { key, warned_of_nameless: AtomicBool::new(false) }
    }

    /// What a login is found by.
    pub(crate) fn of(&self, tokens: &GrantTokens) -> Vec<NameKey> {
        let issuer = &tokens.issuer;
        let by_sid = tokens.sid.as_deref().map(|sid| self.name("sid", issuer, sid));
        let by_subject = tokens.subject.as_deref().map(|subject| self.name("sub", issuer, subject));
        by_sid.into_iter().chain(by_subject).collect()
    }

    /// What a logout token of `issuer` means: the logins of one session at the provider, else all of
    /// a user.
    pub(crate) fn named_by(&self, issuer: &str, token: &LogoutToken) -> NameKey {
        match (&token.sid, &token.subject) {
            (Some(sid), _) => self.name("sid", issuer, sid),
            (None, subject) => self.name("sub", issuer, subject.as_deref().unwrap_or_default()),
        }
    }

    /// What a used logout token is remembered by.
    pub(crate) fn token(&self, issuer: &str, jti: &str) -> NameKey {
        self.name("jti", issuer, jti)
    }

    /// Says so, once, if the tokens of a login have no name to find it by.
    pub(crate) fn warn_of_nameless(&self, tokens: &GrantTokens) {
        let nameless = tokens.sid.is_none() && tokens.subject.is_none();
        if nameless && !self.warned_of_nameless.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "the provider cannot end a login whose tokens name neither its session (`sid`) nor \
                 its user (`sub`); ID tokens do, with the scope `openid` (logged once)"
            );
        }
    }

    /// Each part with its length before it, so that no two names look the same.
    fn name(&self, kind: &str, issuer: &str, name: &str) -> NameKey {
        let mut context = hmac::Context::with_key(&self.key);
        for part in [kind, issuer, name] {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part.as_bytes());
        }
        let mut key = [0; 16];
        key.copy_from_slice(&context.sign().as_ref()[..16]);
        NameKey::from_bytes(key)
    }
}
