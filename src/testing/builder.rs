//! The settings of a [`StrictIssuer`].

use std::{fmt, time::Duration};

use serde_json::Value;
use url::Url;

use super::{
    StrictIssuer,
    client_assertion::Assertions,
    client_auth::{Client, Proof},
    dpop::DpopRules,
    issuer::{Base, Clients, Inner},
    provider::{ProviderKind, Rotation},
    tokens::TokenShape,
};
use crate::Clock;

const DEFAULT_ISSUER: &str = "https://id.example.test/realms/test";

/// Builds a [`StrictIssuer`].
///
/// | setting | default |
/// |---|---|
/// | which provider it behaves like | [`ProviderKind::Keycloak`] |
/// | issuer URL | `https://id.example.test/realms/test`; as a server, its own address |
/// | client | `web` with the secret `secret` |
/// | its redirect URIs | any, http or https |
/// | the APIs that tokens can be made for | any |
/// | scopes of tokens that are no login's | `profile` and `email` |
/// | service accounts with a key of their own | none |
/// | DPoP (RFC 9449) | as the client likes; no nonces |
/// | who logs in by the code flow | `login_hint`, else `alice` |
/// | access token lifetime | 300 s (like others: [their default](super)) |
/// | refresh token lifetime | 1800 s, from its issue (like others: [their default](super)) |
/// | rotation | on: each refresh token is good once (like others: [as they do](super)) |
/// | tokens | JWTs, signed with ES256, and ID tokens (like others: [as they do](super)) |
/// | roles | realm: `offline_access`, `user`; client: `reader` |
#[must_use]
pub struct StrictIssuerBuilder {
    clock: Clock,
    issuer_url: String,
    client: Client,
    apis: Option<Vec<String>>,
    scopes: Vec<String>,
    account: Option<(String, Assertions)>,
    dpop: DpopRules,
    rotation: Rotation,
    provider: ProviderKind,
    shape: TokenShape,
}

impl StrictIssuerBuilder {
    pub(super) fn new() -> Self {
        let provider = ProviderKind::default();
        let rules = provider.rules();
        let shape = TokenShape {
            client_id: String::new(),
            access_lifetime: rules.access_lifetime,
            refresh_lifetime: rules.refresh_lifetime,
            realm_roles: vec!["offline_access".to_owned(), "user".to_owned()],
            client_roles: vec!["reader".to_owned()],
            opaque_access: rules.opaque_access,
            opaque_refresh: rules.opaque_refresh,
            prefixes: rules.prefixes,
            id_tokens: rules.id_tokens,
            names_session: rules.names_session,
        };
        Self {
            clock: Clock::system(),
            issuer_url: DEFAULT_ISSUER.to_owned(),
            client: Client { id: "web".to_owned(), proof: Proof::Secret("secret".to_owned()) },
            apis: None,
            scopes: Vec::new(),
            account: None,
            dpop: DpopRules::default(),
            rotation: rules.rotation,
            provider,
            shape,
        }
    }

    /// Sets which provider it behaves like, and with that the rotation, the lifetimes, whether
    /// access and refresh tokens are opaque, and whether there are ID tokens. Later settings
    /// override this.
    pub fn like(mut self, provider: ProviderKind) -> Self {
        let rules = provider.rules();
        self.provider = provider;
        self.rotation = rules.rotation;
        self.shape.access_lifetime = rules.access_lifetime;
        self.shape.refresh_lifetime = rules.refresh_lifetime;
        self.shape.opaque_access = rules.opaque_access;
        self.shape.opaque_refresh = rules.opaque_refresh;
        self.shape.prefixes = rules.prefixes;
        self.shape.id_tokens = rules.id_tokens;
        self.shape.names_session = rules.names_session;
        self
    }

    /// Sets the clock by which tokens expire.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Sets the issuer URL. A server replaces its origin and keeps its path.
    pub fn issuer_url(mut self, url: &str) -> Self {
        url.clone_into(&mut self.issuer_url);
        self
    }

    /// Sets the only client, which authenticates by `client_secret_basic` or `client_secret_post`.
    pub fn client(mut self, id: &str, secret: &str) -> Self {
        self.client = Client { id: id.to_owned(), proof: Proof::Secret(secret.to_owned()) };
        self
    }

    /// Sets the only client. It has no secret and sends only its id.
    pub fn public_client(mut self, id: &str) -> Self {
        self.client = Client { id: id.to_owned(), proof: Proof::None };
        self
    }

    /// Sets the only client. It authenticates by `private_key_jwt` (OpenID Connect Core 1.0, section
    /// 9), and `jwk` is its public key. If the key has an `alg` or a `kid`, each assertion must have
    /// the same.
    ///
    /// An assertion is good once. Its `iss` and `sub` must be the client id, its one `aud` the
    /// issuer, the token endpoint or the endpoint that is asked, and its `exp` at most 5 min ahead.
    ///
    /// # Panics
    /// If `jwk` is no public key that verifies signatures.
    pub fn client_with_key(mut self, id: &str, jwk: &Value) -> Self {
        let assertions = Assertions::by_key(jwk).expect("a public key as a JWK");
        self.client = Client { id: id.to_owned(), proof: Proof::Assertions(assertions) };
        self
    }

    /// Sets the only client. It authenticates by `client_secret_jwt` with HS256; see
    /// [`client_with_key`](Self::client_with_key).
    pub fn client_with_secret_jwt(mut self, id: &str, secret: &str) -> Self {
        let assertions = Assertions::by_secret(secret);
        self.client = Client { id: id.to_owned(), proof: Proof::Assertions(assertions) };
        self
    }

