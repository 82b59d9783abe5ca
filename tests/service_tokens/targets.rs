//! Several targets from one source.

use std::collections::HashSet;

use support::{log::Log, settle};
use tower_token_refresh::{RefreshErrorKind, StandardClaims, TokenTarget, testing::Endpoint};

use crate::Service;

#[tokio::test]
async fn each_target_has_a_token_and_a_flight_of_its_own() {
    let service = Service::new();
    let gates = [(); 3].map(|()| service.issuer.gate_before(Endpoint::Token));
    let targets = [
        TokenTarget::new().scope("email"),
        TokenTarget::new().scope("profile"),
        TokenTarget::new().scope("email").audience("orders"),
    ];
    let callers: Vec<_> = (0..30)
        .map(|caller| {
            let tokens = service.tokens.for_target(targets[caller % 3].clone()).unwrap();
            tokio::spawn(async move { tokens.token().await })
        })
        .collect();
    for gate in &gates {
        gate.reached().await;
    }
    settle().await;
    gates.iter().for_each(tower_token_refresh::testing::Gate::open);
    let mut tokens = HashSet::new();
    for caller in callers {
        tokens.insert(caller.await.unwrap().expect("a token").secret().to_owned());
    }
    assert_eq!((service.requests(), tokens.len()), (3, 3));
}

#[tokio::test]
async fn two_sources_for_one_target_share_its_token() {
    let service = Service::new();
    let target = || TokenTarget::new().scope("email");
    let one = service.tokens.for_target(target()).unwrap();
    let token = one.token().await.expect("a token");
    let two = service.tokens.for_target(target()).unwrap();
    assert_eq!(two.token().await.expect("a token").secret(), token.secret());
    two.newer_than(&token).await.expect("a newer token");
    assert_ne!(one.token().await.expect("a token").secret(), token.secret());
    assert_eq!(service.requests(), 2);
}

#[tokio::test]
async fn the_provider_is_told_what_the_token_is_for() {
    let service = Service::new();
    let target = TokenTarget::new()
        .scope("email")
        .audience("orders")
        .audience("stock")
        .resource("https://stock.example/v1?x=y");
    let tokens = service.tokens.for_target(target).unwrap();
    let token = tokens.token().await.expect("a token");
    let claims = token.claims::<StandardClaims>().expect("a JWT");
    assert_eq!(claims.aud, ["orders", "stock", "https://stock.example/v1?x=y"]);
    assert_eq!(token.scope(), Some("email"));
    assert_eq!(token.subject(), Some(&*service.issuer.subject_of("service-account-web")));
}

#[tokio::test]
async fn the_issuer_of_tests_knows_the_scopes_it_was_told_and_no_other() {
    let service = Service::with(|issuer| issuer.scopes(["orders:read"]), |tokens| tokens);
    let of = |scope| service.tokens.for_target(TokenTarget::new().scope(scope)).unwrap();
    let token = of("orders:read email").token().await.expect("a token");
    assert_eq!(token.scope(), Some("orders:read email"));
    let log = Log::of_this_thread();
    let error = of("orders:write").token().await.expect_err("nobody has named it");
    assert_eq!(error.kind(), RefreshErrorKind::Misconfigured);
    let [line] = &log.lines_at("ERROR")[..] else { panic!("one line") };
    let (provider, target) =
        (service.issuer.token_url(), r#"TokenTarget { scope: "orders:write" }"#);
    for named in [&*provider, target, "invalid_scope", "check the scope"] {
        assert!(line.contains(named), "{named}: {line}");
    }
}

/// More than are kept: two sources of one target have a token each then.
#[tokio::test]
async fn beyond_ten_thousand_targets_a_refused_token_is_not_given_again() {
    let service = Service::new();
    let target = || TokenTarget::new().audience("orders");
    let old = service.tokens.for_target(target()).unwrap();
    let first = old.token().await.expect("a token");
    for number in 0..11_000 {
        service.tokens.for_target(TokenTarget::new().audience(format!("api-{number}"))).unwrap();
    }
    let new = service.tokens.for_target(target()).unwrap();
    let second = new.token().await.expect("a token");
    // Both are refused.
    let gate = service.issuer.gate_before(Endpoint::Token);
    let one = tokio::spawn(async move { old.newer_than(&first).await });
    gate.reached().await;
    let other = tokio::spawn({
        let (new, second) = (new.clone(), second.clone());
        async move { new.newer_than(&second).await }
    });
    settle().await;
    gate.open();
    one.await.unwrap().expect("a token");
    let third = other.await.unwrap().expect("a token");
    assert_ne!(third.secret(), second.secret());
    assert_eq!(new.token().await.expect("a token").secret(), third.secret());
}
