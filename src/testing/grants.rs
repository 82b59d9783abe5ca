//! The token endpoint: `refresh_token`, `client_credentials`, JWT bearer (RFC 7523) and token exchange
//! (RFC 8693); the code's exchange is in `authorization`.

use std::time::SystemTime;

use bytes::Bytes;
use http::{Request, StatusCode};
use serde_json::{Value, json};

use super::{
    StrictIssuer,
    addresses::Endpoint,
    answer::{Answer, Grant, Named},
    client_assertion::Wanted,
    client_auth::Proof,
    issuer::{lock, subject_of},
    script::Step,
    state::{NewRefreshToken, State},
    tokens::Grantee,
    wire::{Form, OAuthError, parse_form},
};

pub(super) const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
pub(super) const TOKEN_EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";

impl StrictIssuer {
    pub(super) fn token(
        &self,
        request: &Request<Bytes>,
        step: Option<Step>,
    ) -> Result<Value, OAuthError> {
        let form = parse_form(request)?;
        self.authenticate(Endpoint::Token, request.headers(), &form)?;
        let key = self.proven_key(request)?;
        let key = key.as_deref();
        match form.get("grant_type").map(String::as_str) {
            Some("refresh_token") => self.refresh(&form, step, key),
            Some("authorization_code") => self.exchange_code(&form, key),
            Some("client_credentials") => self.client_credentials(request, &form, key),
            Some(TOKEN_EXCHANGE) => self.exchange_token(request, &form, key),
            Some(JWT_BEARER) if self.inner.clients.account.is_some() => {
                self.jwt_bearer(request, &form, key)
            }
            Some(_) => Err(bad("unsupported_grant_type", "Unsupported grant_type")),
            None => Err(OAuthError::invalid_request("Missing form parameter: grant_type")),
        }
    }

    fn refresh(
        &self,
        form: &Form,
        step: Option<Step>,
        jkt: Option<&str>,
    ) -> Result<Value, OAuthError> {
        let presented = form
            .get("refresh_token")
            .ok_or_else(|| OAuthError::invalid_request("No refresh token"))?;
        let keep = matches!(step, Some(Step::KeepRefreshToken));
        let mut state = lock(&self.inner.state);

        // Before the token is touched: a refresh that fails for its key or its scope consumes nothing.
        if state.dpop.key_of(presented).is_some_and(|bound| jkt != Some(bound)) {
            return Err(bad("invalid_grant", "DPoP proof and token binding verification failed"));
        }
        let rules = self.inner.rules;
        let scope = match (form.get("scope"), state.scope_of(presented)) {
            (Some(asked), Some(granted)) => {
                Some(narrowed(asked, granted)?).filter(|_| rules.narrows_scope)
            }
            _ => None,
        };
        let (rotation, now) = (self.inner.rotation, self.now());
        let redeemed = state.redeem(presented, now, rotation, keep).map_err(|refusal| {
            tracing::debug!(?refusal, "a refresh token was refused");
            let token = Some(presented.clone());
            OAuthError { token, ..(rules.refusal)(refusal).into() }
        })?;
        state.refreshes += 1;

        let user = match step {
            Some(Step::AsUser(user)) => user,
            _ => {
                state.session(&redeemed.sid).map(|session| session.user.clone()).unwrap_or_default()
            }
        };
        let scope = scope.unwrap_or(&redeemed.scope);
        let to = Recipient { sid: Some(&redeemed.sid), user: &user, scope, audience: &[], jkt };
        let mut answer = self.access(&mut state, Grant::Refresh, &to);
        if rules.ends_old_access_token {
            state.end_access_token(&redeemed.access_token);
        }
        let expires_at = if rules.fixed_end {
            redeemed.expires_at
        } else {
            now + self.inner.shape.refresh_lifetime
        };
        if rotation.brings_a_new_token() && !keep {
            let life = (now, expires_at);
            self.add_refresh_token(&mut state, &mut answer, &user, &redeemed.scope, life, jkt);
            let successor = answer.refresh_token.as_ref().map_or("", |named| &named.token);
            state.add_successor(presented, successor);
        } else {
            state.go_on(presented, expires_at, &answer.access_token);
            if rules.repeats_same_token && !keep {
                answer.refresh_token = Some(Named::new(presented.clone(), (now, expires_at)));
            }
        }
        tracing::debug!(user, "refreshed");
        Ok((rules.answer)(&answer))
    }

