use http::{Request, Response};
use http_body_util::Full;
use serde_json::{Value, json};

use super::*;
use crate::{
    ClientAuth, ProviderLimits, TokenEndpoint, Transport,
    endpoint::{
        EndpointError, EndpointErrorKind as Kind,
        test_support::{SECRET, Script, answer, everything_printed, tokens},
    },
};

pub(super) const ISSUER: &str = "https://id.example/realms/a";
pub(super) const URL: &str = "https://id.example/realms/a/.well-known/openid-configuration";

pub(super) fn document() -> Value {
    json!({
        "issuer": ISSUER, "token_endpoint": "https://id.example/t", "revocation_endpoint": "https://id.example/r",
        "end_session_endpoint": "https://id.example/e", "jwks_uri": "https://id.example/k", "unknown": [1]
    })
}

fn auth() -> ClientAuth {
    ClientAuth::none("app")
}

fn serving(script: &Script, document: Value) -> Transport {
    script.answering(move |request, _| serve(request, &document))
}

fn serve(request: &Request<bytes::Bytes>, document: &Value) -> Response<Full<bytes::Bytes>> {
    match request.uri().path() {
        path if path.ends_with("/.well-known/openid-configuration") => {
            answer(200, document.to_string())
        }
        "/t" => answer(200, tokens().to_string()),
        _ => answer(404, ""),
    }
}

async fn discover(document: Value) -> Result<TokenEndpoint, DiscoveryError> {
    TokenEndpoint::discover(ISSUER, auth()).transport(serving(&Script::default(), document)).await
}

#[tokio::test]
async fn discovery_finds_the_endpoints() {
    let script = Script::default();
    let endpoint = TokenEndpoint::discover(ISSUER, auth())
        .transport(serving(&script, document()))
        .await
        .unwrap();

    let provider = endpoint.clone().validate().unwrap();
    provider.refresh_always(&"rt".into()).await.unwrap();
    assert_eq!(end_session(&endpoint).await, "https://id.example/e");
    assert_eq!(jwks(&endpoint).await, "https://id.example/k");

    let paths: Vec<_> =
        script.sent().iter().map(|request| request.uri().path().to_owned()).collect();
    assert_eq!(
        paths,
        ["/realms/a/.well-known/openid-configuration", "/t"],
        "one discovery is enough"
    );
    assert_eq!(script.sent()[0].method(), "GET");
}

#[tokio::test]
async fn what_is_given_wins_over_what_is_found() {
    let endpoint = discover(document()).await.unwrap().end_session_url("https://id.example/mine");
    assert_eq!(end_session(&endpoint).await, "https://id.example/mine");
    assert_eq!(jwks(&endpoint).await, "https://id.example/k");
    let endpoint = discover(document()).await.unwrap().jwks_url("https://id.example/mine");
    assert_eq!(jwks(&endpoint).await, "https://id.example/mine");
    assert_eq!(end_session(&endpoint).await, "https://id.example/e");
}

#[tokio::test]
async fn clones_of_a_lazy_endpoint_discover_for_themselves() {
    let script = Script::default();
    let endpoint =
        TokenEndpoint::discover(ISSUER, auth()).transport(serving(&script, document())).lazy();
    for sent in 1..=2 {
        jwks(&endpoint.clone()).await;
        assert_eq!(script.sent().len(), sent);
    }
}

/// What a new provider of these settings finds.
async fn end_session(endpoint: &TokenEndpoint) -> String {
    endpoint.validate().unwrap().end_session_url().await.unwrap().unwrap().to_string()
}

async fn jwks(endpoint: &TokenEndpoint) -> String {
    endpoint.validate().unwrap().jwks_url().await.unwrap().unwrap().to_string()
}

#[tokio::test]
async fn another_issuer_is_refused_and_both_are_named() {
    let mut other = document();
    other["issuer"] = json!(format!("{ISSUER}/"));
    let error = discover(other).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the discovery document of \"https://id.example/realms/a\" names the issuer \
         \"https://id.example/realms/a/\": give it that name, to the letter"
    );
    assert_eq!(EndpointError::from(error).kind(), &Kind::Misconfigured);
}

