//! [`EndpointResolver`]: the providers of an application that has one per tenant.

use async_trait::async_trait;
use tower::BoxError;

use super::token_endpoint::TokenEndpoint;

/// Finds the provider of a login by its issuer, for an application whose tenants have a realm or a
/// provider each.
///
/// Each login keeps the issuer that its [`TokenSet`](crate::TokenSet::with_issuer) named at the log
/// in. Its refreshes, its logout and the verification of its claims go to the endpoint that this gives
/// for that issuer. Each provider has connections, a circuit breaker and keys of its own, so that one
/// which is down harms no other tenant.
///
/// ```
/// use std::collections::HashMap;
/// use tower_token_refresh::{
///     ClientAuth, EndpointResolver, TokenEndpoint, TokenRefresher, tower_sessions::MemoryStore,
/// };
///
/// /// The client secret of each tenant's realm.
/// struct Tenants(HashMap<String, String>);
///
/// #[async_trait::async_trait]
/// impl EndpointResolver for Tenants {
///     async fn endpoint(&self, issuer: &str) -> Result<Option<TokenEndpoint>, tower::BoxError> {
///         // A database would do as well.
///         let Some(secret) = self.0.get(issuer) else { return Ok(None) };
///         let auth = ClientAuth::basic("shop-web", secret);
///         Ok(Some(TokenEndpoint::discover(issuer, auth).lazy()))
///     }
/// }
///
/// # fn main() -> Result<(), tower_token_refresh::ConfigError> {
/// # let tenants = Tenants(HashMap::new());
/// let auth = ClientAuth::basic("shop-web", "s3cret");
/// let operators = TokenEndpoint::discover("https://id.example/realms/operators", auth).lazy();
/// let refresher = TokenRefresher::builder(operators, MemoryStore::default())
///     .endpoint_resolver(tenants)
///     .build()?;
/// # let _ = refresher;
/// # Ok(())
/// # }
/// ```
///
/// Whoever logs a user in names the issuer of the tenant that the login was begun for, never one that
/// the answer of a browser or a provider chose.
#[async_trait]
pub trait EndpointResolver: Send + Sync + 'static {
    /// The endpoint of the provider with this issuer; None if it is no provider of the application.
    ///
    /// It is asked in a task of its own, for at most the request timeout of the endpoint that the
    /// refresher was built with.
    ///
    /// It is asked once per issuer and process, and again after an error. The endpoint's issuer must
    /// be `issuer`, and its time limits at most those of the endpoint that the refresher was built
    /// with.
    ///
    /// With back-channel logout it is also asked for the issuer that an unknown logout token names,
    /// before anything is verified: let it answer from memory, and expect any text. Logout tokens must
    /// name `issuer` itself, not one that the endpoint accepts beside it.
    ///
    /// # Errors
    /// It cannot tell now. Whoever waits gets
    /// [`Unavailable`](crate::RefreshErrorKind::Unavailable), and no login ends by it.
    async fn endpoint(&self, issuer: &str) -> Result<Option<TokenEndpoint>, BoxError>;
}
