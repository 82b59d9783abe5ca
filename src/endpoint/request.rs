//! What this crate sends to the provider: four kinds of request.
//!
//! | request | method | body |
//! |---|---|---|
//! | token (RFC 6749, section 4) | POST | `grant_type`, and what the [`AuthorizationGrant`](super::authorization_grant::AuthorizationGrant) presents |
//! | revocation (RFC 7009, section 2.1) | POST | `token`, `token_type_hint` |
//! | pushed authorization request (RFC 9126, section 2.1) | POST | what the browser would carry |
//! | document: discovery, keys | GET | none |
//!
//! [`Credentials`] add the client's credentials to the forms. A document needs none. [`Extras`] has
//! what the application adds.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, header};
use secrecy::{ExposeSecret, SecretString};
use url::form_urlencoded::Serializer;

use super::{auth::Credentials, authorization_grant::Fields};
use crate::{ConfigError, dpop::DPOP};

const USER_AGENT: &str = concat!("tower-token-refresh/", env!("CARGO_PKG_VERSION"));
/// What this crate says itself in the form of a token request.
pub(super) const OWN_PARAMS: [&str; 10] = [
    "grant_type",
    "refresh_token",
    "assertion",
    "subject_token",
    "subject_token_type",
    "requested_token_use",
    "client_id",
    "client_secret",
    "client_assertion",
    "client_assertion_type",
];
const OWN_HEADERS: [HeaderName; 7] = [
    DPOP,
    header::ACCEPT,
    header::AUTHORIZATION,
    header::CONTENT_LENGTH,
    header::CONTENT_TYPE,
    header::HOST,
    header::USER_AGENT,
];

/// What the application adds to requests. Deliberately without `Debug`: a value may be a secret.
#[derive(Clone, Default)]
pub(super) struct Extras {
    user_agent: Option<String>,
    params: Vec<(String, String)>,
    headers: Vec<(String, String)>,
}

impl Extras {
    pub(super) fn set_user_agent(&mut self, value: String) {
        self.user_agent = Some(value);
    }

    pub(super) fn add_param(&mut self, name: String, value: String) {
        self.params.push((name, value));
    }

    pub(super) fn add_header(&mut self, name: String, value: String) {
        self.headers.push((name, value));
    }

    pub(super) fn check(&self) -> Result<CheckedExtras, ConfigError> {
        let broken = |what, value: &str, rule| {
            Err(ConfigError::Range { what, value: format!("{value:?}"), rule })
        };
        for (name, _) in &self.params {
            if name.is_empty() || OWN_PARAMS.contains(&name.as_str()) {
                let rule = "must be named, and not a parameter that this crate sets itself";
                return broken("the name of a refresh_param", name, rule);
            }
        }
        let mut headers = HeaderMap::new();
        let user_agent = self.user_agent.as_deref().unwrap_or(USER_AGENT);
        let Ok(value) = HeaderValue::from_str(user_agent) else {
            return broken("user_agent", user_agent, "must be visible ASCII");
        };
        headers.insert(header::USER_AGENT, value);
        for (name, value) in &self.headers {
            let Ok(parsed) = HeaderName::try_from(name) else {
                return broken("the name of a header", name, "must be a token of RFC 9110");
            };
            if OWN_HEADERS.contains(&parsed) {
                let rule = "must not be a header that this crate sets itself";
                return broken("the name of a header", name, rule);
            }
            let Ok(mut value) = HeaderValue::from_str(value) else {
                return broken("the value of the header", name, "must be visible ASCII");
            };
            value.set_sensitive(true);
            headers.append(parsed, value);
        }
        Ok(CheckedExtras { headers, params: self.params.clone().into() })
    }
}

/// Extras that can be sent.
pub(super) struct CheckedExtras {
    /// To every request.
    pub(super) headers: HeaderMap,
    /// In the form of a refresh.
    pub(super) params: Params,
}

pub(super) type Params = Arc<[(String, String)]>;

/// What kind of token to revoke (RFC 7009, section 2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TokenTypeHint {
    RefreshToken,
    AccessToken,
}

/// `proof`: of a DPoP key (RFC 9449, section 5).
pub(super) fn token(
    to: &Uri,
    credentials: Credentials<'_>,
    fields: &Fields<'_>,
    proof: Option<HeaderValue>,
) -> Request<Bytes> {
    let fields = fields.iter().map(|(name, value)| (*name, value.expose()));
    let mut request = form(to, credentials, fields);
    request.headers_mut().extend(proof.map(|proof| (DPOP, proof)));
    request
}

pub(super) fn revocation(
    to: &Uri,
    credentials: Credentials<'_>,
    token: &SecretString,
    hint: TokenTypeHint,
) -> Request<Bytes> {
    let hint = match hint {
        TokenTypeHint::RefreshToken => "refresh_token",
        TokenTypeHint::AccessToken => "access_token",
    };
    form(to, credentials, [("token", token.expose_secret()), ("token_type_hint", hint)])
}

#[cfg(feature = "login")]
pub(super) fn pushed(
    to: &Uri,
    credentials: Credentials<'_>,
    asked: &super::AuthorizationRequest,
) -> Request<Bytes> {
    // Once: a request with a parameter that comes twice is refused (RFC 6749, section 3.1).
    let names_client = credentials.name_client();
    let fields = asked.iter().filter(|(name, _)| !(names_client && name == "client_id"));
    form(to, credentials, fields.map(|(name, value)| (&**name, &**value)))
}

pub(super) fn document(at: &Uri) -> Request<Bytes> {
    request(Method::GET, at, Bytes::new())
}

fn form<'a>(
    to: &Uri,
    credentials: Credentials<'_>,
    pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Request<Bytes> {
    let mut form = Serializer::new(String::new());
    form.extend_pairs(pairs);
    let authorization = credentials.apply(&mut form);
    let mut request = request(Method::POST, to, form.finish().into());
    let headers = request.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/x-www-form-urlencoded"),
    );
    if let Some(authorization) = authorization {
        headers.insert(header::AUTHORIZATION, authorization);
    }
    request
}

fn request(method: Method, to: &Uri, body: Bytes) -> Request<Bytes> {
    let mut request = Request::new(body);
    *request.method_mut() = method;
    *request.uri_mut() = to.clone();
    request.headers_mut().insert(header::ACCEPT, HeaderValue::from_static("application/json"));
    request
}
