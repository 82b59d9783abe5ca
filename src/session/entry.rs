//! How a token set lies in a session record: one key, one string.
//!
//! ```text
//! live        s1.<grant>.<generation>.<expires at, ms since 1970>.<payload: JSON>
//! sealed      s2.<grant>.<generation>.<expires at, ms since 1970>.<key id>.<base64url of nonce, sealed payload and tag>
//! tombstone   s1.<grant>.ended
//! ```
//!
//! A string is one piece of heap; tower-sessions clones the record on every load, and a JSON object would be some thirty pieces.
//! A sealed payload is bound to everything before it, as it stands there: under another grant, generation or expiry it does not open.
//!
//! In the store an entry begins with `s`. A guarded store turns that into a capital letter of its own when it hands a record out,
//! so a refresher can tell that a session came through its guard, and through no other one; see [`Entry::guard`].

use std::{
    sync::atomic::{AtomicU8, Ordering},
    time::{Duration, SystemTime},
};

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use super::seal::{KeyId, SealError, SealKeys};
use crate::{
    bearer::BearerToken,
    grant::{ClaimsCache, Generation, GrantId, HeldSet},
};

const PLAIN: &str = "s1.";
const SEALED: &str = "s2.";
const ENDED: &str = "ended";

/// Tells the guarded stores of one process apart: the first 26 of them for certain, more by good luck.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct GuardMark(u8);

impl GuardMark {
    /// Another one than last time.
    pub(crate) fn next() -> Self {
        static GUARDS: AtomicU8 = AtomicU8::new(0);
        Self(b'A' + GUARDS.fetch_add(1, Ordering::Relaxed) % 26)
    }
}

/// An entry whose payload has not been read yet.
#[derive(Clone, Copy)]
pub(crate) struct Entry<'a> {
    /// Which guarded store handed it out, if one did.
    pub(crate) guard: Option<GuardMark>,
    pub(crate) grant: GrantId,
    pub(crate) state: State<'a>,
    version: Version,
    /// All that follows the version.
    body: &'a str,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Version {
    Plain,
    Sealed,
}

#[derive(Clone, Copy)]
pub(crate) enum State<'a> {
    /// A tombstone: all it says is that this grant ended.
    Ended,
    /// The rest is read by those who need it: every request passes here.
    Live { generation: Generation, rest: &'a str },
}

/// Why an entry cannot be read. Says the rule and never the value: the value holds tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum EntryError {
    #[error("it is not a string")]
    NotAString,
    #[error("it does not begin with a known version (\"s1.\" or \"s2.\")")]
    Version,
    #[error("its grant id is not a UUID")]
    Grant,
    #[error("its generation is not a whole number")]
    Generation,
    #[error("its expiry is not a whole number of milliseconds since 1970")]
    Expiry,
    #[error("its payload is not the JSON of a token set")]
    Payload,
    #[error("its access token is not a legal header value")]
    AccessToken,
    #[error(transparent)]
    Sealed(#[from] SealError),
}

impl<'a> Entry<'a> {
    pub(crate) fn parse(text: &'a str) -> Result<Self, EntryError> {
        let (giver, version) = match text.as_bytes() {
            [giver, b'1', b'.', ..] => (*giver, Version::Plain),
            [giver, b'2', b'.', ..] => (*giver, Version::Sealed),
            _ => return Err(EntryError::Version),
        };
        let guard = match giver {
            b's' => None,
            mark if mark.is_ascii_uppercase() => Some(GuardMark(mark)),
            _ => return Err(EntryError::Version),
        };
        let body = &text[PLAIN.len()..];
        match Self::parse_body(body) {
            Ok((grant, state)) => Ok(Self { guard, grant, state, version, body }),
            // Nobody but a seal's breaker writes such a one.
            Err(_) if version == Version::Sealed => Err(SealError::Malformed.into()),
            Err(error) => Err(error),
        }
    }

    fn parse_body(body: &'a str) -> Result<(GrantId, State<'a>), EntryError> {
        let (grant, rest) = body.split_at_checked(GrantId::LENGTH).ok_or(EntryError::Grant)?;
        let grant = GrantId::parse(grant).ok_or(EntryError::Grant)?;
        let rest = rest.strip_prefix('.').ok_or(EntryError::Grant)?;
        if rest == ENDED {
            return Ok((grant, State::Ended));
        }
        let (generation, rest) = rest.split_once('.').ok_or(EntryError::Generation)?;
        let generation = Generation(generation.parse().map_err(|_| EntryError::Generation)?);
        Ok((grant, State::Live { generation, rest }))
    }

    /// The generation of a live entry.
    pub(crate) fn generation(&self) -> Option<Generation> {
        match self.state {
            State::Ended => None,
            State::Live { generation, .. } => Some(generation),
        }
    }

