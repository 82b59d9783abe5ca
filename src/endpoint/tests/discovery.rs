use http::{Request, Response};
use http_body_util::Full;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::{
    ClientAuth, ProviderLimits, TokenEndpoint, Transport,
    endpoint::tests::{SECRET, Script, all_it_tells, answer, foreign_input::json_value, tokens},
};

const FIELDS: [&str; 6] = [
    "issuer",
    "token_endpoint",
    "revocation_endpoint",
    "end_session_endpoint",
    "jwks_uri",
    "other",
];
const ISSUER: &str = "https://id.example/realms/a";

fn document() -> Value {
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

    endpoint.validate().unwrap().refresh(&"rt".into()).await.unwrap();
    assert_eq!(
        endpoint.end_session_endpoint().await.unwrap().as_deref(),
        Some("https://id.example/e")
    );
    assert_eq!(endpoint.jwks_uri().await.unwrap().as_deref(), Some("https://id.example/k"));

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
    assert_eq!(
        endpoint.end_session_endpoint().await.unwrap().as_deref(),
        Some("https://id.example/mine")
    );
    assert_eq!(endpoint.jwks_uri().await.unwrap().as_deref(), Some("https://id.example/k"));
    let endpoint = discover(document()).await.unwrap().jwks_url("https://id.example/mine");
    assert_eq!(endpoint.jwks_uri().await.unwrap().as_deref(), Some("https://id.example/mine"));
    assert_eq!(
        endpoint.end_session_endpoint().await.unwrap().as_deref(),
        Some("https://id.example/e")
    );
}

#[test]
fn a_trailing_slash_of_the_issuer_goes_before_the_well_known_path() {
    let url = |issuer| document_url(issuer, &SchemeRule::default()).map(|url| url.to_string());
    for issuer in ["https://id.example", "https://id.example/"] {
        assert_eq!(url(issuer).unwrap(), "https://id.example/.well-known/openid-configuration");
    }
    assert_eq!(
        url("https://id.example/a/").unwrap(),
        "https://id.example/a/.well-known/openid-configuration"
    );
    assert!(url("https://id.example/?q").is_err() && url("https://id.example/#f").is_err());
    assert!(matches!(url("http://id.example/"), Err(ConfigError::PlainHttp { .. })));
}

#[tokio::test]
async fn another_issuer_is_refused_and_both_are_named() {
    let mut other = document();
    other["issuer"] = json!(format!("{ISSUER}/"));
    let error = discover(other).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the discovery document of \"https://id.example/realms/a\" names the issuer \
         \"https://id.example/realms/a/\"; a trailing slash counts"
    );
    assert_eq!(EndpointError::from(error).kind(), &Kind::Misconfigured);
}

