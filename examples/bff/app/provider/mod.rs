//! The provider in the code flow: where to send the browser, and which login its code stands for.
//!
//! It is discovered on first use, and again after a failure, so that this application starts while
//! the provider is down. It is discovered anew when an ID token is signed by an unknown key, since
//! providers change their keys.

mod failures;
mod http;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use openidconnect::{
    AuthorizationCode, Client, ClientId, ClientSecret, CsrfToken, EmptyAdditionalClaims,
    EndpointMaybeSet, EndpointNotSet, EndpointSet, ExtraTokenFields, IdTokenFields, IssuerUrl,
    Nonce, OAuth2TokenResponse, PkceCodeChallenge, PkceCodeVerifier, RedirectUrl, Scope,
    StandardErrorResponse, StandardTokenResponse,
    core::{
        CoreAuthDisplay, CoreAuthPrompt, CoreAuthenticationFlow, CoreErrorResponseType,
        CoreGenderClaim, CoreIdTokenClaims, CoreJsonWebKey, CoreJweContentEncryptionAlgorithm,
        CoreJwsSigningAlgorithm, CoreProviderMetadata, CoreRevocableToken,
        CoreRevocationErrorResponse, CoreTokenIntrospectionResponse, CoreTokenType,
    },
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::Mutex;
use tower_token_refresh::{Clock, TokenSet};

pub use self::failures::{ProviderError, registered};
use self::{
    failures::{Rejected, discovery_failed, exchange_failed},
    http::Http,
};
use super::settings::Settings;

/// The shortest time between two discoveries: many logins at once must not become many discoveries.
const NEXT_DISCOVERY: Duration = Duration::from_secs(5);

/// What a token response holds beside the standard fields, such as the life of the refresh token.
/// The standard types of `openidconnect` would drop it.
#[derive(Debug, Serialize, Deserialize)]
struct Others(BTreeMap<String, Value>);

impl ExtraTokenFields for Others {}

type Tokens = StandardTokenResponse<
    IdTokenFields<
        EmptyAdditionalClaims,
        Others,
        CoreGenderClaim,
        CoreJweContentEncryptionAlgorithm,
        CoreJwsSigningAlgorithm,
    >,
    CoreTokenType,
>;

type OidcClient = Client<
    EmptyAdditionalClaims,
    CoreAuthDisplay,
    CoreGenderClaim,
    CoreJweContentEncryptionAlgorithm,
    CoreJsonWebKey,
    CoreAuthPrompt,
    StandardErrorResponse<CoreErrorResponseType>,
    Tokens,
    CoreTokenIntrospectionResponse,
    CoreRevocableToken,
    CoreRevocationErrorResponse,
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointMaybeSet,
    EndpointMaybeSet,
>;

pub struct Provider {
    issuer: IssuerUrl,
    client_id: ClientId,
    client_secret: Option<ClientSecret>,
    redirect: RedirectUrl,
    scopes: Vec<Scope>,
    http: Http,
    clock: Clock,
    found: Mutex<Found>,
}

#[derive(Default)]
struct Found {
    client: Option<Arc<OidcClient>>,
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
            issuer: IssuerUrl::new(settings.issuer.clone()).map_err(parsed)?,
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
            http: Http::new()?,
            clock,
            found: Mutex::default(),
        })
    }

    /// Discovers the provider early. A failure is logged, and the next login tries again.
    pub async fn discover_early(&self) {
        if self.client().await.is_err() {
            tracing::warn!(issuer = %self.issuer.as_str(), "the next login will try again to reach the provider");
        }
    }

    /// The `iss` of a callback, where there is one, names the provider that the login was sent to
    /// (RFC 9207).
    pub fn is_issuer(&self, iss: &str) -> bool {
        iss == self.issuer.as_str()
    }

    pub async fn login_request(&self) -> Result<LoginRequest, ProviderError> {
        let client = self.client().await?;
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let flow = CoreAuthenticationFlow::AuthorizationCode;
        let (url, state, nonce) = client
            .authorize_url(flow, CsrfToken::new_random, Nonce::new_random)
            .add_scopes(self.scopes.iter().cloned())
            .set_pkce_challenge(challenge)
            .url();
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
        let client = self.client().await?;
        let sent_at = self.clock.now();
        let tokens = client
            .exchange_code(AuthorizationCode::new(code))
            .map_err(|_| {
                ProviderError::BadAnswer("its discovery document names no token endpoint")
            })?
            .set_pkce_verifier(PkceCodeVerifier::new(verifier))
            .request_async(&self.http)
            .await
            .map_err(exchange_failed)?;

        let nonce = Nonce::new(nonce);
        let claims = match self.claims(&client, &tokens, &nonce) {
            Err(Rejected::UnknownKey) => {
                let client = self.find_anew().await?;
                self.claims(&client, &tokens, &nonce)
            }
            claims => claims,
        };
        let claims = claims.map_err(|rejected| ProviderError::BadIdToken(rejected.why()))?;
        let name = name_in(&claims);
        let tokens = TokenSet::from_response(&tokens)
            .map_err(|_| ProviderError::BadAnswer("it is not a token response"))?
            .with_obtained_at(sent_at);
        Ok(VerifiedLogin { tokens, name })
    }

    fn claims(
        &self,
        client: &OidcClient,
        tokens: &Tokens,
        nonce: &Nonce,
    ) -> Result<CoreIdTokenClaims, Rejected> {
        let id_token = tokens.extra_fields().id_token().ok_or(Rejected::Missing)?;
        let clock = self.clock.clone();
        let verifier = client.id_token_verifier().set_time_fn(move || clock.now().into());
        let claims = id_token.claims(&verifier, nonce).map_err(|error| Rejected::of(&error))?;
        if let Some(expected) = claims.access_token_hash() {
            let wrong = Rejected::Other("its at_hash cannot be computed");
            let key = id_token.signing_key(&verifier).map_err(|_| wrong)?;
            let alg = id_token.signing_alg().map_err(|_| wrong)?;
            let actual =
                openidconnect::AccessTokenHash::from_token(tokens.access_token(), alg, key)
                    .map_err(|_| wrong)?;
            if actual != *expected {
                return Err(Rejected::Other("its at_hash is another access token's"));
            }
        }
        Ok(claims.clone())
    }

    async fn client(&self) -> Result<Arc<OidcClient>, ProviderError> {
        let mut found = self.found.lock().await;
        match &found.client {
            Some(client) => Ok(client.clone()),
            None => self.discover(&mut found).await,
        }
    }

    async fn find_anew(&self) -> Result<Arc<OidcClient>, ProviderError> {
        let mut found = self.found.lock().await;
        match &found.client {
            Some(client) if self.asked_lately(&found) => Ok(client.clone()),
            _ => self.discover(&mut found).await,
        }
    }

    /// One at a time: the others wait for the lock, and get a failure without another request.
    async fn discover(&self, found: &mut Found) -> Result<Arc<OidcClient>, ProviderError> {
        if self.asked_lately(found) {
            return Err(ProviderError::Unreachable);
        }
        let outcome = CoreProviderMetadata::discover_async(self.issuer.clone(), &self.http).await;
        found.asked_at = Some(self.clock.monotonic());
        let metadata = outcome.map_err(|error| {
            let why = discovery_failed(&error);
            tracing::warn!(issuer = %self.issuer.as_str(), why, "discovery failed");
            ProviderError::Unreachable
        })?;
        let client = Client::from_provider_metadata(
            metadata,
            self.client_id.clone(),
            self.client_secret.clone(),
        )
        .set_redirect_uri(self.redirect.clone());
        let client = Arc::new(client);
        found.client = Some(client.clone());
        Ok(client)
    }

    fn asked_lately(&self, found: &Found) -> bool {
        found.asked_at.is_some_and(|at| self.clock.monotonic().saturating_sub(at) < NEXT_DISCOVERY)
    }
}

fn name_in(claims: &CoreIdTokenClaims) -> String {
    let preferred = claims.preferred_username().map(|name| name.as_str());
    let email = || claims.email().map(|email| email.as_str());
    preferred.or_else(email).unwrap_or_else(|| claims.subject().as_str()).to_owned()
}