/// As Microsoft Entra, Azure AD B2C and Google write it.
#[tokio::test]
async fn an_issuer_that_was_accepted_may_name_the_document() {
    const ENTRA: &str = "https://login.microsoftonline.com/{tenantid}/v2.0";
    for (named, accepted, found) in [
        (ENTRA, Some(ENTRA), true),
        (ENTRA, None, false),
        ("https://login.microsoftonline.com/1111/v2.0", Some(ENTRA), false),
        ("https://x.b2clogin.com/1111/v2.0/", Some("https://x.b2clogin.com/1111/v2.0/"), true),
        ("accounts.google.com", Some("accounts.google.com"), true),
        ("https://accounts.google.com/", Some("accounts.google.com"), false),
        (ISSUER, Some("accounts.google.com"), true),
    ] {
        let mut document = document();
        document["issuer"] = json!(named);
        let mut discover = TokenEndpoint::discover(ISSUER, auth())
            .transport(serving(&Script::default(), document));
        if let Some(accepted) = accepted {
            discover = discover.accept_issuer(accepted);
        }
        assert_eq!(discover.await.is_ok(), found, "{named} {accepted:?}");
    }
}

/// The error reaches the operator every time: the breaker is for a provider that is down.
#[tokio::test]
async fn a_document_that_cannot_be_used_is_told_however_often_it_is_met() {
    let script = Script::default();
    let mut other = document();
    other["issuer"] = json!("https://id.example/other");
    let endpoint =
        TokenEndpoint::discover(ISSUER, auth()).transport(serving(&script, other)).lazy();
    let provider = endpoint.validate().unwrap();
    for _ in 0..10 {
        assert_eq!(
            provider.refresh_always(&"rt".into()).await.unwrap_err().kind(),
            &Kind::Misconfigured
        );
    }
    assert_eq!(script.sent().len(), 10);
}

