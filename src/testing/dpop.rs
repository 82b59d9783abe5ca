//! Proofs of possession (DPoP; RFC 9449): what the issuer wants of them, and what is bound to them.

use std::collections::{HashMap, HashSet};

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::{Request, StatusCode};
use jsonwebtoken::{
    Algorithm, DecodingKey, Validation, decode, decode_header,
    jwk::{Jwk, ThumbprintHash},
};
use serde::Deserialize;

use super::{
    StrictIssuer,
    addresses::Endpoint,
    issuer::lock,
    wire::{OAuthError, authorization},
};
use crate::{
    clock::unix_seconds,
    dpop::{DPOP, USE_DPOP_NONCE},
};

/// A proof is refused when it is older, in seconds, or as far in the future.
const LONGEST_LIFE: u64 = 15;
const CHALLENGE: &str = "DPoP error=\"invalid_dpop_proof\", algs=\"ES256\"";
const NONCE_CHALLENGE: &str = "DPoP error=\"use_dpop_nonce\", algs=\"ES256\"";

/// What the issuer wants.
#[derive(Clone, Copy, Default)]
pub(super) struct DpopRules {
    /// A token request without a proof is refused.
    pub(super) is_required: bool,
    /// A proof needs the issuer's nonce.
    pub(super) wants_nonce: bool,
}

/// What the issuer remembers.
#[derive(Default)]
pub(super) struct DpopState {
    /// The `jti` of each proof so far.
    used: HashSet<String>,
    /// The thumbprint of the key that an access or refresh token is bound to.
    bound: HashMap<String, String>,
    /// Counts the nonces.
    nonce: u64,
}

#[derive(Deserialize)]
struct Claims {
    jti: String,
    htm: String,
    htu: String,
    iat: u64,
    ath: Option<String>,
    nonce: Option<String>,
}

impl DpopState {
    pub(super) fn bind(&mut self, token: &str, thumbprint: Option<&str>) {
        if let Some(thumbprint) = thumbprint {
            self.bound.insert(token.to_owned(), thumbprint.to_owned());
        }
    }

    pub(super) fn key_of(&self, token: &str) -> Option<&str> {
        self.bound.get(token).map(String::as_str)
    }

    fn nonce(&self) -> String {
        format!("nonce-{}", self.nonce)
    }
}

impl StrictIssuer {
    /// Makes a new nonce. Proofs with the one before it are refused from now on, and told the new one
    /// (RFC 9449, section 8). It matters to an issuer with
    /// [`dpop_nonces`](super::StrictIssuerBuilder::dpop_nonces).
    pub fn new_dpop_nonce(&self) {
        lock(&self.inner.state).dpop.nonce += 1;
    }

    /// The thumbprint of the key that a token request proves.
    pub(super) fn proven_key(
        &self,
        request: &Request<Bytes>,
    ) -> Result<Option<String>, OAuthError> {
        if !request.headers().contains_key(DPOP) {
            if self.inner.clients.dpop.is_required {
                return Err(refused("DPoP proof is missing"));
            }
            return Ok(None);
        }
        self.verify_proof(Endpoint::Token, request, None).map(Some)
    }

