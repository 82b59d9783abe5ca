use super::*;
use crate::{
    ConfigError,
    endpoint::test_support::{SECRET, Script, answer, endpoint},
};

#[test]
fn settings_are_checked_when_validated() {
    let validate = |endpoint: TokenEndpoint| {
        endpoint.transport(Script::default().answering(|_, _| answer(200, ""))).validate()
    };
    let secs = Duration::from_secs;
    let new = |url: &str| TokenEndpoint::new(url, ClientAuth::none("app"));

    assert!(matches!(validate(new("http://id.example/")), Err(ConfigError::PlainHttp { .. })));
    assert!(validate(new("http://id.example/").allow_http_to("id.example")).is_ok());
    assert!(matches!(validate(new("/token")), Err(ConfigError::Url { what: "the token URL", .. })));
    let good = || new("https://id.example/token");
    assert!(matches!(
        validate(good().revocation_url("x")),
        Err(ConfigError::Url { what: "the revocation URL", .. })
    ));
    assert!(matches!(
        validate(good().end_session_url("x")),
        Err(ConfigError::Url { what: "the end session URL", .. })
    ));
    assert!(matches!(validate(good().issuer("")), Err(ConfigError::Range { .. })));
    assert!(matches!(validate(good().request_timeout(secs(0))), Err(ConfigError::Range { .. })));
    assert!(matches!(validate(good().connect_timeout(secs(0))), Err(ConfigError::Range { .. })));
    assert!(matches!(validate(good().connect_timeout(secs(16))), Err(ConfigError::Clash { .. })));
    assert!(validate(good().request_timeout(secs(1))).is_ok());
    let a_day = 24 * 60 * 60;
    assert!(validate(good().request_timeout(secs(a_day))).is_ok());
    for too_long in [secs(a_day + 1), Duration::MAX] {
        let error = validate(good().request_timeout(too_long)).expect_err("refused").to_string();
        assert_eq!(error, format!("request_timeout is {too_long:?}: must be at most 1 day"));
    }
    assert!(
        validate(TokenEndpoint::discover("https://id.example?x=1", ClientAuth::none("app")).lazy())
            .is_err()
    );
}

#[test]
fn the_issuer_of_the_flight_key_is_the_best_known() {
    let id = |endpoint: TokenEndpoint| {
        endpoint
            .transport(Script::default().answering(|_, _| answer(200, "")))
            .validate()
            .unwrap()
            .issuer_id()
            .to_owned()
    };
    let new = || TokenEndpoint::new("https://id.example/token", ClientAuth::none("app"));
    assert_eq!(id(new()), "https://id.example/token");
    let with_key =
        TokenEndpoint::new(format!("https://id.example/token?{SECRET}"), ClientAuth::none("app"));
    assert_eq!(id(with_key), "https://id.example/token");
    let with_signs = "https://id.example/@a?mail=b@c.example";
    let with_signs = TokenEndpoint::new(with_signs, ClientAuth::none("app"));
    assert_eq!(id(with_signs), "https://id.example/@a");
    assert_eq!(id(new().issuer("https://id.example")), "https://id.example");
    assert_eq!(
        id(TokenEndpoint::discover("https://id.example/", ClientAuth::none("app")).lazy()),
        "https://id.example/"
    );
}

#[test]
fn limits_are_checked_with_the_endpoint() {
    let refused = |limits: ProviderLimits| match endpoint(
        Script::default().answering(|_, _| answer(200, "")),
    )
    .limits(limits)
    .validate()
    {
        Err(ConfigError::Range { what, .. }) => what,
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(ProviderLimits::default().attempts(0)), "attempts");
    assert_eq!(refused(ProviderLimits::default().attempts(11)), "attempts");
    assert_eq!(refused(ProviderLimits::default().concurrent(0..=0)), "concurrent");
    assert_eq!(refused(ProviderLimits::default().concurrent(1..=usize::MAX)), "concurrent");
    assert_eq!(refused(ProviderLimits::default().queue(usize::MAX)), "queue");
    assert_eq!(refused(ProviderLimits::default().breaker_failures(0)), "breaker_failures");
    assert_eq!(
        refused(ProviderLimits::default().breaker_pause(Duration::ZERO..=Duration::from_secs(1))),
        "breaker_pause"
    );
    assert_eq!(
        refused(
            ProviderLimits::default()
                .breaker_pause(Duration::from_secs(1) * 2..=Duration::from_secs(1))
        ),
        "breaker_pause"
    );
    assert_eq!(
        refused(ProviderLimits::default().breaker_pause(Duration::from_secs(1)..=Duration::MAX)),
        "breaker_pause"
    );
    assert!(
        endpoint(Script::default().answering(|_, _| answer(200, "")))
            .limits(ProviderLimits::default().queue(0).concurrent(1..=1))
            .validate()
            .is_ok()
    );
}
