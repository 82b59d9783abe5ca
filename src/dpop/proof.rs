//! [`DpopProof`]: a JWT for one request (RFC 9449, section 4.2).
//!
//! | claim | value |
//! |---|---|
//! | `jti` | 122 random bits, new for each proof |
//! | `htm` | the method |
//! | `htu` | the URI without query and fragment; the host in lower case, without the scheme's own port |
//! | `iat` | now, in seconds |
//! | `ath` | the hash of the access token, where one is sent along |
//! | `nonce` | the server's, where it gave one |

use std::{fmt, time::SystemTime};

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use http::{HeaderName, HeaderValue, Method, Uri};
use serde::Serialize;
use uuid::Uuid;

use super::DpopKey;
use crate::clock::{Clock, unix_seconds};

/// The header that a proof is sent in.
pub(crate) const DPOP: HeaderName = HeaderName::from_static("dpop");
/// The error code of a server that wants another nonce.
pub(crate) const USE_DPOP_NONCE: &str = "use_dpop_nonce";

/// Shows that the sender of one request has a [`DpopKey`] (RFC 9449, section 4). Good for one
/// request: servers refuse a proof that comes twice, or that is some seconds old.
#[derive(Clone)]
pub struct DpopProof {
    key: DpopKey,
    method: String,
    uri: String,
    access_token_hash: Option<String>,
    nonce: Option<String>,
}

#[derive(Serialize)]
struct Claims<'a> {
    jti: String,
    htm: &'a str,
    htu: &'a str,
    iat: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    ath: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nonce: Option<&'a str>,
}

impl DpopProof {
    pub(super) fn new(key: DpopKey, method: &Method, uri: &Uri) -> Self {
        let (access_token_hash, nonce) = (None, None);
        Self { key, method: method.as_str().to_owned(), uri: target(uri), access_token_hash, nonce }
    }

    /// Names the access token that is sent along, by its hash (`ath`). A request to an API needs it;
    /// one to a token endpoint has none. What
    /// [`AccessToken::dpop_proof`](crate::AccessToken::dpop_proof) begins has it already.
    #[must_use]
    pub fn access_token(mut self, token: &str) -> Self {
        let hash = digest(&SHA256, token.as_bytes());
        self.access_token_hash = Some(BASE64_URL_SAFE_NO_PAD.encode(hash));
        self
    }

    /// Repeats the nonce that the server gave in its last `DPoP-Nonce` header (RFC 9449, sections 8
    /// and 9).
    #[must_use]
    pub fn nonce(mut self, nonce: impl Into<String>) -> Self {
        self.nonce = Some(nonce.into());
        self
    }

    /// Signs the proof as of now, by the system's clock: the value of the header `DPoP`. It is
    /// marked sensitive, so that clients do not print it.
    ///
    /// # Panics
    /// If the operating system gives no random bytes.
    #[must_use]
    pub fn header(&self) -> HeaderValue {
        self.header_at(Clock::system().now())
    }

    /// Signs the proof as of `now`.
    pub(crate) fn header_at(&self, now: SystemTime) -> HeaderValue {
        let claims = Claims {
            jti: Uuid::new_v4().to_string(),
            htm: &self.method,
            htu: &self.uri,
            iat: unix_seconds(now),
            ath: self.access_token_hash.as_deref(),
            nonce: self.nonce.as_deref(),
        };
        let proof = HeaderValue::try_from(self.key.sign(&claims));
        let mut header = proof.expect("base64url and dots are visible ASCII");
        header.set_sensitive(true);
        header
    }
}

/// Servers compare it with the URI as they see it (RFC 9449, section 4.3), some of them character by
/// character.
fn target(uri: &Uri) -> String {
    let path = uri.path();
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return path.to_owned();
    };
    let own_port = match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    };
    let host = authority.host().to_ascii_lowercase();
    match authority.port_u16().filter(|port| Some(*port) != own_port) {
        Some(port) => format!("{scheme}://{host}:{port}{path}"),
        None => format!("{scheme}://{host}{path}"),
    }
}

impl fmt::Debug for DpopProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DpopProof")
            .field("method", &self.method)
            .field("uri", &self.uri)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
    use serde_json::Value;

    use super::*;

    fn claims(proof: &HeaderValue) -> Value {
        let jwt = proof.to_str().expect("ASCII");
        let header = decode_header(jwt).expect("a header");
        assert_eq!((header.typ.as_deref(), header.alg), (Some("dpop+jwt"), Algorithm::ES256));
        let key = DecodingKey::from_jwk(&header.jwk.expect("a jwk")).expect("a key");
        let mut validation = Validation::new(Algorithm::ES256);
        validation.required_spec_claims.clear();
        decode::<Value>(jwt, &key, &validation).expect("a good signature").claims
    }

    #[test]
    fn a_proof_names_its_request_and_its_token_and_is_signed_by_the_key_in_its_header() {
        let uri = Uri::from_static("HTTPS://API.example:443/Orders/7?page=2");
        let proof = DpopKey::generate().proof(&Method::GET, &uri);
        let at = SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_900);
        let proof = proof.access_token("2YotnFZFEjr1zCsicMWpAA").nonce("n-1");
        let (one, other) = (claims(&proof.header_at(at)), claims(&proof.header_at(at)));
        assert_eq!(one["htm"], "GET");
        assert_eq!(one["htu"], "https://api.example/Orders/7");
        assert_eq!(one["iat"], 1_700_000_000);
        assert_eq!(one["nonce"], "n-1");
        let hash = digest(&SHA256, b"2YotnFZFEjr1zCsicMWpAA");
        assert_eq!(one["ath"], BASE64_URL_SAFE_NO_PAD.encode(hash));
        assert_ne!(one["jti"], other["jti"], "each proof is good once");
        assert!(proof.header_at(at).is_sensitive());
    }

    #[test]
    fn what_is_not_there_is_not_in_the_proof() {
        let uri = Uri::from_static("http://127.0.0.1:8080/token");
        let claims = claims(&DpopKey::generate().proof(&Method::POST, &uri).header());
        assert_eq!(claims["htu"], "http://127.0.0.1:8080/token");
        assert!(claims.get("ath").is_none() && claims.get("nonce").is_none(), "{claims}");
    }

    #[test]
    fn a_uri_is_written_as_the_server_sees_it() {
        for (uri, seen) in [
            ("https://id.example", "https://id.example/"),
            ("https://id.example:8443/a/../b?c#d", "https://id.example:8443/a/../b"),
            ("http://[::1]:80/x", "http://[::1]/x"),
            ("https://user:pass@id.example/x", "https://id.example/x"),
            ("http://id.example:443/x", "http://id.example:443/x"),
            ("/only/a/path?x", "/only/a/path"),
        ] {
            assert_eq!(target(&uri.parse().expect(uri)), seen, "{uri}");
        }
    }
}
