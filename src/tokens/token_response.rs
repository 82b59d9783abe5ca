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

use super::{
    BearerToken, TokenSet, TokenSetError,
    claims::{self, lenient_number, lenient_text, lenient_words},
    lifetime::LONGEST_LIFE,
};

const BOM: &[u8] = b"\xEF\xBB\xBF";
/// Where some providers put the tokens: TikTok and others, and Slack.
const NESTED: [&str; 2] = ["data", "authed_user"];
/// All fields that are read.
const FIELDS: [&str; 8] = [
    "access_token",
    "expires_in",
    "id_token",
    "refresh_expires_in",
    "refresh_token",
    "refresh_token_expires_in",
    "scope",
    "token_type",
];
/// Types of tokens that are worth nothing without a proof of possession.
const NOT_BEARER: [&str; 4] = ["dpop", "mac", "pop", "n_a"];

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

pub(crate) fn read(body: &[u8]) -> Result<TokenSet, Unusable> {
    let mut fields = with_tokens(fields(body).or_else(|error| piecemeal(body).ok_or(error))?);
    let refresh_life = ["refresh_expires_in", "refresh_token_expires_in"];
    let refresh_expires_in = refresh_life.iter().find_map(|name| {
        // Keycloak's 0 means that no limit is known.
        fields.get(*name).and_then(life).filter(|life| !life.is_zero())
    });
    let refresh_token = take_text(&mut fields, "refresh_token").map(SecretString::from);
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
        subject: by_id_token.subject().or(by_access_token.subject()),
        sid: by_id_token.sid().or(by_access_token.sid()),
        jwt_expires_at: by_access_token.expires_at(),
        access_token,
        refresh_token,
        id_token: id_token.map(SecretString::from),
        scope: fields.get("scope").and_then(lenient_words),
        expires_in: fields.get("expires_in").and_then(life),
        refresh_expires_in,
        obtained_at: None,
        expires_at: None,
    })
}

/// The fields of a body that is a JSON object or, as GitHub sends it, a form. Of a field that comes
/// twice, the last one.
pub(crate) fn fields(body: &[u8]) -> Result<Map<String, Value>, TokenSetError> {
    let body = body.strip_prefix(BOM).unwrap_or(body);
    serde_json::from_slice(body).or_else(|error| {
        let not_json = TokenSetError::NotJson { line: error.line(), column: error.column() };
        form(body).or_else(|| spoilt_json(body)).ok_or(not_json)
    })
}

/// JSON with bytes that are no UTF-8, or with something behind it.
fn spoilt_json(body: &[u8]) -> Option<Map<String, Value>> {
    let text = String::from_utf8_lossy(body);
    serde_json::Deserializer::from_str(&text).into_iter().next()?.ok()
}

/// The fields of a JSON object that is broken somewhere: by a number such as `NaN`, half of a character,
/// too many brackets, or no end. Reads what stands behind each name that matters, wherever that is.
fn piecemeal(body: &[u8]) -> Option<Map<String, Value>> {
    let text = String::from_utf8_lossy(body.strip_prefix(BOM).unwrap_or(body));
    if !text.trim_start().starts_with('{') {
        return None;
    }
    let value = |name: &str| {
        let quoted = format!("\"{name}\"");
        text.match_indices(&quoted).find_map(|(at, _)| {
            let behind = text[at + quoted.len()..].trim_start().strip_prefix(':')?;
            serde_json::Deserializer::from_str(behind).into_iter().next()?.ok()
        })
    };
    let fields = FIELDS.iter().filter_map(|name| Some(((*name).to_owned(), value(name)?)));
    let fields: Map<String, Value> = fields.collect();
    (!fields.is_empty()).then_some(fields)
}

/// None for any other text. A page may well hold `&error=login_required`, but it also holds what no
/// form does.
fn form(body: &[u8]) -> Option<Map<String, Value>> {
    let is_form = |byte: &u8| byte.is_ascii_alphanumeric() || b"*-._~%+=&".contains(byte);
    let body = body.trim_ascii();
    if !body.iter().all(is_form) {
        return None;
    }
    let fields = url::form_urlencoded::parse(body);
    let fields: Map<_, _> = fields.map(|(name, text)| (name.into(), Value::from(text))).collect();
    let is_answer =
        ["access_token", "refresh_token", "error"].iter().any(|name| fields.contains_key(*name));
    is_answer.then_some(fields)
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

fn usable_access_token(fields: &mut Map<String, Value>) -> Result<BearerToken, TokenSetError> {
    let broken = |rule| TokenSetError::Field { field: "access_token", rule };
    let token =
        take_text(fields, "access_token").ok_or(broken("is missing, empty or not a string"))?;
    let token =
        BearerToken::new(&token).ok_or(broken("holds a character that is not visible ASCII"))?;
    if fields.get("token_type").is_some_and(needs_proof) {
        let rule = "is not bearer: its tokens need a proof of possession";
        return Err(TokenSetError::Field { field: "token_type", rule });
    }
    Ok(token)
}

/// Providers leave the type out, name it "BearerToken", "JWT" or "bot", or list several.
fn needs_proof(token_type: &Value) -> bool {
    match token_type {
        Value::String(name) => {
            NOT_BEARER.iter().any(|other| name.trim().eq_ignore_ascii_case(other))
        }
        Value::Array(names) => !names.is_empty() && names.iter().all(needs_proof),
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
