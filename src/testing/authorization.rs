//! The endpoints for browsers: authorization, the exchange of the code, and the end of the session
//! (OpenID Connect Core 3.1, RP-Initiated Logout 1.0). There is no form: a browser is logged in at
//! once.

use std::{
    collections::HashMap,
    time::{Duration, SystemTime},
};

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use serde_json::Value;
use url::Url;
use uuid::Uuid;

use super::{
    StrictIssuer,
    issuer::{lock, subject_of},
    tokens::Grantee,
    wire::{Form, OAuthError, fields_once, parse_form, plain_response},
};

/// The user of a request without `login_hint`.
const DEFAULT_USER: &str = "alice";
const CODE_LIFETIME: Duration = Duration::from_secs(60);

/// The codes so far. Used ones stay: whoever presents one again ends the login (RFC 6749, 4.1.2).
#[derive(Default)]
pub(super) struct Codes(HashMap<String, Code>);

struct Code {
    sid: String,
    user: String,
    scope: String,
    nonce: Option<String>,
    redirect_uri: String,
    challenge: String,
    /// The key whose proof must come with the code (RFC 9449, section 10).
    dpop_jkt: Option<String>,
    expires_at: SystemTime,
    used: bool,
}

impl StrictIssuer {
    /// A redirect back to the client with a code or an error. An error page if the URL is not known
    /// to be the client's (RFC 6749, 4.1.2.1).
    pub(super) fn authorize(
        &self,
        request: &Request<Bytes>,
    ) -> Result<Response<Bytes>, OAuthError> {
        let asked = parameters(request)?;
        if asked.get("client_id") != Some(&self.inner.clients.client.id) {
            return Err(OAuthError::invalid_request("Client not found"));
        }
        let redirect_uri = asked.get("redirect_uri").map_or("", String::as_str);
        let back = web_url(redirect_uri)
            .ok_or_else(|| OAuthError::invalid_request("Invalid parameter: redirect_uri"))?;
        let outcome = self.code_for(&asked, redirect_uri);
        Ok(redirect(back, |query| {
            match &outcome {
                Ok((code, sid)) => {
                    query.append_pair("code", code).append_pair("session_state", sid)
                }
                Err((error, why)) => {
                    query.append_pair("error", error).append_pair("error_description", why)
                }
            };
            if let Some(state) = asked.get("state") {
                query.append_pair("state", state);
            }
            // RFC 9207
            query.append_pair("iss", &self.issuer_url());
        }))
    }

    /// A code and the `sid` of its new session, or an OAuth error with its description.
    fn code_for(
        &self,
        asked: &Form,
        redirect_uri: &str,
    ) -> Result<(String, String), (&'static str, &'static str)> {
        let field = |name| asked.get(name).map_or("", String::as_str);
        if field("response_type") != "code" {
            return Err(("unsupported_response_type", "Only the code flow is served"));
        }
        let wants_openid = self.inner.rules.id_tokens;
        if wants_openid && !field("scope").split(' ').any(|scope| scope == "openid") {
            return Err(("invalid_scope", "The scope lacks openid"));
        }
        if field("code_challenge_method") != "S256" {
            return Err((
                "invalid_request",
                "Invalid parameter: code_challenge_method must be S256",
            ));
        }
        let challenge = field("code_challenge");
        if BASE64_URL_SAFE_NO_PAD.decode(challenge).map_or(0, |hash| hash.len()) != 32 {
            return Err(("invalid_request", "Invalid parameter: code_challenge"));
        }
        let user = asked.get("login_hint").map_or(DEFAULT_USER, String::as_str);
        let (code, sid) = (format!("code-{}", Uuid::new_v4().simple()), Uuid::new_v4().to_string());
        let known = Code {
            sid: sid.clone(),
            user: user.to_owned(),
            scope: field("scope").to_owned(),
            nonce: asked.get("nonce").cloned(),
            redirect_uri: redirect_uri.to_owned(),
            challenge: challenge.to_owned(),
            dpop_jkt: asked.get("dpop_jkt").cloned(),
            expires_at: self.now() + CODE_LIFETIME,
            used: false,
        };
        let mut state = lock(&self.inner.state);
        state.start_session(sid.clone(), user);
        state.add_code(&code);
        state.codes.0.insert(code.clone(), known);
        Ok((code, sid))
    }

