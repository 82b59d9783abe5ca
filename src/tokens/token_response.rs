//! How a token response is read: field by field, and whatever can be kept is kept.
//!
//! A refresh has used the old refresh token up. If the new one were thrown away because another
//! field looks odd, the old one would be presented again, and a strict provider ends the login. So
//! only a response without a usable access token is an error, and even then its refresh token is
//! read.

use std::{
    borrow::Cow,
    time::{Duration, SystemTime},
};

use secrecy::SecretString;
use serde_json::{Map, Value};

mod body;

pub(crate) use self::body::fields;
use super::{
    HeaderToken, Scheme, TokenSet, TokenSetError,
    claims::{self, lenient_number, lenient_text, lenient_words},
    lifetime::LONGEST_LIFE,
};

/// Where some providers put the tokens: TikTok and others, and Slack.
const NESTED: [&str; 2] = ["data", "authed_user"];
/// Types of tokens that are worth nothing without a proof of possession that this crate does not
/// make.
const OTHER_PROOFS: [&str; 3] = ["mac", "pop", "n_a"];
const DPOP: &str = "dpop";

/// A response whose access token is missing or cannot be used.
pub(crate) struct Unusable {
    pub(crate) error: TokenSetError,
    pub(crate) refresh_token: Option<NewRefreshToken>,
}

/// A refresh token that came without an access token.
pub(crate) struct NewRefreshToken {
    pub(crate) token: SecretString,
    pub(crate) expires_in: Option<Duration>,
}

impl From<TokenSetError> for Unusable {
    fn from(error: TokenSetError) -> Self {
        Self { error, refresh_token: None }
    }
}

/// `is_whole`: the body was read to its end. Of the rest, what stands before the end is read if a
/// refresh token is there: then nothing better was in what is missing.
pub(crate) fn read(body: &[u8], is_whole: bool) -> Result<TokenSet, Unusable> {
    let mut fields = with_tokens(if is_whole { body::fields(body)? } else { body::cut(body)? });
    let refresh_life = ["refresh_expires_in", "refresh_token_expires_in"];
    let refresh_expires_in = refresh_life.iter().find_map(|name| {
        // Keycloak's 0 means that no limit is known.
        fields.get(*name).and_then(life).filter(|life| !life.is_zero())
    });
    let refresh_token = take_text(&mut fields, "refresh_token");
    // A byte that was no UTF-8 has become this, and the token another one.
    let refresh_token = refresh_token.filter(|token| !token.contains('\u{FFFD}'));
    let refresh_token = refresh_token.map(SecretString::from);
    let access_token = match usable_access_token(&mut fields) {
        Ok(token) => token,
        Err(error) => {
            let expires_in = refresh_expires_in;
            let refresh_token = refresh_token.map(|token| NewRefreshToken { token, expires_in });
            return Err(Unusable { error, refresh_token });
        }
    };
    let id_token = take_text(&mut fields, "id_token");
    let by_id_token = Hints::of(id_token.as_deref().unwrap_or_default());
    let by_access_token = Hints::of(access_token.expose());
    Ok(TokenSet {
        issuer: None,
        subject: by_id_token.subject().or(by_access_token.subject()),
        sid: by_id_token.sid().or(by_access_token.sid()),
        identity: None,
        jwt_expires_at: by_access_token.expires_at(),
        access_token,
        dpop_key: None,
        refresh_token,
        id_token: id_token.map(SecretString::from),
        scope: fields.get("scope").and_then(lenient_words),
        expires_in: fields.get("expires_in").and_then(life),
        refresh_expires_in,
        obtained_at: None,
        expires_at: None,
    })
}

fn with_tokens(mut fields: Map<String, Value>) -> Map<String, Value> {
    let has_tokens = |fields: &Map<String, Value>| {
        let is_token = |name: &&str| {
            fields.get(*name).and_then(Value::as_str).is_some_and(|token| !token.is_empty())
        };
        ["access_token", "refresh_token"].iter().any(is_token)
    };
    if has_tokens(&fields) {
        return fields;
    }
    let nested = NESTED.iter().find_map(|name| match fields.get_mut(*name) {
        Some(Value::Object(inner)) if has_tokens(inner) => Some(std::mem::take(inner)),
        _ => None,
    });
    nested.unwrap_or(fields)
}

/// A field of text. None if it is empty, or anything else.
fn take_text(fields: &mut Map<String, Value>, name: &str) -> Option<String> {
    match fields.remove(name) {
        Some(Value::String(text)) => Some(text).filter(|text| !text.is_empty()),
        _ => None,
    }
}

fn usable_access_token(fields: &mut Map<String, Value>) -> Result<HeaderToken, TokenSetError> {
    let broken = |rule| TokenSetError::Field { field: "access_token", rule };
    let token =
        take_text(fields, "access_token").ok_or(broken("is missing, empty or not a string"))?;
    let token_type = fields.get("token_type");
    if token_type.is_some_and(|it| is_any_of(it, &OTHER_PROOFS)) {
        let rule = "is neither bearer nor DPoP: its tokens need another proof of possession";
        return Err(TokenSetError::Field { field: "token_type", rule });
    }
    let is_bound = token_type.is_some_and(|it| is_any_of(it, &[DPOP]));
    let scheme = if is_bound { Scheme::Dpop } else { Scheme::Bearer };
    HeaderToken::new(&token, scheme).ok_or(broken("holds a character that is not visible ASCII"))
}

/// Providers leave the type out, name it "HeaderToken", "JWT" or "bot", or list several.
fn is_any_of(token_type: &Value, types: &[&str]) -> bool {
    match token_type {
        Value::String(name) => types.iter().any(|one| name.trim().eq_ignore_ascii_case(one)),
        Value::Array(names) => !names.is_empty() && names.iter().all(|name| is_any_of(name, types)),
        _ => false,
    }
}

/// Seconds. What is not above 0 is over at once. None for what is no number.
fn life(value: &Value) -> Option<Duration> {
    let seconds = lenient_number(value)?.max(0.0);
    Some(Duration::try_from_secs_f64(seconds).map_or(LONGEST_LIFE, |life| life.min(LONGEST_LIFE)))
}

/// The claims of a token, each read by itself: one odd claim must not hide the others.
struct Hints(Map<String, Value>);

impl Hints {
    /// Nothing if the token is opaque or encrypted, which is no error.
    fn of(jwt: &str) -> Self {
        Self(claims::payload(jwt).unwrap_or_default())
    }

    fn subject(&self) -> Option<String> {
        self.text("sub")
    }

    fn sid(&self) -> Option<String> {
        self.text("sid")
    }

    fn text(&self, name: &str) -> Option<String> {
        let text = self.0.get(name).and_then(lenient_text);
        text.filter(|text| !text.is_empty()).map(Cow::into_owned)
    }

    fn expires_at(&self) -> Option<SystemTime> {
        let seconds = lenient_number(self.0.get("exp")?).filter(|seconds| *seconds > 0.0)?;
        SystemTime::UNIX_EPOCH.checked_add(Duration::try_from_secs_f64(seconds).ok()?)
    }
}

#[cfg(test)]
mod tests;
