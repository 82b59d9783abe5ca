//! Forms in, JSON out; or a form, where a provider writes one.

use std::collections::HashMap;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use serde_json::{Value, json};

use super::provider::Problem;

/// An OAuth 2.0 error answer.
#[derive(Clone, Debug)]
pub(super) struct OAuthError {
    pub(super) status: StatusCode,
    pub(super) code: &'static str,
    pub(super) description: &'static str,
    /// Sent as `WWW-Authenticate`.
    pub(super) challenge: Option<&'static str>,
    /// The refresh token that was refused.
    pub(super) token: Option<String>,
    /// Sent as `DPoP-Nonce`.
    pub(super) dpop_nonce: Option<String>,
}

impl OAuthError {
    pub(super) fn new(status: StatusCode, code: &'static str, description: &'static str) -> Self {
        Self { status, code, description, challenge: None, token: None, dpop_nonce: None }
    }

    pub(super) fn invalid_request(description: &'static str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_request", description)
    }

    pub(super) fn challenge(mut self, challenge: &'static str) -> Self {
        self.challenge = Some(challenge);
        self
    }

    /// As RFC 6749 (5.2) has it.
    pub(super) fn standard(&self) -> (StatusCode, Value) {
        (self.status, json!({ "error": self.code, "error_description": self.description }))
    }

    pub(super) fn into_response(self) -> Response<Bytes> {
        let (status, body) = self.standard();
        self.respond(status, &body)
    }

    /// An answer in a provider's dialect.
    pub(super) fn respond(&self, status: StatusCode, body: &Value) -> Response<Bytes> {
        let mut response = json_response(status, body);
        if let Some(challenge) = self.challenge {
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        if let Some(nonce) = &self.dpop_nonce {
            let nonce = HeaderValue::from_str(nonce).expect("letters and digits");
            response.headers_mut().insert("dpop-nonce", nonce);
        }
        response
    }
}

impl From<Problem> for OAuthError {
    fn from((status, code, description): Problem) -> Self {
        Self::new(status, code, description)
    }
}

/// A JSON answer that nobody may store (RFC 6749, 5.1).
pub(super) fn json_response(status: StatusCode, body: &Value) -> Response<Bytes> {
    let mut response = plain_response(status, body.to_string());
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// A body as it is. Its first character decides whether it is JSON.
pub(super) fn plain_response(status: StatusCode, body: impl Into<Bytes>) -> Response<Bytes> {
    let body = body.into();
    let kind = if body.starts_with(b"{") { "application/json" } else { "text/plain" };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// The same fields as a form. What is no JSON object stays as it is.
pub(super) fn as_form(mut response: Response<Bytes>) -> Response<Bytes> {
    let Ok(Value::Object(fields)) = serde_json::from_slice(response.body()) else {
        return response;
    };
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    for (name, value) in &fields {
        form.append_pair(name, &value.as_str().map_or_else(|| value.to_string(), str::to_owned));
    }
    *response.body_mut() = form.finish().into();
    let kind = HeaderValue::from_static("application/x-www-form-urlencoded; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

/// Whether the client names JSON as what it accepts.
pub(super) fn accepts_json(headers: &HeaderMap) -> bool {
    let mut accepted = headers.get_all(header::ACCEPT).iter();
    accepted.any(|value| value.to_str().is_ok_and(|value| value.contains("application/json")))
}

/// The fields of a form, each at most once, but for the targets (RFC 8693, 2.1): of those the last.
pub(super) type Form = HashMap<String, String>;

pub(super) fn parse_form(request: &Request<Bytes>) -> Result<Form, OAuthError> {
    if request.method() != Method::POST {
        return Err(OAuthError::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "invalid_request",
            "Only POST is allowed here",
        ));
    }
    if !is_form(request.headers()) {
        return Err(OAuthError::new(
            StatusCode::BAD_REQUEST,
            "invalid_request",
            "Content type must be application/x-www-form-urlencoded",
        ));
    }
    fields_once(request.body())
}

pub(super) fn fields_once(encoded: &[u8]) -> Result<Form, OAuthError> {
    let mut form = Form::new();
    for (name, value) in url::form_urlencoded::parse(encoded) {
        let may_repeat = matches!(&*name, "audience" | "resource");
        if form.insert(name.into_owned(), value.into_owned()).is_some() && !may_repeat {
            return Err(OAuthError::invalid_request("duplicated parameter"));
        }
    }
    Ok(form)
}

fn is_form(headers: &HeaderMap) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/x-www-form-urlencoded"))
}

/// What follows `scheme` in the Authorization header.
pub(super) fn authorization<'a>(headers: &'a HeaderMap, scheme: &str) -> Option<&'a str> {
    let (found, credentials) =
        headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    found.eq_ignore_ascii_case(scheme).then(|| credentials.trim())
}