    /// The `authorization_code` grant. Presenting a code uses it up, whatever the answer.
    pub(super) fn exchange_code(
        &self,
        form: &Form,
        jkt: Option<&str>,
    ) -> Result<Value, OAuthError> {
        let field = |name| form.get(name).map_or("", String::as_str);
        let mut state = lock(&self.inner.state);
        let Some(code) = state.codes.0.get_mut(field("code")) else {
            return Err(invalid_grant("Code not valid"));
        };
        if std::mem::replace(&mut code.used, true) {
            let sid = code.sid.clone();
            state.end_sessions(&sid);
            return Err(invalid_grant("Code already used"));
        }
        if code.expires_at <= self.now() {
            return Err(invalid_grant("Code is expired"));
        }
        if code.redirect_uri != field("redirect_uri") {
            return Err(invalid_grant("Incorrect redirect_uri"));
        }
        let presented = digest(&SHA256, field("code_verifier").as_bytes());
        if BASE64_URL_SAFE_NO_PAD.encode(presented) != code.challenge {
            return Err(invalid_grant("PKCE verification failed"));
        }
        if code.dpop_jkt.as_deref().is_some_and(|wanted| jkt != Some(wanted)) {
            return Err(invalid_grant("DPoP proof is of another key"));
        }
        let (sid, user, scope, nonce) =
            (code.sid.clone(), code.user.clone(), code.scope.clone(), code.nonce.clone());
        if state.session(&sid).is_none() {
            return Err(invalid_grant("Session not active"));
        }
        let mut answer = self.issue(&mut state, &sid, &user, &scope, jkt);
        if let Some(nonce) = nonce {
            let (issuer, subject, now) = (self.issuer_url(), subject_of(&user), self.now());
            let to = Grantee {
                issuer: &issuer,
                user: &user,
                subject: &subject,
                sid: Some(&sid),
                scope: &scope,
                now,
                key: &self.signing_key(),
                jkt,
            };
            if let Some(id_token) = self.inner.shape.id_token_with_nonce(&to, &nonce) {
                state.add_id_token(&id_token);
                answer.id_token = Some(id_token);
            }
        }
        tracing::debug!(user, "logged in");
        Ok((self.inner.rules.answer)(&answer))
    }

    /// RP-initiated logout: ends the session of the ID token, even an expired one, and redirects
    /// the browser.
    pub(super) fn log_out(&self, request: &Request<Bytes>) -> Result<Response<Bytes>, OAuthError> {
        let asked = parameters(request)?;
        if asked.get("client_id").is_some_and(|id| *id != self.inner.clients.client.id) {
            return Err(OAuthError::invalid_request("Client not found"));
        }
        let to = match asked.get("post_logout_redirect_uri") {
            None => None,
            Some(_) if !asked.contains_key("id_token_hint") && !asked.contains_key("client_id") => {
                return Err(OAuthError::invalid_request("Missing parameters: id_token_hint"));
            }
            Some(uri) => Some(
                web_url(uri).ok_or_else(|| OAuthError::invalid_request("Invalid redirect uri"))?,
            ),
        };
        if let Some(hint) = asked.get("id_token_hint") {
            let mut state = lock(&self.inner.state);
            let known = state.issued().contains(hint);
            let sid = sid_in(hint).filter(|_| known);
            state.end_sessions(
                &sid.ok_or_else(|| {
                    OAuthError::invalid_request("Invalid parameter: id_token_hint")
                })?,
            );
            tracing::debug!("logged out");
        }
        let Some(to) = to else { return Ok(plain_response(StatusCode::OK, "You are logged out")) };
        Ok(redirect(to, |query| {
            if let Some(state) = asked.get("state") {
                query.append_pair("state", state);
            }
        }))
    }
}

/// The query of a GET, or the form of a POST.
fn parameters(request: &Request<Bytes>) -> Result<Form, OAuthError> {
    match *request.method() {
        Method::GET => fields_once(request.uri().query().unwrap_or_default().as_bytes()),
        _ => parse_form(request),
    }
}

/// Any http or https URL without a fragment (RFC 6749, 3.1.2).
fn web_url(uri: &str) -> Option<Url> {
    Url::parse(uri)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https") && url.fragment().is_none())
}

fn redirect(
    mut to: Url,
    add: impl FnOnce(&mut url::form_urlencoded::Serializer<'_, url::UrlQuery<'_>>),
) -> Response<Bytes> {
    add(&mut to.query_pairs_mut());
    if to.query() == Some("") {
        to.set_query(None);
    }
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = StatusCode::FOUND;
    let location = HeaderValue::try_from(to.as_str()).expect("a parsed URL is ASCII");
    response.headers_mut().insert(header::LOCATION, location);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn invalid_grant(description: &'static str) -> OAuthError {
    OAuthError::new(StatusCode::BAD_REQUEST, "invalid_grant", description)
}

fn sid_in(id_token: &str) -> Option<String> {
    let payload = BASE64_URL_SAFE_NO_PAD.decode(id_token.split('.').nth(1)?).ok()?;
    let claims: Value = serde_json::from_slice(&payload).ok()?;
    // A refresh token of ours names a session too.
    let sid = claims["sid"].as_str().filter(|_| claims["typ"] == "ID")?;
    Some(sid.to_owned())
}
