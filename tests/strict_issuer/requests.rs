//! The requests a client sends.

use bytes::Bytes;
use http::{Request, Response, header};
use serde_json::Value;
use tower_token_refresh::testing::StrictIssuer;

pub(crate) const FORM: &str = "application/x-www-form-urlencoded";
/// `web:secret`
pub(crate) const BASIC: &str = "Basic d2ViOnNlY3JldA==";

pub(crate) fn post(
    url: &str,
    authorization: Option<&str>,
    fields: &[(&str, &str)],
) -> Request<Bytes> {
    let body: String =
        url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    let mut request = Request::post(url).header(header::CONTENT_TYPE, FORM);
    if let Some(authorization) = authorization {
        request = request.header(header::AUTHORIZATION, authorization);
    }
    request.body(Bytes::from(body)).unwrap()
}

pub(crate) fn refresh_request(issuer: &StrictIssuer, refresh_token: &str) -> Request<Bytes> {
    let fields = [("grant_type", "refresh_token"), ("refresh_token", refresh_token)];
    post(&issuer.token_url(), Some(BASIC), &fields)
}

pub(crate) fn revoke_request(issuer: &StrictIssuer, token: &str) -> Request<Bytes> {
    post(&issuer.revocation_url(), Some(BASIC), &[("token", token)])
}

pub(crate) fn userinfo_request(issuer: &StrictIssuer, access_token: &str) -> Request<Bytes> {
    Request::get(issuer.userinfo_url())
        .header(header::AUTHORIZATION, format!("Bearer {access_token}"))
        .body(Bytes::new())
        .unwrap()
}

pub(crate) fn get_request(url: &str) -> Request<Bytes> {
    Request::get(url).body(Bytes::new()).unwrap()
}

/// Status and JSON; null for an empty body.
pub(crate) fn answer(response: &Response<Bytes>) -> (u16, Value) {
    (response.status().as_u16(), serde_json::from_slice(response.body()).unwrap_or(Value::Null))
}

pub(crate) fn refresh(issuer: &StrictIssuer, refresh_token: &str) -> (u16, Value) {
    answer(&issuer.handle(refresh_request(issuer, refresh_token)))
}

pub(crate) fn text<'a>(json: &'a Value, field: &str) -> &'a str {
    json[field].as_str().unwrap_or_else(|| panic!("{field} is a string"))
}
