//! What this crate sends to the provider: three kinds of request.
//!
//! | request | method | body |
//! |---|---|---|
//! | refresh (RFC 6749, section 6) | POST | `grant_type=refresh_token`, `refresh_token` |
//! | revocation (RFC 7009, section 2.1) | POST | `token`, `token_type_hint` |
//! | document: discovery, keys | GET | none |
//!
//! [`ClientAuth`] adds the client's credentials to both forms. A document needs none.

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Uri, header};
use secrecy::{ExposeSecret, SecretString};
use url::form_urlencoded::Serializer;

use super::auth::ClientAuth;

/// What kind of token to revoke (RFC 7009, section 2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TokenTypeHint {
    RefreshToken,
    AccessToken,
}

pub(super) fn refresh(to: &Uri, auth: &ClientAuth, token: &SecretString) -> Request<Bytes> {
    form(to, auth, [("grant_type", "refresh_token"), ("refresh_token", token.expose_secret())])
}

pub(super) fn revocation(
    to: &Uri,
    auth: &ClientAuth,
    token: &SecretString,
    hint: TokenTypeHint,
) -> Request<Bytes> {
    let hint = match hint {
        TokenTypeHint::RefreshToken => "refresh_token",
        TokenTypeHint::AccessToken => "access_token",
    };
    form(to, auth, [("token", token.expose_secret()), ("token_type_hint", hint)])
}

pub(super) fn document(at: &Uri) -> Request<Bytes> {
    request(Method::GET, at, Bytes::new())
}

fn form(to: &Uri, auth: &ClientAuth, pairs: [(&str, &str); 2]) -> Request<Bytes> {
    let mut form = Serializer::new(String::new());
    form.extend_pairs(pairs);
    let authorization = auth.apply(&mut form);
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
