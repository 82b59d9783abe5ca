//! The provider, by its discovery document. It may be down when this application starts.

use tower_token_refresh::{ClientAuth, DiscoveryError, TokenEndpoint};

use super::settings::Settings;

/// Discovers the provider. If it cannot be reached, that is logged, and the first login tries again.
/// A document that is wrong is an error: waiting would not mend it.
pub(super) async fn endpoint(settings: &Settings) -> Result<TokenEndpoint, String> {
    let auth = match &settings.client_secret {
        Some(secret) => ClientAuth::basic(&settings.client_id, secret.as_str()),
        None => ClientAuth::none(&settings.client_id),
    };
    let mut endpoint = TokenEndpoint::discover(&settings.issuer, auth);
    for issuer in &settings.accept_issuers {
        endpoint = endpoint.accept_issuer(issuer);
    }
    for (name, value) in &settings.refresh_params {
        endpoint = endpoint.refresh_param(name, value);
    }
    if let Some(limit) = settings.request_timeout {
        endpoint = endpoint.request_timeout(limit);
    }
    match endpoint.clone().await {
        Ok(endpoint) => Ok(endpoint),
        Err(error @ (DiscoveryError::Fetch { .. } | DiscoveryError::Interrupted)) => {
            tracing::warn!(?error, "the provider cannot be reached; the next login will try again");
            Ok(endpoint.lazy())
        }
        Err(error) => Err(format!("ISSUER_URL {:?}: {error}", settings.issuer)),
    }
}