    /// The client's own token: no session, no refresh token.
    fn client_credentials(
        &self,
        request: &Request<Bytes>,
        form: &Form,
        jkt: Option<&str>,
    ) -> Result<Value, OAuthError> {
        let client = &self.inner.clients.client;
        if matches!(client.proof, Proof::None) {
            let why = "Public client not allowed to retrieve service account";
            return Err(OAuthError::new(StatusCode::UNAUTHORIZED, "unauthorized_client", why));
        }
        let user = format!("service-account-{}", client.id);
        let (scope, audience) = self.wanted(request, form)?;
        let mut state = lock(&self.inner.state);
        let to = Recipient { sid: None, user: &user, scope, audience: &audience, jkt };
        Ok((self.inner.rules.answer)(&self.access(&mut state, Grant::Client, &to)))
    }

    /// A service account's token (RFC 7523, section 2.1).
    fn jwt_bearer(
        &self,
        request: &Request<Bytes>,
        form: &Form,
        jkt: Option<&str>,
    ) -> Result<Value, OAuthError> {
        let refused = || bad("invalid_grant", "Invalid JWT Signature.");
        let (name, assertions) = self.inner.clients.account.as_ref().ok_or_else(refused)?;
        let (issuer, token) = (self.issuer_url(), self.token_url());
        let wanted =
            Wanted { client_id: name, audiences: [&issuer, &token, &token], now: self.now() };
        if !form.get("assertion").is_some_and(|jwt| assertions.takes(jwt, &wanted)) {
            return Err(refused());
        }
        let (scope, audience) = self.wanted(request, form)?;
        let mut state = lock(&self.inner.state);
        let to = Recipient { sid: None, user: name, scope, audience: &audience, jkt };
        Ok((self.inner.rules.answer)(&self.access(&mut state, Grant::Client, &to)))
    }

    /// A token for another API, in the name of the subject token's user and in the same session.
    fn exchange_token(
        &self,
        request: &Request<Bytes>,
        form: &Form,
        jkt: Option<&str>,
    ) -> Result<Value, OAuthError> {
        if matches!(self.inner.clients.client.proof, Proof::None) {
            let why = "Public client is not allowed to exchange token";
            return Err(bad("invalid_client", why));
        }
        if form.get("subject_token_type").map(String::as_str) != Some(ACCESS_TOKEN) {
            return Err(OAuthError::invalid_request(
                "subject_token_type supported only for access_token",
            ));
        }
        let presented = form.get("subject_token").map_or("", String::as_str);
        let (scope, audience) = self.wanted(request, form)?;
        let mut state = lock(&self.inner.state);
        let Some(subject) = state.live_access_token(presented, self.now()) else {
            return Err(OAuthError::invalid_request("Invalid token"));
        };
        let (sid, user) = (subject.sid.clone(), subject.user.clone());
        let to = Recipient { sid: sid.as_deref(), user: &user, scope, audience: &audience, jkt };
        let mut answer = self.access(&mut state, Grant::Exchange, &to);
        answer.id_token = None;
        let mut body = (self.inner.rules.answer)(&answer);
        body["issued_token_type"] = json!(ACCESS_TOKEN);
        Ok(body)
    }

