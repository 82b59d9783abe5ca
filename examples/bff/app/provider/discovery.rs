//! What the provider's discovery document says (OpenID Connect Discovery 1.0, 4), and its keys.

use openidconnect::{
    AsyncHttpClient, ClientId, EndpointMaybeSet, EndpointNotSet, EndpointSet, HttpRequest,
    JsonWebKeySet, RedirectUrl,
    core::{CoreClient, CoreJsonWebKeySet, CoreProviderMetadata},
};
use serde_json::{Map, Value};

use super::{http::Http, issuers::Issuers};

pub(super) struct Found {
    pub(super) client: OidcClient,
    pub(super) token_url: Option<String>,
    pub(super) keys: CoreJsonWebKeySet,
}

/// It makes the URL that a login begins with.
type OidcClient = CoreClient<
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointMaybeSet,
    EndpointMaybeSet,
>;

/// An error says why in words that may be logged.
pub(super) async fn discover(
    http: &Http,
    issuers: &Issuers,
    client_id: &ClientId,
    redirect: &RedirectUrl,
) -> Result<Found, &'static str> {
    const NO_DOCUMENT: &str = "what it serves is not a discovery document";
    let mut document: Map<String, Value> =
        serde_json::from_slice(&fetch(http, issuers.own()).await?).map_err(|_| NO_DOCUMENT)?;
    let named = document.get("issuer").and_then(Value::as_str).ok_or(NO_DOCUMENT)?;
    if !issuers.may_name_document(named) {
        return Err("its document names another issuer than ISSUER_URL; a trailing slash counts. \
            ACCEPT_ISSUERS accepts another one");
    }
    // `openidconnect` takes a URL only, and providers name other things.
    document.insert("issuer".to_owned(), issuers.own().into());
    let metadata: CoreProviderMetadata =
        serde_json::from_value(document.into()).map_err(|_| NO_DOCUMENT)?;
    let keys = JsonWebKeySet::fetch_async(metadata.jwks_uri(), http)
        .await
        .map_err(|_| "its keys cannot be fetched")?;
    let token_url = metadata.token_endpoint().map(|url| url.to_string());
    let client = CoreClient::from_provider_metadata(metadata, client_id.clone(), None)
        .set_redirect_uri(redirect.clone());
    Ok(Found { client, token_url, keys })
}

async fn fetch(http: &Http, issuer: &str) -> Result<Vec<u8>, &'static str> {
    let url = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
    let request: HttpRequest = axum::http::Request::get(url)
        .header("accept", "application/json")
        .body(Vec::new())
        .map_err(|_| "ISSUER_URL cannot be used")?;
    let answer = http.call(request).await.map_err(|_| "no answer")?;
    if answer.status() != 200 {
        return Err("it answered with an error");
    }
    Ok(answer.into_body())
}