#[tokio::test]
async fn every_url_of_the_document_is_held_to_the_scheme_rule() {
    for field in ["token_endpoint", "revocation_endpoint", "end_session_endpoint", "jwks_uri"] {
        let mut downgraded = document();
        downgraded[field] = json!("http://id.example/x");
        let error = discover(downgraded.clone()).await.unwrap_err();
        assert!(matches!(&error, DiscoveryError::UnusableUrl(_)), "{field}");
        assert!(everything_printed(&error).contains(field));

        let transport = serving(&Script::default(), downgraded);
        TokenEndpoint::discover(ISSUER, auth())
            .transport(transport)
            .allow_http_to("id.example")
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn a_document_that_cannot_be_reached_is_named_without_a_status() {
    let transport = Transport::new(tower::service_fn(async |_: Request<bytes::Bytes>| {
        Err::<Response<Full<bytes::Bytes>>, _>("refused")
    }));
    let error = TokenEndpoint::discover(ISSUER, auth()).transport(transport).await.unwrap_err();
    assert_eq!(error.to_string(), format!("could not fetch the discovery document {URL}"));
}

#[tokio::test]
async fn what_is_no_document_is_refused() {
    for status in [204, 302, 404, 429, 500] {
        let script = Script::default();
        let transport = script.answering(move |_, _| answer(status, ""));
        let error = TokenEndpoint::discover(ISSUER, auth()).transport(transport).await.unwrap_err();
        assert!(matches!(error, DiscoveryError::Fetch { .. }), "{status}");
        let message = format!("could not fetch the discovery document {URL}: status {status}");
        assert_eq!(error.to_string(), message);
    }
    for document in [json!([]), json!({"issuer": ISSUER}), json!({"token_endpoint": SECRET})] {
        let error = discover(document).await.unwrap_err();
        assert!(matches!(error, DiscoveryError::NotADocument { .. }));
    }
}

/// The server of the document has not seen the refresh token, whatever its answer says about one.
#[tokio::test]
async fn a_refused_document_says_nothing_of_the_refresh_token() {
    let not_200 = Kind::InvalidResponse { rule: "has a status other than 200" };
    let busy = Kind::Unavailable { retry_after: None };
    let later = Kind::TryLater { retry_after: None };
    for (status, kind) in [(400, &not_200), (404, &not_200), (429, &later), (503, &busy)] {
        let script = Script::default();
        let transport =
            script.answering(move |_, _| answer(status, r#"{"error":"invalid_grant"}"#));
        let endpoint = TokenEndpoint::discover(ISSUER, auth())
            .limits(ProviderLimits::default().attempts(1))
            .transport(transport)
            .lazy();
        let error = endpoint.validate().unwrap().refresh_always(&"rt".into()).await.unwrap_err();
        assert_eq!((error.kind(), error.may_have_consumed()), (kind, false), "{status}");
    }
}

#[tokio::test]
async fn a_lazy_endpoint_tries_again_after_a_failure() {
    let script = Script::default();
    let transport = script.answering(|request, turn| match turn {
        0 => answer(500, ""),
        _ => serve(request, &document()),
    });
    let provider = TokenEndpoint::discover(ISSUER, auth())
        .limits(ProviderLimits::default().attempts(1))
        .transport(transport)
        .lazy()
        .validate()
        .unwrap();
    assert!(script.sent().is_empty(), "nothing is sent before the first use");

    let error = provider.refresh_always(&"rt".into()).await.unwrap_err();
    assert!(matches!(error.kind(), Kind::Unavailable { .. }));
    assert!(!error.may_have_consumed(), "the refresh token was not sent");
    provider.refresh_always(&"rt".into()).await.unwrap();
    assert_eq!(script.sent().len(), 3);
}

#[tokio::test]
async fn concurrent_users_share_one_discovery_and_its_failure() {
    let script = Script::default();
    let transport = script.answering(|request, turn| match turn {
        0 => answer(500, ""),
        _ => serve(request, &document()),
    });
    let endpoint = TokenEndpoint::discover(ISSUER, auth()).transport(transport).lazy();
    let provider = endpoint.validate().unwrap();

    let clone = provider.clone();
    let (a, b, c) = tokio::join!(provider.jwks_url(), provider.jwks_url(), clone.jwks_url());
    assert!(a.is_err() && b.is_err() && c.is_err());
    assert_eq!(script.sent().len(), 1);
    let (a, b) = tokio::join!(provider.jwks_url(), provider.jwks_url());
    assert!(a.is_ok() && b.is_ok());
    assert_eq!(script.sent().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_goes_away_does_not_stop_the_discovery() {
    let (asked, script) = (Arc::new(tokio::sync::Notify::new()), Script::default());
    let inner = serving(&script, document());
    let slow = Transport::new(tower::service_fn({
        let asked = Arc::clone(&asked);
        move |request| {
            let (asked, inner) = (Arc::clone(&asked), inner.clone());
            async move {
                asked.notify_one();
                tokio::time::sleep(std::time::Duration::from_secs(1)).await;
                inner.send(request).await
            }
        }
    }));
    let endpoint = TokenEndpoint::discover(ISSUER, auth()).transport(slow).lazy();
    let provider = endpoint.validate().unwrap();

    let first = tokio::spawn({
        let provider = provider.clone();
        async move { provider.jwks_url().await }
    });
    asked.notified().await;
    first.abort();

    assert!(provider.jwks_url().await.is_ok());
    assert_eq!(script.sent().len(), 1);
}

#[tokio::test]
async fn a_transport_that_panics_is_an_error_and_the_next_use_tries_again() {
    let script = Script::default();
    let transport = serving(&script, document());
    let panics = Arc::new(std::sync::atomic::AtomicBool::new(true));
    let broken = Transport::new(tower::service_fn(move |request| {
        let (transport, panics) = (transport.clone(), Arc::clone(&panics));
        async move {
            assert!(
                !panics.swap(false, std::sync::atomic::Ordering::SeqCst),
                "the transport's own bug"
            );
            transport.send(request).await
        }
    }));
    let endpoint = TokenEndpoint::discover(ISSUER, auth()).transport(broken).lazy();
    let provider = endpoint.validate().unwrap();

    let error = provider.jwks_url().await.unwrap_err();
    assert!(matches!(error, DiscoveryError::Interrupted));
    assert_eq!(EndpointError::from(error).kind(), &Kind::Unreachable);
    assert!(provider.jwks_url().await.is_ok());
}