    /// Adds a service account: whoever signs with the key of `jwk`, its public half, gets tokens for
    /// it by the JWT bearer grant (RFC 7523, section 2.1). `iss` and `sub` of the assertion must be
    /// `name`; for the rest see [`client_with_key`](Self::client_with_key).
    ///
    /// # Panics
    /// If `jwk` is no public key that verifies signatures.
    pub fn service_account(mut self, name: &str, jwk: &Value) -> Self {
        let assertions = Assertions::by_key(jwk).expect("a public key as a JWK");
        self.account = Some((name.to_owned(), assertions));
        self
    }

    /// Sets the APIs that tokens can be made for, by client credentials or token exchange. An
    /// `audience` or `resource` that is none of them is refused with `invalid_target`.
    pub fn apis(mut self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.apis = Some(names.into_iter().map(Into::into).collect());
        self
    }

    /// Sets the scopes that can be asked for beside `profile` and `email`, by client credentials, a
    /// JWT bearer assertion or token exchange. Any other is refused with `invalid_scope`.
    pub fn scopes(mut self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.scopes = names.into_iter().map(Into::into).collect();
        self
    }

    /// Refuses token requests without a proof of possession (DPoP; RFC 9449). Without this, the client
    /// decides: with a proof, its access tokens are bound to the key, and the refresh tokens of a
    /// public client are, too.
    pub fn requires_dpop(mut self) -> Self {
        self.dpop.is_required = true;
        self
    }

    /// Wants its own nonce in each proof, at the token endpoint and at userinfo (RFC 9449, sections 8
    /// and 9). [`new_dpop_nonce`](StrictIssuer::new_dpop_nonce) makes another one.
    pub fn dpop_nonces(mut self) -> Self {
        self.dpop.wants_nonce = true;
        self
    }

    /// Sets how long access tokens live. `expires_in` says it in whole seconds.
    pub fn access_token_lifetime(mut self, lifetime: Duration) -> Self {
        self.shape.access_lifetime = lifetime;
        self
    }

    /// Sets how long a refresh token lives if it is not used.
    pub fn refresh_token_lifetime(mut self, lifetime: Duration) -> Self {
        self.shape.refresh_lifetime = lifetime;
        self
    }

    /// Makes a refresh token good any number of times. Each answer repeats it and prolongs its
    /// life; like Google, Auth0 and Cognito, no answer repeats it, and like Okta, Auth0 and
    /// Cognito, nothing prolongs its life.
    pub fn without_rotation(mut self) -> Self {
        self.rotation = Rotation::SameToken;
        self
    }

    /// Makes each refresh bring a new refresh token, and forgives for so long that the one before
    /// it comes back: another new token answers then. Later, or once the new one has been used, it
    /// ends the login.
    ///
    /// This is what Okta calls the grace period, Auth0 the rotation overlap period, and Cognito the
    /// retry grace period. Zero forgives nothing.
    pub fn rotation_with_grace(mut self, grace: Duration) -> Self {
        self.rotation = Rotation::ReuseEndsLogin { grace };
        self
    }

    /// Sets whether access tokens are plain strings instead of JWTs.
    pub fn opaque_access_tokens(mut self, opaque: bool) -> Self {
        self.shape.opaque_access = opaque;
        self
    }

    /// Sets whether refresh tokens are plain strings instead of JWTs.
    pub fn opaque_refresh_tokens(mut self, opaque: bool) -> Self {
        self.shape.opaque_refresh = opaque;
        self
    }

    /// Leaves ID tokens out. With opaque access tokens nothing is signed then, which suits long
    /// random tests.
    pub fn without_id_tokens(mut self) -> Self {
        self.shape.id_tokens = false;
        self
    }

    /// Sets `realm_access.roles` of every access token.
    pub fn realm_roles(mut self, roles: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.shape.realm_roles = roles.into_iter().map(Into::into).collect();
        self
    }

    /// Sets `resource_access.<client>.roles` of every access token.
    pub fn client_roles(mut self, roles: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.shape.client_roles = roles.into_iter().map(Into::into).collect();
        self
    }

    /// Makes the issuer, with nobody logged in.
    ///
    /// # Panics
    /// If the issuer URL is not an `http` or `https` URL with a path.
    #[must_use]
    pub fn build(mut self) -> StrictIssuer {
        let base = Base::parse(&self.issuer_url)
            .unwrap_or_else(|| panic!("the issuer URL must be like {DEFAULT_ISSUER}"));
        self.shape.client_id.clone_from(&self.client.id);
        StrictIssuer::from_inner(Inner::new(
            self.clock,
            base,
            Clients {
                client: self.client,
                apis: self.apis,
                scopes: self.scopes,
                account: self.account,
                dpop: self.dpop,
            },
            self.rotation,
            self.provider.rules(),
            self.shape,
        ))
    }
}

impl fmt::Debug for StrictIssuerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StrictIssuerBuilder")
            .field("issuer_url", &self.issuer_url)
            .finish_non_exhaustive()
    }
}

impl Base {
    fn parse(issuer_url: &str) -> Option<Self> {
        let url =
            Url::parse(issuer_url).ok().filter(|url| matches!(url.scheme(), "http" | "https"))?;
        let path = url.path().trim_end_matches('/');
        (!path.is_empty())
            .then(|| Self { origin: url.origin().ascii_serialization(), path: path.to_owned() })
    }
}
