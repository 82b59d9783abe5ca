//! The token request of a login (RFC 6749, 4.1.3; RFC 7636, 4.5).
//!
//! Deliberately not that of `openidconnect`, whose response type knows no other spelling: with
//! `"expires_in":"3599"` or `"scope":["openid"]` nobody could log in. [`TokenSet`] reads the answer
//! as it reads those of refreshes.

use axum::http::{Method, StatusCode, header};
use base64::{Engine, prelude::BASE64_STANDARD};
use openidconnect::{AsyncHttpClient, ClientId, ClientSecret, HttpRequest};
use serde_json::Value;
use tower_token_refresh::TokenSet;
use url::form_urlencoded::{Serializer, byte_serialize};

use super::{
    failures::{ProviderError, registered},
    http::Http,
};

/// What the request says beside the client.
pub(super) struct Code<'a> {
    pub(super) code: &'a str,
    pub(super) verifier: &'a str,
    pub(super) redirect_uri: &'a str,
}

pub(super) async fn exchange(
    http: &Http,
    token_url: &str,
    client: (&ClientId, Option<&ClientSecret>),
    code: Code<'_>,
) -> Result<TokenSet, ProviderError> {
    let request = request(token_url, client, &code)
        .map_err(|_| ProviderError::BadAnswer("its token endpoint is no URL"))?;
    let answer = http.call(request).await.map_err(|_| ProviderError::Unreachable)?;
    if answer.status().is_success() {
        return TokenSet::from_json(answer.body())
            .map_err(|_| ProviderError::BadAnswer("it is not a token response"));
    }
    let body: Option<Value> = serde_json::from_slice(answer.body()).ok();
    match body.as_ref().and_then(|body| body["error"].as_str()) {
        Some(code) => Err(ProviderError::CodeRefused(registered(code))),
        None if answer.status() == StatusCode::TOO_MANY_REQUESTS
            || answer.status().is_server_error() =>
        {
            Err(ProviderError::Unreachable)
        }
        None => Err(ProviderError::BadAnswer("it is not a token response")),
    }
}

fn request(
    token_url: &str,
    (client_id, secret): (&ClientId, Option<&ClientSecret>),
    code: &Code<'_>,
) -> Result<HttpRequest, axum::http::Error> {
    let mut form = Serializer::new(String::new());
    form.append_pair("grant_type", "authorization_code")
        .append_pair("code", code.code)
        .append_pair("redirect_uri", code.redirect_uri)
        .append_pair("code_verifier", code.verifier);
    let mut request = axum::http::Request::builder()
        .method(Method::POST)
        .uri(token_url)
        .header(header::ACCEPT, "application/json")
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
    match secret {
        Some(secret) => {
            // Both are form-encoded first (RFC 6749, 2.3.1).
            let encoded = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
            let pair = format!("{}:{}", encoded(client_id), encoded(secret.secret()));
            let basic = format!("Basic {}", BASE64_STANDARD.encode(pair));
            request = request.header(header::AUTHORIZATION, basic);
        }
        None => {
            form.append_pair("client_id", client_id);
        }
    }
    request.body(form.finish().into_bytes())
}