    /// The access token of a request. A bound one needs a proof of its key, and is no bearer token (RFC
    /// 9449, section 7.2).
    pub(super) fn presented_token<'a>(
        &self,
        request: &'a Request<Bytes>,
    ) -> Result<&'a str, OAuthError> {
        let headers = request.headers();
        let bound_to = |token: &str| lock(&self.inner.state).dpop.key_of(token).map(str::to_owned);
        let unauthorized = |challenge| {
            let why = "Token verification failed";
            OAuthError::new(StatusCode::UNAUTHORIZED, "invalid_token", why).challenge(challenge)
        };
        if let Some(token) = authorization(headers, "DPoP") {
            let proven = self.verify_proof(Endpoint::UserInfo, request, Some(token))?;
            return if bound_to(token) == Some(proven) {
                Ok(token)
            } else {
                Err(unauthorized("DPoP error=\"invalid_token\", algs=\"ES256\""))
            };
        }
        let refused = || unauthorized("Bearer realm=\"test\", error=\"invalid_token\"");
        let token = authorization(headers, "Bearer").ok_or_else(refused)?;
        if bound_to(token).is_some() { Err(refused()) } else { Ok(token) }
    }

    /// As RFC 9449, section 4.3 has it.
    fn verify_proof(
        &self,
        endpoint: Endpoint,
        request: &Request<Bytes>,
        access_token: Option<&str>,
    ) -> Result<String, OAuthError> {
        let refused = |why| match access_token {
            None => refused(why),
            Some(_) => {
                OAuthError { status: StatusCode::UNAUTHORIZED, ..refused(why) }.challenge(CHALLENGE)
            }
        };
        let mut proofs = request.headers().get_all(DPOP).iter();
        let (Some(proof), None) = (proofs.next(), proofs.next()) else {
            return Err(refused("DPoP proof is missing or there are several"));
        };
        let signed = proof.to_str().ok().and_then(signed_by_its_key);
        let (claims, thumbprint) = signed.ok_or(refused("DPoP proof is not well-formed"))?;
        let (now, url) = (unix_seconds(self.now()), self.url_of(endpoint));
        if claims.htm != request.method().as_str() || claims.htu != url {
            return Err(refused("DPoP proof is for another request"));
        }
        if claims.iat.abs_diff(now) > LONGEST_LIFE {
            return Err(refused("DPoP proof is not active"));
        }
        if claims.ath != access_token.map(hash) {
            return Err(refused("DPoP proof is for another access token"));
        }
        let mut state = lock(&self.inner.state);
        let nonce = state.dpop.nonce();
        if self.inner.clients.dpop.wants_nonce && claims.nonce.as_ref() != Some(&nonce) {
            let error = OAuthError { code: USE_DPOP_NONCE, ..refused("another nonce is needed") };
            let error = OAuthError { dpop_nonce: Some(nonce), ..error };
            return Err(match access_token {
                None => error,
                Some(_) => error.challenge(NONCE_CHALLENGE),
            });
        }
        if claims.jti.is_empty() || !state.dpop.used.insert(claims.jti) {
            return Err(refused("DPoP proof has already been used"));
        }
        Ok(thumbprint)
    }
}

/// The claims of a proof, and the thumbprint of the public key in its header, which has signed it.
fn signed_by_its_key(proof: &str) -> Option<(Claims, String)> {
    let header = decode_header(proof).ok()?;
    let is_proof = header.typ.as_deref() == Some("dpop+jwt") && header.alg == Algorithm::ES256;
    let jwk: Jwk = header.jwk.filter(|_| is_proof && !names_private_key(proof))?;
    let mut validation = Validation::new(Algorithm::ES256);
    // It has no `exp`; `iat` is compared with the issuer's own clock.
    validation.required_spec_claims.clear();
    (validation.validate_exp, validation.validate_aud) = (false, false);
    let key = DecodingKey::from_jwk(&jwk).ok()?;
    let claims = decode::<Claims>(proof, &key, &validation).ok()?.claims;
    Some((claims, jwk.thumbprint(ThumbprintHash::SHA256).ok()?))
}

fn names_private_key(proof: &str) -> bool {
    let header = proof.split('.').next().unwrap_or_default();
    let header = BASE64_URL_SAFE_NO_PAD.decode(header).unwrap_or_default();
    serde_json::from_slice::<serde_json::Value>(&header)
        .is_ok_and(|header| header["jwk"].get("d").is_some())
}

fn hash(token: &str) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(digest(&SHA256, token.as_bytes()))
}

fn refused(why: &'static str) -> OAuthError {
    OAuthError::new(StatusCode::BAD_REQUEST, "invalid_dpop_proof", why)
}
