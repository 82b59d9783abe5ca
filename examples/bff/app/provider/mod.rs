//! The provider in the code flow: where to send the browser, and which login its code stands for.
//!
//! It is discovered on first use, and again after a failure, so that this application starts while
//! the provider is down. It is discovered anew when an ID token is signed by an unknown key, since
//! providers change their keys.

mod discovery;
mod exchange;
mod failures;
mod http;
mod id_token;
mod issuers;

use std::{sync::Arc, time::Duration};

use openidconnect::{
    ClientId, ClientSecret, CsrfToken, Nonce, PkceCodeChallenge, RedirectUrl, Scope,
    core::CoreAuthenticationFlow,
};
use tokio::sync::Mutex;
use tower_token_refresh::{Clock, StandardClaims, TokenSet};

pub use self::failures::{ProviderError, registered};
use self::{
    discovery::{Found, discover},
    exchange::{Code, exchange},
    failures::Rejected,
    http::Http,
    id_token::Expected,
    issuers::Issuers,
};
use super::settings::{Params, Settings};

/// The shortest time between two discoveries: many logins at once must not become many discoveries.
const NEXT_DISCOVERY: Duration = Duration::from_secs(5);

pub struct Provider {
    issuers: Issuers,
    client_id: ClientId,
    client_secret: Option<ClientSecret>,
    redirect: RedirectUrl,
    scopes: Vec<Scope>,
    login_params: Params,
    http: Http,
    clock: Clock,
    discovered: Mutex<Discovered>,
}

#[derive(Default)]
struct Discovered {
    found: Option<Arc<Found>>,
    /// On the monotonic clock.
    asked_at: Option<Duration>,
}

/// Where to send the browser, and what its callback is checked against.
pub struct LoginRequest {
    pub url: url::Url,
    pub state: String,
    pub nonce: String,
    pub verifier: String,
}

/// A login that the provider has confirmed.
pub struct VerifiedLogin {
    pub tokens: TokenSet,
    /// The user's name to show, from the verified ID token.
    pub name: String,
}

impl Provider {
    pub fn new(settings: &Settings, clock: Clock) -> Result<Self, String> {
        let parsed = |error| format!("the settings hold a URL that cannot be used: {error}");
        Ok(Self {
            issuers: Issuers::of(settings),
            client_id: ClientId::new(settings.client_id.clone()),
            client_secret: settings.client_secret.clone().map(ClientSecret::new),
            redirect: RedirectUrl::new(settings.base.with_path("/auth/callback"))
                .map_err(parsed)?,
            // `openidconnect` adds openid itself.
            scopes: settings
                .scopes
                .iter()
                .filter(|s| *s != "openid")
                .cloned()
                .map(Scope::new)
                .collect(),
            login_params: settings.login_params.clone(),
            http: Http::new()?,
            clock,
            discovered: Mutex::default(),
        })
    }

    /// Discovers the provider early. A failure is logged, and the next login tries again.
    pub async fn discover_early(&self) {
        if self.found().await.is_err() {
            tracing::warn!(
                issuer = self.issuers.own(),
                "the next login will try again to reach the provider"
            );
        }
    }

    /// The `iss` of a callback, where there is one, names the provider that the login was sent to
    /// (RFC 9207).
    pub fn is_issuer(&self, iss: &str) -> bool {
        self.issuers.may_answer(iss)
    }

    pub async fn login_request(&self) -> Result<LoginRequest, ProviderError> {
        let found = self.found().await?;
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let flow = CoreAuthenticationFlow::AuthorizationCode;
        let mut request = found
            .client
            .authorize_url(flow, CsrfToken::new_random, Nonce::new_random)
            .add_scopes(self.scopes.iter().cloned())
            .set_pkce_challenge(challenge);
        for (name, value) in &self.login_params {
            request = request.add_extra_param(name.clone(), value.clone());
        }
        let (url, state, nonce) = request.url();
        let state = state.into_secret();
        Ok(LoginRequest {
            url,
            state,
            nonce: nonce.secret().clone(),
            verifier: verifier.into_secret(),
        })
    }

    /// Exchanges the code and verifies the ID token: signature, issuer, audience, expiry, nonce.
    pub async fn exchange(
        &self,
        code: String,
        nonce: String,
        verifier: String,
    ) -> Result<VerifiedLogin, ProviderError> {
        let found = self.found().await?;
        let sent_at = self.clock.now();
        let token_url = found
            .token_url
            .as_deref()
            .ok_or(ProviderError::BadAnswer("its discovery document names no token endpoint"))?;
        let client = (&self.client_id, self.client_secret.as_ref());
        let code = Code { code: &code, verifier: &verifier, redirect_uri: &self.redirect };
        let tokens = exchange(&self.http, token_url, client, code).await?;

        let claims = match self.claims(&found, &tokens, &nonce) {
            Err(Rejected::UnknownKey) => {
                let found = self.find_anew().await?;
                self.claims(&found, &tokens, &nonce)
            }
            claims => claims,
        };
        let claims = claims.map_err(|rejected| ProviderError::BadIdToken(rejected.why()))?;
        Ok(VerifiedLogin { tokens: tokens.with_obtained_at(sent_at), name: name_in(claims) })
    }

    fn claims(
        &self,
        found: &Found,
        tokens: &TokenSet,
        nonce: &str,
    ) -> Result<StandardClaims, Rejected> {
        let (issuers, client_id, now) = (&self.issuers, self.client_id.as_str(), self.clock.now());
        id_token::verify(tokens, &Expected { issuers, client_id, nonce, now }, &found.keys)
    }

    async fn found(&self) -> Result<Arc<Found>, ProviderError> {
        let mut discovered = self.discovered.lock().await;
        match &discovered.found {
            Some(found) => Ok(found.clone()),
            None => self.discover(&mut discovered).await,
        }
    }

    async fn find_anew(&self) -> Result<Arc<Found>, ProviderError> {
        let mut discovered = self.discovered.lock().await;
        match &discovered.found {
            Some(found) if self.asked_lately(&discovered) => Ok(found.clone()),
            _ => self.discover(&mut discovered).await,
        }
    }

    /// One at a time: the others wait for the lock, and get a failure without another request.
    async fn discover(&self, discovered: &mut Discovered) -> Result<Arc<Found>, ProviderError> {
        if self.asked_lately(discovered) {
            return Err(ProviderError::Unreachable);
        }
        let outcome = discover(&self.http, &self.issuers, &self.client_id, &self.redirect).await;
        discovered.asked_at = Some(self.clock.monotonic());
        let found = outcome.map_err(|why| {
            tracing::warn!(issuer = self.issuers.own(), why, "discovery failed");
            ProviderError::Unreachable
        })?;
        let found = Arc::new(found);
        discovered.found = Some(found.clone());
        Ok(found)
    }

    fn asked_lately(&self, discovered: &Discovered) -> bool {
        discovered
            .asked_at
            .is_some_and(|at| self.clock.monotonic().saturating_sub(at) < NEXT_DISCOVERY)
    }
}

fn name_in(claims: StandardClaims) -> String {
    claims.preferred_username.or(claims.email).or(claims.sub).unwrap_or_default()
}
