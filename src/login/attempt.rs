//! [`Attempt`]: a login under way, in a cookie that only this application can write.
//!
//! Each attempt lies in a cookie of its own, named after its state. So tabs that log in at once do
//! not overwrite each other, nothing is kept here for whoever never comes back, and a session that
//! gets a new id loses no attempt. The cookie binds the state to this browser: a callback with
//! somebody else's state finds none. It is sealed, so a callback with a made-up one ends before the
//! provider is asked anything; and sealed for one redirect URI at one issuer, so the answer of
//! another provider finds none either.

use std::time::{Duration, SystemTime};

use aws_lc_rs::{
    digest::{SHA256, digest},
    rand,
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use http::HeaderMap;
use serde::{Deserialize, Serialize};
use tower_sessions::cookie::{Cookie, SameSite, time};

use crate::{
    TokenRefresher, clock::unix_seconds, cookies, endpoint::LEEWAY, token_store::SealKeys,
};

/// How long a user may take at the provider.
const LIFETIME: Duration = Duration::from_secs(600);
/// The most attempts of one browser. Beyond it the oldest are forgotten.
const MOST: usize = 8;
/// The most bytes of their cookies: all cookies together must fit into a request's headers.
const MOST_BYTES: usize = 4096;
/// The length of a state: 16 random bytes in base64url.
const STATE_LENGTH: usize = 22;

/// What the callback must know of the request that it answers.
#[derive(Serialize, Deserialize)]
pub(super) struct Attempt {
    pub(super) nonce: String,
    pub(super) verifier: String,
    pub(super) return_to: String,
    /// How long ago the user may have entered the password, in seconds, where that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) max_age: Option<u64>,
}

/// Seals and finds attempts.
pub(super) struct Attempts {
    keys: SealKeys,
    /// Whose attempts these are.
    scope: String,
    secure: bool,
}

impl Attempt {
    pub(super) fn new(return_to: String, max_age: Option<u64>) -> Self {
        Self { nonce: random_text::<16>(), verifier: random_text::<32>(), return_to, max_age }
    }

    /// The `code_challenge` of its verifier, by S256 (RFC 7636, section 4.2).
    pub(super) fn challenge(&self) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(digest(&SHA256, self.verifier.as_bytes()))
    }
}

/// A new state.
pub(super) fn random_state() -> String {
    random_text::<16>()
}

impl Attempts {
    pub(super) fn new(keys: SealKeys, issuer: &str, redirect_uri: &str, secure: bool) -> Self {
        Self { keys, scope: format!("{issuer} {redirect_uri}"), secure }
    }

    /// The cookie that keeps `attempt`. None if it cannot be sealed.
    pub(super) fn cookie(
        &self,
        state: &str,
        attempt: &Attempt,
        now: SystemTime,
    ) -> Option<Cookie<'static>> {
        let began = unix_seconds(now);
        let payload = serde_json::to_string(attempt).ok()?;
        let sealed = self.keys.seal(&self.head(state, began), payload).ok()?;
        let mut cookie = self.build(state, format!("{began}.{sealed}"));
        cookie.set_max_age(time::Duration::seconds(LIFETIME.as_secs().cast_signed()));
        Some(cookie)
    }

    /// The attempt with this state, if this browser has begun it less than ten minutes ago.
    pub(super) fn find(
        &self,
        headers: &HeaderMap,
        state: &str,
        now: SystemTime,
    ) -> Option<Attempt> {
        if !is_state(state) {
            return None;
        }
        let name = self.name(state);
        let (_, value) = cookies::sent(headers).find(|(sent, _)| *sent == name.as_bytes())?;
        let (began, sealed) = std::str::from_utf8(value).ok()?.split_once('.')?;
        let began = began.parse().ok()?;
        let now = unix_seconds(now);
        // Another process may have begun it, whose clock is ahead.
        let is_of_the_future = began > now.saturating_add(LEEWAY.as_secs());
        if is_of_the_future || now.saturating_sub(began) >= LIFETIME.as_secs() {
            return None;
        }
        let head = self.head(state, began);
        let opened = SealKeys::open_with(Some(&self.keys), &head, sealed).ok()?;
        serde_json::from_slice(&opened).ok()
    }

    /// The cookie that takes an attempt away.
    pub(super) fn removal(&self, state: &str) -> Cookie<'static> {
        let mut cookie = self.build(if is_state(state) { state } else { "" }, String::new());
        cookie.make_removal();
        cookie
    }

    /// The states to forget so that `new` has room.
    pub(super) fn surplus(&self, headers: &HeaderMap, new: &Cookie<'_>) -> Vec<String> {
        let prefix = self.name("");
        let mut sent: Vec<(u64, usize, &str)> = cookies::sent(headers)
            .filter_map(|(name, value)| {
                let state = name.strip_prefix(prefix.as_bytes())?;
                let state = std::str::from_utf8(state).ok().filter(|state| is_state(state))?;
                let began = value.split(|byte| *byte == b'.').next().unwrap_or_default();
                // What is no attempt of ours goes first.
                let began = std::str::from_utf8(began).ok().and_then(|began| began.parse().ok());
                Some((began.unwrap_or_default(), name.len() + value.len(), state))
            })
            .collect();
        sent.sort_unstable_by(|one, other| other.cmp(one));
        let (mut count, mut bytes) = (1, new.name().len() + new.value().len());
        let too_many = sent.into_iter().filter(|(_, length, _)| {
            count += 1;
            bytes += length;
            count > MOST || bytes > MOST_BYTES
        });
        too_many.map(|(_, _, state)| state.to_owned()).collect()
    }

    fn build(&self, state: &str, value: String) -> Cookie<'static> {
        // Lax: the browser comes back from another site, by a link.
        Cookie::build((self.name(state), value))
            .path("/")
            .http_only(true)
            .same_site(SameSite::Lax)
            .secure(self.secure)
            .build()
    }

    /// Over https the prefix makes browsers take the cookie from this very host only (RFC 6265bis,
    /// section 4.1.3.2): no sibling domain can plant one.
    fn name(&self, state: &str) -> String {
        format!("{}login-{state}", if self.secure { "__Host-" } else { "" })
    }

    /// What the sealed part is bound to.
    fn head(&self, state: &str, began: u64) -> String {
        format!("login attempt {state} {began} {}", self.scope)
    }
}

/// For an application without keys of its own.
pub(super) fn random_keys(refresher: &TokenRefresher) -> SealKeys {
    if refresher.may_be_one_of_several() {
        tracing::info!(
            "logins under way are sealed with a random key: another process cannot finish them, nor \
             this one after a restart; set `attempt_keys`, or seal the tokens (`seal_with`)"
        );
    }
    let mut key = [0; 32];
    rand::fill(&mut key).expect("the operating system gives random bytes");
    SealKeys::new(key)
}

/// A state from outside may be anything, and this one becomes part of a header.
fn is_state(text: &str) -> bool {
    let is_ours = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    text.len() == STATE_LENGTH && text.bytes().all(is_ours)
}

fn random_text<const BYTES: usize>() -> String {
    let mut random = [0; BYTES];
    rand::fill(&mut random).expect("the operating system gives random bytes");
    BASE64_URL_SAFE_NO_PAD.encode(random)
}