/// Who has to mend it is told so each time: the breaker is for a provider that is down.
#[tokio::test]
async fn a_document_that_cannot_be_used_is_told_however_often_it_is_met() {
    let script = Script::default();
    let mut other = document();
    other["issuer"] = json!("https://id.example/other");
    let endpoint =
        TokenEndpoint::discover(ISSUER, auth()).transport(serving(&script, other)).lazy();
    let provider = endpoint.validate().unwrap();
    for _ in 0..10 {
        assert_eq!(provider.refresh(&"rt".into()).await.unwrap_err().kind(), &Kind::Misconfigured);
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
        assert!(all_it_tells(&error).contains(field));

        let transport = serving(&Script::default(), downgraded);
        TokenEndpoint::discover(ISSUER, auth())
            .transport(transport)
            .allow_http_to("id.example")
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn what_is_no_document_is_refused() {
    for status in [204, 302, 404, 429, 500] {
        let script = Script::default();
        let transport = script.answering(move |_, _| answer(status, ""));
        let error = TokenEndpoint::discover(ISSUER, auth()).transport(transport).await.unwrap_err();
        assert!(matches!(error, DiscoveryError::Fetch { .. }), "{status}");
    }
    for document in [json!([]), json!({"issuer": ISSUER}), json!({"token_endpoint": SECRET})] {
        let error = discover(document).await.unwrap_err();
        assert!(matches!(error, DiscoveryError::NotADocument { .. }));
    }
}

/// Whoever answers there has not seen the refresh token, whatever the answer says of one.
#[tokio::test]
async fn a_refused_document_says_nothing_of_the_refresh_token() {
    let not_200 = Kind::InvalidResponse { rule: "has a status other than 200" };
    let busy = Kind::Unavailable { retry_after: None };
    for (status, kind) in [(400, &not_200), (404, &not_200), (429, &busy), (503, &busy)] {
        let script = Script::default();
        let transport =
            script.answering(move |_, _| answer(status, r#"{"error":"invalid_grant"}"#));
        let endpoint = TokenEndpoint::discover(ISSUER, auth())
            .limits(ProviderLimits::default().attempts(1))
            .transport(transport)
            .lazy();
        let error = endpoint.validate().unwrap().refresh(&"rt".into()).await.unwrap_err();
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

    let error = provider.refresh(&"rt".into()).await.unwrap_err();
    assert!(matches!(error.kind(), Kind::Unavailable { .. }));
    assert!(!error.may_have_consumed(), "the refresh token was not sent");
    provider.refresh(&"rt".into()).await.unwrap();
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

    let clone = endpoint.clone();
    let (a, b, c) = tokio::join!(endpoint.jwks_uri(), endpoint.jwks_uri(), clone.jwks_uri());
    assert!(a.is_err() && b.is_err() && c.is_err());
    assert_eq!(script.sent().len(), 1);
    let (a, b) = tokio::join!(endpoint.jwks_uri(), endpoint.jwks_uri());
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

    let first = tokio::spawn({
        let endpoint = endpoint.clone();
        async move { endpoint.jwks_uri().await }
    });
    asked.notified().await;
    first.abort();

    assert!(endpoint.jwks_uri().await.is_ok());
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

    let error = endpoint.jwks_uri().await.unwrap_err();
    assert!(matches!(error, DiscoveryError::BrokenOff));
    assert_eq!(EndpointError::from(error).kind(), &Kind::Unreachable);
    assert!(endpoint.jwks_uri().await.is_ok());
}

proptest! {
    #[test]
    fn any_document_is_metadata_or_an_error_without_a_secret(
        field in prop::sample::select(vec!["issuer", "token_endpoint", "jwks_uri"]),
        shape in 0..4_u8,
        text in ".*",
    ) {
        let mut odd = document();
        odd[field] = match shape {
            0 => json!({SECRET: text}),
            1 => json!(format!("https://user:{SECRET}@id.example/")),
            2 => json!(format!("https://id.example/?{text}{SECRET}")),
            _ => json!(text),
        };
        if let Err(error) = read(ISSUER, odd.to_string().as_bytes(), &SchemeRule::default()) {
            prop_assert!(!all_it_tells(&error).contains(SECRET));
        }
        let _ = read(ISSUER, text.as_bytes(), &SchemeRule::default());
    }

    /// Names and URLs are told, for whoever has to mend them (but for their secrets, see above); nothing else is.
    #[test]
    fn a_document_of_any_json_is_metadata_or_an_error_without_its_words(
        odd in prop::collection::vec((prop::sample::select(FIELDS.to_vec()), json_value()), 0..3),
        whole in json_value(),
    ) {
        let mut document = document();
        for (field, value) in odd.into_iter().filter(|(_, value)| !value.is_string()) {
            document[field] = value;
        }
        for document in [document, whole] {
            if let Err(error) = read(ISSUER, document.to_string().as_bytes(), &SchemeRule::default()) {
                prop_assert!(!all_it_tells(&error).contains(SECRET), "{:?}", error);
            }
        }
    }

    #[test]
    fn a_name_or_url_without_end_is_told_in_part(field in prop::sample::select(FIELDS[..5].to_vec()), text in ".{1,9}") {
        let mut document = document();
        document[field] = json!(text.repeat(5000));
        let error = read(ISSUER, document.to_string().as_bytes(), &SchemeRule::default()).err();
        prop_assert!(error.is_some_and(|error| all_it_tells(&error).len() < 20_000));
    }

    #[test]
    fn a_document_of_any_bytes_is_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let error = read(ISSUER, &bytes, &SchemeRule::default()).err();
        let is_no_document = matches!(error, Some(DiscoveryError::NotADocument { .. }));
        prop_assert!(is_no_document);
    }
}