    /// Reads the payload. None for a tombstone.
    pub(crate) fn open(&self, keys: Option<&SealKeys>) -> Result<Option<HeldSet>, EntryError> {
        let State::Live { generation, rest } = self.state else {
            return Ok(None);
        };
        let (expires_at, payload) = match self.version {
            Version::Plain => read_plain(rest)?,
            Version::Sealed => self.unseal(rest, keys)?,
        };
        let secret = |token: String| SecretString::from(token);
        Ok(Some(HeldSet {
            grant: self.grant,
            generation,
            access_token: BearerToken::new(payload.access_token).ok_or(EntryError::AccessToken)?,
            refresh_token: payload.refresh_token.map(secret),
            id_token: payload.id_token.map(secret),
            scope: payload.scope,
            issuer: payload.issuer.into(),
            subject: payload.subject.map(Into::into),
            sid: payload.sid,
            obtained_at: from_millis(payload.obtained_at).ok_or(EntryError::Payload)?,
            expires_at,
            refresh_expires_at: match payload.refresh_expires_at {
                Some(at) => Some(from_millis(at).ok_or(EntryError::Payload)?),
                None => None,
            },
            claims: ClaimsCache::default(),
        }))
    }

    /// Whether a live entry lies as it would be written with `keys` now.
    pub(super) fn is_sealed_by_first_of(&self, keys: &SealKeys) -> bool {
        let State::Live { rest, .. } = self.state else {
            return false;
        };
        self.version == Version::Sealed
            && rest.split('.').nth(1).and_then(KeyId::parse) == Some(keys.sealing_id())
    }

    fn unseal(
        &self,
        rest: &str,
        keys: Option<&SealKeys>,
    ) -> Result<(SystemTime, Payload), EntryError> {
        let parts = rest.split_once('.').and_then(|(expires_at, rest)| {
            let (id, sealed) = rest.split_once('.')?;
            Some((millis(expires_at)?, KeyId::parse(id)?, sealed))
        });
        let (expires_at, id, sealed) = parts.ok_or(SealError::Malformed)?;
        let head = format!("{SEALED}{}", &self.body[..self.body.len() - sealed.len()]);
        let payload = keys.ok_or(SealError::NoKeys(id))?.open(id, &head, sealed)?;
        let payload = serde_json::from_slice(&payload).map_err(|_| EntryError::Payload)?;
        Ok((expires_at, payload))
    }
}

fn read_plain(rest: &str) -> Result<(SystemTime, Payload), EntryError> {
    let (expires_at, payload) = rest.split_once('.').ok_or(EntryError::Expiry)?;
    let expires_at = millis(expires_at).ok_or(EntryError::Expiry)?;
    Ok((expires_at, serde_json::from_str(payload).map_err(|_| EntryError::Payload)?))
}

fn millis(text: &str) -> Option<SystemTime> {
    text.parse().ok().and_then(from_millis)
}

/// The entry of `set` as the store keeps it: sealed if there are keys.
pub(crate) fn live(set: &HeldSet, keys: Option<&SealKeys>) -> Result<String, SealError> {
    let payload = PayloadRef {
        access_token: set.access_token.expose(),
        refresh_token: set.refresh_token.as_ref().map(ExposeSecret::expose_secret),
        id_token: set.id_token.as_ref().map(ExposeSecret::expose_secret),
        scope: set.scope.as_deref(),
        issuer: &set.issuer,
        subject: set.subject.as_deref(),
        sid: set.sid.as_deref(),
        obtained_at: to_millis(set.obtained_at),
        refresh_expires_at: set.refresh_expires_at.map(to_millis),
    };
    let payload = serde_json::json!(payload).to_string();
    let place = format!("{}.{}.{}.", set.grant, set.generation.0, to_millis(set.expires_at));
    Ok(match keys {
        None => format!("{PLAIN}{place}{payload}"),
        Some(keys) => {
            let head = format!("{SEALED}{place}{}.", keys.sealing_id());
            let sealed = keys.seal(&head, payload)?;
            head + &sealed
        }
    })
}

/// The entry that says only that `grant` ended.
pub(crate) fn tombstone(grant: GrantId) -> String {
    format!("{PLAIN}{grant}.{ENDED}")
}

/// Marks a stored entry as handed out by the guarded store of `mark`. Same length: no allocation.
pub(crate) fn mark_guarded(text: &mut String, mark: GuardMark) {
    if text.starts_with(PLAIN) || text.starts_with(SEALED) {
        text.replace_range(..1, char::from(mark.0).encode_utf8(&mut [0; 4]));
    }
}

/// Takes the mark off again, for the store.
pub(crate) fn unmark_guarded(text: &mut String) {
    if let [mark, b'1' | b'2', b'.', ..] = text.as_bytes()
        && mark.is_ascii_uppercase()
    {
        text.replace_range(..1, "s");
    }
}

#[derive(Serialize)]
struct PayloadRef<'a> {
    access_token: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id_token: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<&'a str>,
    issuer: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sid: Option<&'a str>,
    obtained_at: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_expires_at: Option<u64>,
}

#[derive(Deserialize)]
struct Payload {
    access_token: String,
    refresh_token: Option<String>,
    id_token: Option<String>,
    scope: Option<String>,
    issuer: String,
    subject: Option<String>,
    sid: Option<String>,
    obtained_at: u64,
    refresh_expires_at: Option<u64>,
}

/// Times before 1970 are told as 1970: long expired either way.
fn to_millis(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

fn from_millis(millis: u64) -> Option<SystemTime> {
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(millis))
}

#[cfg(test)]
mod tests;
