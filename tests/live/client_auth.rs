//! At Keycloak: clients that prove who they are by a key, by a signature of their secret, or by a
//! certificate.

use std::{fs, path::Path, sync::Arc};

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::{
    Engine,
    prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD},
};
use serde_json::{Value, json};
use support::providers::{Browser, Provider, service};
use tower_sessions::{MemoryStore, Session};
use tower_token_refresh::{
    AssertionAudience, ClientAuth, Logout, RefreshErrorKind, ServiceTokens, SigningAlgorithm,
    SigningKey, TokenEndpoint, TokenRefresher, TokenSet, tower_sessions,
};
use uuid::Uuid;

const SECRET: &str = "a-secret-of-thirty-two-characters";

/// A user who logged in with a client that then changed its way of authentication.
struct Login {
    provider: Provider,
    tokens: Value,
}

impl Login {
    /// At a client of its own, which is changed by `change` after the login.
    async fn new(change: impl FnOnce(&mut Value)) -> Self {
        let id: &'static str = format!("auth-{}", Uuid::new_v4().simple()).leak();
        let keycloak = Provider::keycloak().await;
        let client = json!({
            "clientId": id,
            "enabled": true,
            "secret": SECRET,
            "clientAuthenticatorType": "client-secret",
            "standardFlowEnabled": true,
            "serviceAccountsEnabled": true,
            "redirectUris": ["*"],
        });
        keycloak.admin().create_client(&client).await;
        let provider = keycloak.with_client(id, Some(SECRET));
        let user = provider.new_user().await;
        let tokens = Browser::new().log_in(&provider, &user).await;
        provider.admin().change_client(id, change).await;
        Self { provider, tokens }
    }

    /// See [`refreshes_and_ends`].
    async fn refreshes_and_ends(&self, auth: ClientAuth) -> Result<String, RefreshErrorKind> {
        let endpoint = TokenEndpoint::discover(&self.provider.issuer_url, auth);
        refreshes_and_ends(endpoint.await.expect("found"), &self.tokens).await
    }
}

/// A token of the client's own, two refreshes and a logout, which revokes. Gives the newest access
/// token.
async fn refreshes_and_ends(
    endpoint: TokenEndpoint,
    tokens: &Value,
) -> Result<String, RefreshErrorKind> {
    let own = ServiceTokens::builder(endpoint.clone()).build().expect("the settings agree");
    own.token().await.inspect_err(|error| eprintln!("{error}")).map_err(|error| error.kind())?;
    let refresher = TokenRefresher::builder(endpoint, MemoryStore::default())
        .build()
        .expect("the settings agree");
    let session = Session::new(None, Arc::new(refresher.session_store()), None);
    let set = TokenSet::from_response(tokens).expect("a token set");
    refresher.log_in(&session, set).await.expect("logged in");
    let mut token = refresher.valid_token(&session).await.expect("a token");
    for _ in 0..2 {
        token = refresher
            .newer_token(&session, &token)
            .await
            .inspect_err(|error| eprintln!("{error}"))
            .map_err(|error| error.kind())?;
    }
    refresher.log_out(&session, Logout::EndSession).await.expect("logged out");
    refresher.shutdown(std::time::Duration::from_secs(30)).await.expect("all is revoked");
    Ok(token.secret().to_owned())
}

/// A key for ES256, and the key set that Keycloak is told.
fn key() -> (SigningKey, String) {
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key");
    let der = BASE64_STANDARD.encode(pair.to_pkcs8v1().expect("a document"));
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{der}\n-----END PRIVATE KEY-----\n");
    let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
    let encode = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
    let keys = json!({ "keys": [{
        "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": "k1",
        "x": encode(x), "y": encode(y),
    }] });
    let key = SigningKey::from_pem(pem, SigningAlgorithm::Es256).expect("it fits").key_id("k1");
    (key, keys.to_string())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Keycloak: see tests/services/run"]
async fn a_client_with_a_key_refreshes_and_revokes_for_every_audience() {
    for audience in [AssertionAudience::TokenEndpoint, AssertionAudience::Issuer] {
        let (key, keys) = key();
        let login = Login::new(|client| {
            client["clientAuthenticatorType"] = json!("client-jwt");
            client["attributes"]["use.jwks.string"] = json!("true");
            client["attributes"]["jwks.string"] = json!(keys);
        })
        .await;
        let auth = ClientAuth::private_key_jwt(login.provider.client_id(), key)
            .assertion_audience(audience.clone());
        let token = login.refreshes_and_ends(auth).await.expect("refreshed");
        assert!(!login.provider.is_live(&token).await, "revoked, for {audience:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Keycloak: see tests/services/run"]
async fn a_client_whose_secret_signs_refreshes_and_revokes() {
    let login = Login::new(|client| {
        client["clientAuthenticatorType"] = json!("client-secret-jwt");
    })
    .await;
    let auth = ClientAuth::client_secret_jwt(login.provider.client_id(), SECRET);
    let token = login.refreshes_and_ends(auth).await.expect("refreshed");
    assert!(!login.provider.is_live(&token).await, "revoked");
}

/// Over TLS by the default transport, with the certificate that `tests/services/run` has made.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs Keycloak: see tests/services/run"]
async fn a_client_with_a_certificate_refreshes_and_revokes() {
    let (issuer, folder) = (service("TEST_KEYCLOAK_TLS_URL"), service("TEST_KEYCLOAK_TLS"));
    let read = |name: &str| fs::read(Path::new(&folder).join(name)).expect("a file");
    let pem = [read("client.pem"), read("client.key")].concat();

    // The browser's part: the password, by the same certificate.
    let http = reqwest::Client::builder()
        .identity(reqwest::Identity::from_pem(&pem).expect("an identity"))
        .build()
        .expect("a client");
    let form = [
        ("grant_type", "password"),
        ("client_id", "web-mtls"),
        ("username", "alice"),
        ("password", "alice"),
        ("scope", "openid"),
    ];
    let url = format!("{issuer}/protocol/openid-connect/token");
    let answer = http.post(url).form(&form).send().await.expect("an answer");
    let tokens: Value = answer.json().await.expect("JSON");

    let endpoint = TokenEndpoint::discover(&issuer, ClientAuth::mutual_tls("web-mtls"))
        .client_certificate(pem);
    let token = refreshes_and_ends(endpoint.await.expect("found"), &tokens).await;
    let token = token.expect("refreshed");
    let userinfo = format!("{issuer}/protocol/openid-connect/userinfo");
    let answer = http.get(userinfo).bearer_auth(token).send().await.expect("an answer");
    assert_eq!(answer.status().as_u16(), 401, "revoked");
}
