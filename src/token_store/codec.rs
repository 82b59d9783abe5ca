//! Between a grant's tokens and its record: plain, or sealed where the refresher was given keys.

use std::{
    collections::HashSet,
    sync::{Mutex, PoisonError},
    time::SystemTime,
};

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use super::{
    Nonce, RecordError, RecordState, TokenRecord,
    record::Payload,
    seal::{SealError, SealKeys},
    text::{from_millis, to_millis},
};
use crate::{
    dpop::DpopKey,
    tokens::{Generation, GrantTokens, HeaderToken, RecordKey, Scheme},
};

/// Whoever can write to the store can make up key ids; the log does not grow with them.
const REPORTS: usize = 64;

/// Why tokens and record do not go into each other.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum CodecError {
    #[error(transparent)]
    Record(#[from] RecordError),
    /// It is sealed, and no key of this process opens it; or it could not be sealed.
    #[error(transparent)]
    Sealed(#[from] SealError),
}

pub(crate) struct Codec {
    keys: Option<SealKeys>,
    reported: Mutex<HashSet<SealError>>,
}

impl Codec {
    pub(crate) fn new(keys: Option<SealKeys>) -> Self {
        Self { keys, reported: Mutex::default() }
    }

    #[cfg(feature = "login")]
    pub(crate) fn keys(&self) -> Option<&SealKeys> {
        self.keys.as_ref()
    }

    pub(crate) fn encode(
        &self,
        key: RecordKey,
        tokens: &GrantTokens,
        state: RecordState,
        nonce: Nonce,
        keep_until: SystemTime,
    ) -> Result<TokenRecord, CodecError> {
        let written = Tokens {
            access_token: tokens.access_token.expose().to_owned(),
            dpop_key: tokens.dpop_key.as_ref().map(|key| key.to_secret_text().to_owned()),
            is_dpop: tokens.access_token.scheme() == Scheme::Dpop,
            refresh_token: tokens.refresh_token.as_ref().map(|it| it.expose_secret().to_owned()),
            id_token: tokens.id_token.as_ref().map(|it| it.expose_secret().to_owned()),
            scope: tokens.scope.clone(),
            subject: tokens.subject.as_deref().map(str::to_owned),
            sid: tokens.sid.clone(),
            identity: tokens.identity.as_deref().map(str::to_owned),
            obtained_at: to_millis(tokens.obtained_at),
            refresh_expires_at: tokens.refresh_expires_at.map(to_millis),
        };
        let written = serde_json::json!(written);
        let mut record = TokenRecord {
            state,
            generation: tokens.generation.0,
            nonce,
            issuer: tokens.issuer.to_string(),
            expires_at: tokens.expires_at,
            keep_until,
            payload: Payload::None,
        };
        record.payload = match &self.keys {
            None => Payload::Plain(written),
            Some(keys) => Payload::Sealed(keys.seal(&record.head(key), written.to_string())?),
        };
        Ok(record)
    }

    /// The tokens of a record that has not ended. Plain records are read with and without keys: a
    /// store may hold some from before there were any.
    pub(crate) fn open(
        &self,
        key: RecordKey,
        record: &TokenRecord,
    ) -> Result<GrantTokens, CodecError> {
        let broken = |rule| RecordError::Malformed { rule };
        let not_tokens = || broken("its tokens are not what they should be");
        let written: Tokens = match &record.payload {
            Payload::None => return Err(broken("it has no tokens").into()),
            Payload::Plain(tokens) => Tokens::deserialize(tokens).map_err(|_| not_tokens())?,
            Payload::Sealed(sealed) => {
                let opened = SealKeys::open_with(self.keys.as_ref(), &record.head(key), sealed)?;
                serde_json::from_slice(&opened).map_err(|_| not_tokens())?
            }
        };
        let time = |millis| from_millis(millis).ok_or(broken("a time is beyond all calendars"));
        let key = written.dpop_key.as_deref().map(DpopKey::from_secret_text).transpose();
        let dpop_key = key.map_err(|_| broken("its DPoP key is none"))?;
        let scheme = match (written.is_dpop, &dpop_key) {
            (true, None) => return Err(broken("its access token has no DPoP key").into()),
            (true, Some(_)) => Scheme::Dpop,
            (false, _) => Scheme::Bearer,
        };
        Ok(GrantTokens {
            generation: Generation(record.generation),
            access_token: HeaderToken::new(&written.access_token, scheme)
                .ok_or(broken("its access token is not a legal header value"))?,
            dpop_key,
            refresh_token: written.refresh_token.map(SecretString::from),
            id_token: written.id_token.map(SecretString::from),
            scope: written.scope,
            issuer: record.issuer.as_str().into(),
            subject: written.subject.map(Into::into),
            sid: written.sid,
            identity: written.identity.map(Into::into),
            obtained_at: time(written.obtained_at)?,
            expires_at: record.expires_at,
            refresh_expires_at: written.refresh_expires_at.map(time).transpose()?,
        })
    }

    /// Logs one line for each reason and key id: one wrong key can fail every request.
    pub(crate) fn report(&self, error: SealError) {
        let mut reported = self.reported.lock().unwrap_or_else(PoisonError::into_inner);
        if reported.len() < REPORTS && reported.insert(error) {
            tracing::error!(
                %error,
                "a token record cannot be opened; it is kept as it is (logged once per key)"
            );
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Tokens {
    access_token: String,
    /// The key that the tokens are bound to.
    #[serde(skip_serializing_if = "Option::is_none")]
    dpop_key: Option<String>,
    /// The access token is. A refresh token may be by itself (RFC 9449, section 5).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    is_dpop: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id_token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    identity: Option<String>,
    obtained_at: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_expires_at: Option<u64>,
}

#[cfg(test)]
mod tests;
