//! A login under way: what the callback must know of the request it answers.
//!
//! Each attempt lies in a cookie of its own, named after its state. So tabs that log in at once do
//! not overwrite each other, nothing is kept here for whoever never comes back, and a session that
//! gets a new id loses no attempt. The cookie binds the state to this browser: a callback with
//! somebody else's state finds none. Who can read the cookie is the browser that makes the attempt,
//! and nonce and verifier are worth nothing without the code that is sent to the same browser.

use std::time::{Duration, SystemTime};

use axum::http::HeaderMap;
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use tower_token_refresh::tower_sessions::cookie::{Cookie, time};

use super::{
    cookies::{self, CookieNames},
    return_path::ReturnPath,
    settings::BaseUrl,
};

/// How long a user may take at the provider.
pub const LIFETIME: Duration = Duration::from_secs(600);
/// Attempts beyond this are dropped, the oldest first: all cookies together must fit into a
/// request's header.
pub const MOST: usize = 8;

pub struct Attempt {
    pub nonce: String,
    pub verifier: String,
    pub return_to: ReturnPath,
    started_at: u64,
}

impl Attempt {
    pub fn new(nonce: String, verifier: String, return_to: ReturnPath, now: SystemTime) -> Self {
        Self { nonce, verifier, return_to, started_at: unix_seconds(now) }
    }

    /// The cookie that keeps it.
    pub fn cookie(&self, names: CookieNames, state: &str) -> Cookie<'static> {
        let return_to = BASE64_URL_SAFE_NO_PAD.encode(self.return_to.as_str());
        let value = format!("{}.{}.{}.{return_to}", self.started_at, self.nonce, self.verifier);
        let lifetime = time::Duration::seconds(LIFETIME.as_secs().cast_signed());
        names.build(name(names, state), value).max_age(lifetime).build()
    }

    /// The attempt with this state, if this browser has begun it less than [`LIFETIME`] ago.
    pub fn find(
        headers: &HeaderMap,
        names: CookieNames,
        state: &str,
        base: &BaseUrl,
        now: SystemTime,
    ) -> Option<Self> {
        let name = name(names, state);
        let (_, value) = cookies::sent(headers).find(|(sent, _)| *sent == name)?;
        let mut parts = value.splitn(4, '.');
        let started_at = parts.next()?.parse().ok()?;
        let (nonce, verifier) = (parts.next()?.to_owned(), parts.next()?.to_owned());
        let return_to =
            String::from_utf8(BASE64_URL_SAFE_NO_PAD.decode(parts.next()?).ok()?).ok()?;
        // A cookie comes from outside, too.
        let return_to = ReturnPath::parse(&return_to, base)?;
        let age = unix_seconds(now).checked_sub(started_at)?;
        (age < LIFETIME.as_secs()).then_some(Self { nonce, verifier, return_to, started_at })
    }

    /// The line that takes an attempt's cookie away.
    pub fn removal(names: CookieNames, state: &str) -> Cookie<'static> {
        let mut cookie = names.build(name(names, state), String::new()).build();
        cookie.make_removal();
        cookie
    }

    /// The states to forget before one more attempt begins.
    pub fn surplus(headers: &HeaderMap, names: CookieNames) -> Vec<String> {
        let mut attempts: Vec<(u64, &str)> = cookies::sent(headers)
            .filter_map(|(name, value)| {
                let state = name.strip_prefix(names.attempt_prefix())?;
                // What is no attempt of ours goes first.
                let started_at = value.split('.').next()?.parse().unwrap_or_default();
                Some((started_at, state))
            })
            .collect();
        attempts.sort_unstable();
        let surplus = (attempts.len() + 1).saturating_sub(MOST);
        attempts[..surplus].iter().map(|(_, state)| (*state).to_owned()).collect()
    }
}

fn name(names: CookieNames, state: &str) -> String {
    format!("{}{state}", names.attempt_prefix())
}

fn unix_seconds(at: SystemTime) -> u64 {
    at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}
