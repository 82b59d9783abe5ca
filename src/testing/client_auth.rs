//! Client authentication: `client_secret_basic`, `client_secret_post` or `none` (RFC 6749, 2.3.1),
//! and by assertions. Never by two methods at once (RFC 6749, 2.3).

use base64::{Engine, prelude::BASE64_STANDARD};
use http::HeaderMap;

use super::{
    StrictIssuer,
    addresses::Endpoint,
    client_assertion::{Assertions, Wanted},
    provider::Rules,
    wire::{Form, OAuthError, authorization},
};

/// The only client of the issuer.
pub(super) struct Client {
    pub(super) id: String,
    pub(super) proof: Proof,
}

/// How the client proves who it is. It is registered for one way alone.
pub(super) enum Proof {
    /// It is public and sends only its id.
    None,
    /// By Basic or in the form.
    Secret(String),
    Assertions(Assertions),
}

impl StrictIssuer {
    /// Accepts a request of the client to `endpoint`.
    pub(super) fn authenticate(
        &self,
        endpoint: Endpoint,
        headers: &HeaderMap,
        form: &Form,
    ) -> Result<(), OAuthError> {
        let accepted = self.accept(endpoint, headers, form);
        accepted.inspect_err(|_| tracing::debug!(?endpoint, "the client was refused"))
    }

    fn accept(
        &self,
        endpoint: Endpoint,
        headers: &HeaderMap,
        form: &Form,
    ) -> Result<(), OAuthError> {
        let (client, rules) = (&self.inner.clients.client, self.inner.rules);
        if !form.contains_key("client_assertion") && !form.contains_key("client_assertion_type") {
            return client.authenticate(headers, form, rules);
        }
        let by_two =
            headers.contains_key(http::header::AUTHORIZATION) || form.contains_key("client_secret");
        if by_two {
            return Err(OAuthError::invalid_request("more than one way of client authentication"));
        }
        if form.get("client_id").is_some_and(|id| *id != client.id) {
            return Err(unknown(rules));
        }
        let (issuer, token, own) = (self.issuer_url(), self.token_url(), self.url_of(endpoint));
        let wanted =
            Wanted { client_id: &client.id, audiences: [&issuer, &token, &own], now: self.now() };
        match &client.proof {
            Proof::Assertions(assertions) if assertions.accept(form, &wanted) => Ok(()),
            _ => Err(rules.wrong_secret.into()),
        }
    }
}

impl Client {
    /// Accepts the client by Basic or by the form, but not by both at once.
    fn authenticate(
        &self,
        headers: &HeaderMap,
        form: &Form,
        rules: &Rules,
    ) -> Result<(), OAuthError> {
        let form_id = form.get("client_id").map(String::as_str);
        let form_secret = form.get("client_secret").map(String::as_str);
        if headers.contains_key(http::header::AUTHORIZATION) {
            let challenged = |error: OAuthError| OAuthError { challenge: rules.challenge, ..error };
            let (id, secret) = basic(headers).ok_or_else(|| challenged(unknown(rules)))?;
            if form_secret.is_some() || form_id.is_some_and(|form_id| form_id != id) {
                return Err(OAuthError::invalid_request(
                    "more than one way of client authentication",
                ));
            }
            return self.check(&id, Some(&secret), rules).map_err(challenged);
        }
        let id = form_id.ok_or_else(|| OAuthError::from(rules.no_client))?;
        self.check(id, form_secret, rules)
    }

    fn check(&self, id: &str, secret: Option<&str>, rules: &Rules) -> Result<(), OAuthError> {
        if id != self.id {
            return Err(unknown(rules));
        }
        let is_right = match &self.proof {
            Proof::None => secret.is_none(),
            Proof::Secret(own) => secret == Some(own),
            Proof::Assertions(_) => false,
        };
        if is_right { Ok(()) } else { Err(rules.wrong_secret.into()) }
    }
}

fn unknown(rules: &Rules) -> OAuthError {
    rules.unknown_client.into()
}

/// Id and secret are form-encoded before they are joined.
fn basic(headers: &HeaderMap) -> Option<(String, String)> {
    let decoded = BASE64_STANDARD.decode(authorization(headers, "Basic")?).ok()?;
    let decoded = String::from_utf8(decoded).ok()?;
    let (id, secret) = decoded.split_once(':')?;
    Some((form_decode(id), form_decode(secret)))
}

fn form_decode(value: &str) -> String {
    let one_pair = value.replace('&', "%26").replace('=', "%3D");
    url::form_urlencoded::parse(one_pair.as_bytes()).map(|(name, _)| name.into_owned()).collect()
}
