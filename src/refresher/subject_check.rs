//! Are the refreshed tokens still those of the user who logged in?
//!
//! Two different things may be wrong with them, and they have different ends.
//!
//! **They are somebody else's.** OpenID Connect Core 12.2: `iss` and `sub` of a refreshed ID token
//! are those of the one before. Two spellings of `iss` that are both
//! [accepted](crate::TokenEndpoint::accept_issuer) are one. The same is asked of a JWT access
//! token, each kind compared with its own kind, as some providers give one user a `sub` per
//! audience. Where there was no ID token before, the subject that the login was made for counts.
//! Otherwise a provider, a cache or a proxy has mixed up its users: the login ends
//! ([`SubjectChanged`](crate::RefreshErrorKind::SubjectChanged)), and what came is revoked and
//! handed to nobody. That needs no signature: whoever can forge tokens at the token endpoint could
//! as well leave `sub` alone.
//!
//! **The ID token does not verify**: its signature, `aud`, `azp` or `exp` is wrong, or the keys
//! cannot be fetched. The refresh has used up the old refresh token by then, so refusing the whole
//! answer would log the user out, mostly because of a wrong setting or a JWKS endpoint that is
//! down. The new access and refresh token are kept; they are for others to judge. Of the ID token
//! only the earlier one is kept, which serves as a hint at logout as well. The log and a counter
//! tell. The same becomes of an ID token that is encrypted, or signed with the client's secret:
//! this crate cannot read it.
//!
//! Without a JWKS the claims of an ID token are checked, but not its signature: it came from the
//! token endpoint over TLS, which OpenID Connect Core 3.1.3.7 (6) accepts instead.

use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value};

use super::providers::AtProvider;
use crate::{
    endpoint::{Expected, Issuers, JwtClaims, KeysError, VerifyError},
    error::Chain,
    policy::LONGEST_VERIFYING,
    tokens::{
        GrantTokens, RecordKey,
        claims::{self, lenient_text},
    },
};

/// Whom a token is about, as far as it says.
struct Identity {
    iss: Option<Value>,
    sub: Option<Value>,
}

/// The claim that is another one now.
struct Changed(&'static str);

/// What the check came to.
pub(super) enum Checked {
    /// The same user's. An ID token that does not verify has given way to the earlier one.
    Same(Box<GrantTokens>),
    /// Another user's, by this claim.
    Changed { next: Box<GrantTokens>, claim: &'static str },
}

pub(super) async fn check(
    at: &AtProvider,
    login: RecordKey,
    before: &GrantTokens,
    mut next: GrantTokens,
) -> Checked {
    if let Err(Changed(claim)) = is_the_same_user(before, &next, at.provider.issuers()) {
        return Checked::Changed { next: Box::new(next), claim };
    }
    if let Some(id_token) = new_id_token(before, &next)
        && let Err(error) = same_nonce(before, id_token).and(verify_id_token(at, id_token).await)
    {
        report(at, login, &error);
        next.id_token.clone_from(&before.id_token);
        next.sid.clone_from(&before.sid);
    }
    Checked::Same(Box::new(next))
}

/// One that has a nonce has that of the login (OpenID Connect Core 1.0, section 12.2).
fn same_nonce(before: &GrantTokens, id_token: &SecretString) -> Result<(), VerifyError> {
    let nonce = |token: &SecretString| {
        let claims: JwtClaims = claims::payload(token.expose_secret()).unwrap_or_default();
        claims.get("nonce").and_then(Value::as_str).map(str::to_owned)
    };
    match (before.id_token.as_ref().and_then(nonce), nonce(id_token)) {
        (Some(before), Some(now)) if before != now => {
            Err(VerifyError::Claim { name: "nonce", rule: "is not that of the login" })
        }
        _ => Ok(()),
    }
}

async fn verify_id_token(at: &AtProvider, id_token: &SecretString) -> Result<(), VerifyError> {
    let expected = Expected::id_token(at.provider.issuers(), at.provider.client_id());
    let verified = at.keys.verify(id_token.expose_secret(), &expected);
    // Nobody holds the new tokens meanwhile but this flight.
    match tokio::time::timeout(LONGEST_VERIFYING, verified).await {
        Ok(Ok(_) | Err(VerifyError::Keys(KeysError::NoUrl))) => Ok(()),
        Ok(Err(error)) => Err(error),
        Err(_elapsed) => Err(VerifyError::Keys(KeysError::Timeout)),
    }
}

fn report(at: &AtProvider, login: RecordKey, error: &VerifyError) {
    const WHAT: &str = "a refreshed ID token was dropped, the earlier one is kept";
    let keys_are_missing = matches!(error, VerifyError::Keys(_));
    at.provider.meter().id_token_dropped(if keys_are_missing { "no_keys" } else { "unverified" });
    if keys_are_missing {
        tracing::warn!(%login, error = %Chain(error), "{WHAT}");
    } else {
        tracing::error!(%login, error = %Chain(error), "{WHAT}");
    }
}

/// The ID token of `next`, if the provider sent one.
fn new_id_token<'a>(before: &GrantTokens, next: &'a GrantTokens) -> Option<&'a SecretString> {
    let exposed = |set: &'a GrantTokens| set.id_token.as_ref().map(ExposeSecret::expose_secret);
    let earlier = before.id_token.as_ref().map(ExposeSecret::expose_secret);
    next.id_token.as_ref().filter(|_| exposed(next) != earlier)
}

fn is_the_same_user(
    before: &GrantTokens,
    next: &GrantTokens,
    issuers: Option<&Issuers>,
) -> Result<(), Changed> {
    compare(
        &Identity::of(before.access_token.expose()),
        &Identity::of(next.access_token.expose()),
        issuers,
    )?;
    let Some(id_token) = new_id_token(before, next) else { return Ok(()) };
    let earlier = match &before.id_token {
        Some(id_token) => Identity::of(id_token.expose_secret()),
        None => Identity { iss: None, sub: before.subject.as_deref().map(Value::from) },
    };
    compare(&earlier, &Identity::of(id_token.expose_secret()), issuers)
}

/// What one of the two does not say is no change.
fn compare(before: &Identity, next: &Identity, issuers: Option<&Issuers>) -> Result<(), Changed> {
    let are_one_issuer = |before: &Value, next: &Value| {
        is_one(before, next)
            || issuers.is_some_and(|issuers| match (before.as_str(), next.as_str()) {
                (Some(before), Some(next)) => issuers.are_one(before, next),
                _ => false,
            })
    };
    if before.iss.as_ref().zip(next.iss.as_ref()).is_some_and(|(a, b)| !are_one_issuer(a, b)) {
        return Err(Changed("iss"));
    }
    if before.sub.as_ref().zip(next.sub.as_ref()).is_some_and(|(a, b)| !is_one(a, b)) {
        return Err(Changed("sub"));
    }
    Ok(())
}

/// A provider that writes `42` at one time and `"42"` at another means the same user.
fn is_one(before: &Value, next: &Value) -> bool {
    before == next || lenient_text(before).is_some_and(|text| Some(text) == lenient_text(next))
}

impl Identity {
    /// Nothing for a token that is opaque or encrypted. `null` says nothing either.
    fn of(token: &str) -> Self {
        let mut claims: Map<String, Value> = claims::payload(token).unwrap_or_default();
        let mut take = |name| claims.remove(name).filter(|value| !value.is_null());
        Self { iss: take("iss"), sub: take("sub") }
    }
}

#[cfg(test)]
mod tests;