    /// The scope of a token that is no login's, and the APIs that it is for: the `audience` and
    /// `resource` parameters, which may come several times.
    fn wanted<'a>(
        &self,
        request: &Request<Bytes>,
        form: &'a Form,
    ) -> Result<(&'a str, Vec<String>), OAuthError> {
        let unasked = "profile email";
        let granted = [&[unasked.to_owned()], &*self.inner.clients.scopes].concat().join(" ");
        let scope = form.get("scope").map_or(Ok(unasked), |asked| narrowed(asked, &granted))?;
        let named = url::form_urlencoded::parse(request.body());
        let named = named.filter(|(name, _)| name == "audience" || name == "resource");
        let targets: Vec<_> = named.map(|(_, value)| value.into_owned()).collect();
        match &self.inner.clients.apis {
            Some(known) if !targets.iter().all(|target| known.contains(target)) => {
                Err(bad("invalid_target", "Requested audience not available"))
            }
            _ => Ok((scope, targets)),
        }
    }

    /// Tokens for a login: what the code exchange answers.
    pub(super) fn issue(
        &self,
        state: &mut State,
        sid: &str,
        user: &str,
        scope: &str,
        jkt: Option<&str>,
    ) -> Answer {
        let to = Recipient { sid: Some(sid), user, scope, audience: &[], jkt };
        let mut answer = self.access(state, Grant::Login, &to);
        let now = self.now();
        let life = (now, now + self.inner.shape.refresh_lifetime);
        self.add_refresh_token(state, &mut answer, user, scope, life, jkt);
        answer
    }

    fn access(&self, state: &mut State, grant: Grant, to: &Recipient<'_>) -> Answer {
        let Recipient { sid, user, scope, audience, jkt } = *to;
        let shape = &self.inner.shape;
        let (issuer, subject, now) = (self.issuer_url(), subject_of(user), self.now());
        let key = &self.signing_key();
        let to = Grantee { issuer: &issuer, user, subject: &subject, sid, scope, now, key, jkt };
        let access_token = shape.access_token(&to, audience);
        state.dpop.bind(&access_token, jkt);
        state.add_access_token(&access_token, sid, (&subject, user), now + shape.access_lifetime);
        let id_token = shape.id_token(&to);
        if let Some(id_token) = &id_token {
            state.add_id_token(id_token);
        }
        Answer {
            grant,
            sid: sid.map(str::to_owned),
            access_token,
            is_dpop: jkt.is_some(),
            expires_in: shape.access_lifetime.as_secs(),
            scope: scope.to_owned(),
            refresh_token: None,
            id_token,
            subject,
        }
    }

    /// A new refresh token for the session of the answer. It keeps the whole scope, however narrow
    /// that of the answer is.
    fn add_refresh_token(
        &self,
        state: &mut State,
        answer: &mut Answer,
        user: &str,
        scope: &str,
        (now, expires_at): (SystemTime, SystemTime),
        jkt: Option<&str>,
    ) {
        let Some(sid) = answer.sid.as_deref() else { return };
        let (issuer, subject) = (self.issuer_url(), &answer.subject);
        let key = &self.signing_key();
        let to = Grantee { issuer: &issuer, user, subject, sid: Some(sid), scope, now, key, jkt };
        let token = self.inner.shape.refresh_token(&to);
        // Those of a confidential client are bound to the client already (RFC 9449, section 5).
        let is_public = matches!(self.inner.clients.client.proof, Proof::None);
        state.dpop.bind(&token, jkt.filter(|_| is_public));
        let access_token = &answer.access_token;
        state.add_refresh_token(&NewRefreshToken {
            token: &token,
            sid,
            scope,
            expires_at,
            access_token,
        });
        answer.refresh_token = Some(Named::new(token, (now, expires_at)));
    }
}

/// For whom an access token is.
#[derive(Clone, Copy)]
struct Recipient<'a> {
    sid: Option<&'a str>,
    user: &'a str,
    scope: &'a str,
    /// The APIs that it is good at; empty: as usual.
    audience: &'a [String],
    /// The thumbprint of the key that it is bound to.
    jkt: Option<&'a str>,
}

fn bad(code: &'static str, description: &'static str) -> OAuthError {
    OAuthError::new(StatusCode::BAD_REQUEST, code, description)
}

/// A scope may be narrowed, never widened (RFC 6749, 6).
fn narrowed<'a>(asked: &'a str, granted: &str) -> Result<&'a str, OAuthError> {
    let within = asked.split_whitespace().all(|scope| granted.split(' ').any(|held| held == scope));
    within.then_some(asked).ok_or_else(|| bad("invalid_scope", "Invalid scopes"))
}
