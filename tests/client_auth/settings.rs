//! What is wrong is found when the refresher is built; and where a client with a certificate goes.

use std::{
    io,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use serde_json::json;
use support::World;
use tower_token_refresh::{
    AssertionAudience, ClientAuth, SecretSource, SigningAlgorithm, SigningKeySource, TokenEndpoint,
    TokenRefresher, Transport,
};

use crate::{keys::Pair, refreshed};

const URL: &str = "https://id.example/token";

fn refusal(endpoint: TokenEndpoint) -> String {
    let store = tower_token_refresh::tower_sessions::MemoryStore::default();
    TokenRefresher::builder(endpoint, store).build().unwrap_err().to_string()
}

#[tokio::test]
async fn what_cannot_work_is_found_when_the_refresher_is_built() {
    let pem = Pair::ed25519().pem;
    let elsewhere = Transport::new(tower::service_fn(async |_: Request<Bytes>| {
        Ok::<_, io::Error>(Response::new(Full::<Bytes>::default()))
    }));
    let issuer_audience =
        ClientAuth::client_secret_jwt("app", "s").assertion_audience(AssertionAudience::Issuer);
    let key = SigningKeySource::file("/nowhere/key.pem", SigningAlgorithm::EdDsa);
    let with = |auth| TokenEndpoint::new(URL, auth);
    let certified = |pem: &str| with(ClientAuth::mutual_tls("app")).client_certificate(pem);
    for (endpoint, expected) in [
        (
            with(ClientAuth::basic("app", SecretSource::file("/nowhere/secret"))),
            r#"the client secret in "/nowhere/secret" cannot be used: entity not found"#,
        ),
        (
            with(ClientAuth::federated("app", SecretSource::file("/nowhere/token"))),
            r#"the federated token in "/nowhere/token" cannot be used: entity not found"#,
        ),
        (
            with(ClientAuth::private_key_jwt("app", key)),
            r#"the signing key in "/nowhere/key.pem" cannot be used: entity not found"#,
        ),
        (with(ClientAuth::federated("app", "")), "the federated token is empty: must not be empty"),
        (with(issuer_audience), "assertion_audience is the issuer: needs `issuer` or discovery"),
        (
            with(ClientAuth::mutual_tls("app")),
            "the client certificate cannot be used: mutual TLS needs `client_certificate`, or a \
             transport of your own that has one",
        ),
        (
            certified(&pem).transport(elsewhere),
            "the client certificate cannot be used: a transport of your own brings its own \
             certificate",
        ),
        (certified(""), "the client certificate cannot be used: there is no certificate in PEM"),
        (certified(&pem), "the client certificate cannot be used: there is no certificate in PEM"),
        (
            certified("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
            "the client certificate cannot be used: there is no private key in PEM",
        ),
        (
            with(ClientAuth::none("app")).refresh_param("client_assertion", "x"),
            "the name of a refresh_param is \"client_assertion\": must be named, and not a \
             parameter that this crate sets itself",
        ),
    ] {
        assert_eq!(refusal(endpoint), expected);
    }
}

/// A provider with other addresses for clients that have a certificate. Gives the paths that were
/// asked.
async fn paths(auth: ClientAuth) -> Vec<String> {
    let world = World::on_memory();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let (issuer, seen) = (world.issuer.clone(), Arc::clone(&asked));
    let transport = Transport::new(tower::service_fn(move |mut request: Request<Bytes>| {
        let uri = request.uri().to_string();
        seen.lock().unwrap().push(uri.clone());
        let document = json!({
            "issuer": issuer.issuer_url(),
            "token_endpoint": issuer.token_url(),
            "revocation_endpoint": issuer.revocation_url(),
            "mtls_endpoint_aliases": {
                "token_endpoint": issuer.token_url().replace("id.example", "mtls.example"),
                // No certificate is shown there.
                "revocation_endpoint": "http://mtls.example/revoke",
            },
        });
        let answer = if uri.ends_with("openid-configuration") {
            Response::new(Bytes::from(document.to_string()))
        } else {
            crate::with_the_right_secret(&mut request);
            issuer.handle(request)
        };
        async move { Ok::<_, io::Error>(answer.map(Full::new)) }
    }));
    let endpoint = TokenEndpoint::discover(world.issuer.issuer_url(), auth).transport(transport);
    let world = world.asking(endpoint.await.expect("found"));
    let id = world.log_in("alice").await;
    refreshed(&world, id).await.expect("refreshed");
    asked.lock().unwrap().clone()
}

#[tokio::test]
async fn a_client_with_a_certificate_goes_to_the_aliases_for_it() {
    let asked = paths(ClientAuth::mutual_tls("web")).await;
    assert!(asked[1].starts_with("https://mtls.example.test/"), "{asked:?}");
}

#[tokio::test]
async fn a_client_without_one_does_not() {
    let asked = paths(ClientAuth::basic("web", "secret")).await;
    assert!(asked[1].starts_with("https://id.example.test/"), "{asked:?}");
}
