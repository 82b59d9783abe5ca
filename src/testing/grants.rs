//! The token endpoint: `refresh_token` and `client_credentials`; the code's exchange is in
//! `authorization`.

use bytes::Bytes;
use http::{Request, StatusCode};
use serde_json::{Value, json};

use super::{
    StrictIssuer,
    issuer::{lock, subject_of},
    script::Step,
    state::State,
    tokens::Grantee,
    wire::{Form, OAuthError, parse_form},
};

impl StrictIssuer {
    pub(super) fn token(
        &self,
        request: &Request<Bytes>,
        step: Option<Step>,
    ) -> Result<Value, OAuthError> {
        let form = parse_form(request)?;
        self.inner.client.authenticate(request.headers(), &form, self.inner.rules)?;
        match form.get("grant_type").map(String::as_str) {
            Some("refresh_token") => self.refresh(&form, step),
            Some("authorization_code") => self.exchange_code(&form),
            Some("client_credentials") => self.client_credentials(&form),
            Some(_) => Err(bad("unsupported_grant_type", "Unsupported grant_type")),
            None => Err(OAuthError::invalid_request("Missing form parameter: grant_type")),
        }
    }

    fn refresh(&self, form: &Form, step: Option<Step>) -> Result<Value, OAuthError> {
        let presented = form
            .get("refresh_token")
            .ok_or_else(|| OAuthError::invalid_request("No refresh token"))?;
        let keep = matches!(step, Some(Step::KeepRefreshToken));
        let mut state = lock(&self.inner.state);

        // Before the token is touched: a refresh that fails for its scope consumes nothing.
        let scope = match (form.get("scope"), state.scope_of(presented)) {
            (Some(asked), Some(granted)) => {
                Some(narrowed(asked, granted)?).filter(|_| self.inner.rules.narrows_scope)
            }
            _ => None,
        };
        let consume = self.inner.rotation && !keep;
        let redeemed = state
            .redeem(presented, self.now(), consume)
            .map_err(|refusal| bad("invalid_grant", (self.inner.rules.refusal)(refusal)))?;
        state.refreshes += 1;

        let user = match step {
            Some(Step::AsUser(user)) => user,
            _ => {
                state.session(&redeemed.sid).map(|session| session.user.clone()).unwrap_or_default()
            }
        };
        let mut answer =
            self.access(&mut state, Some(&redeemed.sid), &user, scope.unwrap_or(&redeemed.scope));
        if consume {
            self.add_refresh_token(&mut state, &mut answer, &redeemed.sid, &user, &redeemed.scope);
            state.set_successor(presented, answer["refresh_token"].as_str().unwrap_or_default());
        } else {
            state.prolong(presented, self.now() + self.inner.shape.refresh_lifetime);
            if !keep {
                answer["refresh_token"] = json!(presented);
                self.say_refresh_expiry(&mut answer);
            }
        }
        Ok(answer)
    }

    /// The client's own token: no session, no refresh token.
    fn client_credentials(&self, form: &Form) -> Result<Value, OAuthError> {
        let client = &self.inner.client;
        if client.secret.is_none() {
            let why = "Public client not allowed to retrieve service account";
            return Err(OAuthError::new(StatusCode::UNAUTHORIZED, "unauthorized_client", why));
        }
        let granted = "profile email";
        let scope = form.get("scope").map_or(Ok(granted), |asked| narrowed(asked, granted))?;
        let user = format!("service-account-{}", client.id);
        Ok(self.access(&mut lock(&self.inner.state), None, &user, scope))
    }

    /// Tokens for a login: what the code exchange answers.
    pub(super) fn issue(&self, state: &mut State, sid: &str, user: &str, scope: &str) -> Value {
        let mut answer = self.access(state, Some(sid), user, scope);
        self.add_refresh_token(state, &mut answer, sid, user, scope);
        answer
    }

    fn access(&self, state: &mut State, sid: Option<&str>, user: &str, scope: &str) -> Value {
        let shape = &self.inner.shape;
        let (issuer, subject, now) = (self.issuer_url(), subject_of(user), self.now());
        let key = &self.signing_key();
        let to = Grantee { issuer: &issuer, user, subject: &subject, sid, scope, now, key };
        let access_token = shape.access_token(&to);
        state.add_access_token(&access_token, sid, (&subject, user), now + shape.access_lifetime);
        let mut answer = json!({
            "access_token": access_token,
            "expires_in": shape.access_lifetime.as_secs(),
            "token_type": "Bearer",
            "scope": scope,
        });
        if self.inner.rules.names_session {
            answer["refresh_expires_in"] = json!(0);
            answer["not-before-policy"] = json!(0);
            if let Some(sid) = sid {
                answer["session_state"] = json!(sid);
            }
        }
        if let Some(id_token) = shape.id_token(&to) {
            state.add_id_token(&id_token);
            answer["id_token"] = json!(id_token);
        }
        answer
    }

    fn add_refresh_token(
        &self,
        state: &mut State,
        answer: &mut Value,
        sid: &str,
        user: &str,
        scope: &str,
    ) {
        let shape = &self.inner.shape;
        let (issuer, subject, now) = (self.issuer_url(), subject_of(user), self.now());
        let key = &self.signing_key();
        let to =
            Grantee { issuer: &issuer, user, subject: &subject, sid: Some(sid), scope, now, key };
        let refresh_token = shape.refresh_token(&to);
        state.add_refresh_token(&refresh_token, sid, scope, now + shape.refresh_lifetime);
        answer["refresh_token"] = json!(refresh_token);
        self.say_refresh_expiry(answer);
    }

    fn say_refresh_expiry(&self, answer: &mut Value) {
        if self.inner.rules.names_session {
            answer["refresh_expires_in"] = json!(self.inner.shape.refresh_lifetime.as_secs());
        }
    }
}

fn bad(code: &'static str, description: &'static str) -> OAuthError {
    OAuthError::new(StatusCode::BAD_REQUEST, code, description)
}

/// A scope may be narrowed, never widened (RFC 6749, 6).
fn narrowed<'a>(asked: &'a str, granted: &str) -> Result<&'a str, OAuthError> {
    let within = asked.split_whitespace().all(|scope| granted.split(' ').any(|held| held == scope));
    within.then_some(asked).ok_or_else(|| bad("invalid_scope", "Invalid scopes"))
}
