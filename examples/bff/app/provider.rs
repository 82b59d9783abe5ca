//! The provider, by its discovery document. It may be down when this application starts.

use std::{error::Error, iter, time::Duration};

use tokio::time::timeout;
use tower_token_refresh::{ClientAuth, Discover, DiscoveryError, TokenEndpoint};

use super::settings::Settings;

/// How long the start waits for the provider: an orchestrator restarts what does not serve in time.
const AT_START: Duration = Duration::from_secs(10);

/// Discovers the provider. If it cannot be reached, that is logged, and the first login tries
/// again. A document that is wrong is an error: waiting would not mend it.
pub(super) async fn endpoint(settings: &Settings) -> Result<TokenEndpoint, String> {
    let endpoint = described(settings);
    match timeout(AT_START, endpoint.clone().into_future()).await {
        Ok(Ok(endpoint)) => return Ok(endpoint),
        Ok(Err(error @ (DiscoveryError::Fetch { .. } | DiscoveryError::Interrupted))) => {
            tracing::warn!(?error, "the provider cannot be reached; the next login will try again");
        }
        Ok(Err(error)) => return Err(unusable(settings, &error)),
        Err(_elapsed) => {
            tracing::warn!(after = ?AT_START, "the provider does not answer; the next login will try again");
        }
    }
    Ok(endpoint.lazy())
}

/// The same, where a provider that cannot be reached is an error, too.
pub(super) async fn discovered(settings: &Settings) -> Result<TokenEndpoint, String> {
    described(settings).await.map_err(|error| unusable(settings, &error))
}

/// The same, not asked for anything yet.
pub(super) fn undiscovered(settings: &Settings) -> TokenEndpoint {
    described(settings).lazy()
}

fn described(settings: &Settings) -> Discover {
    let auth = match &settings.client_secret {
        Some(secret) => ClientAuth::basic(&settings.client_id, secret.as_str()),
        None => ClientAuth::none(&settings.client_id),
    };
    let mut endpoint = TokenEndpoint::discover(&settings.issuer, auth);
    if let Some(host) = &settings.http_to {
        tracing::warn!(
            host,
            "the provider is reached by plain http: whoever is on the way can read all tokens"
        );
        endpoint = endpoint.allow_http_to(host);
    }
    for issuer in &settings.accept_issuers {
        endpoint = endpoint.accept_issuer(issuer);
    }
    for (name, value) in &settings.refresh_params {
        endpoint = endpoint.refresh_param(name, value);
    }
    endpoint = endpoint.limits(settings.refresh.limits());
    if let Some(limit) = settings.refresh.request_timeout {
        endpoint = endpoint.request_timeout(limit);
    }
    endpoint
}

/// One line: what is wrong, why, and what to change.
fn unusable(settings: &Settings, error: &DiscoveryError) -> String {
    let change = match error {
        DiscoveryError::IssuerMismatch { .. } => {
            "; set ISSUER_URL to that one, or name it in ACCEPT_ISSUERS"
        }
        _ => "",
    };
    format!("ISSUER_URL {:?}: {}{change}", settings.issuer, with_causes(error))
}

/// An error and what led to it, in one line.
pub(super) fn with_causes(error: &dyn Error) -> String {
    let causes = iter::successors(Some(error), |&cause| cause.source());
    let mut said: Vec<String> = Vec::new();
    for cause in causes.map(ToString::to_string) {
        // Some repeat what the next one says.
        if said.last() != Some(&cause) {
            said.push(cause);
        }
    }
    said.join(": ").replace('\n', " ")
}
