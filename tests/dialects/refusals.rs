//! Clear refusals: they are tried again, less and less often, and what may pass is no error of ours
//! at first.

use std::time::Duration;

use tower_token_refresh::RefreshErrorKind as Kind;

use crate::stage::{Counted, kind, response};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test]
async fn page_views_within_the_pause_get_the_same_answer_without_a_request() {
    for (status, body, expected) in [
        (400, r#"{"error":"invalid_scope"}"#, Kind::Misconfigured),
        (403, "<html>", Kind::InvalidResponse),
        (302, "", Kind::InvalidResponse),
    ] {
        let stage = Counted::new();
        let id = stage.world.log_in("alice").await;
        stage.world.expire();
        stage.always(status, body);
        for _ in 0..100 {
            assert_eq!(kind(&stage.world, id).await, Err(expected), "{status}");
        }
        assert_eq!(stage.requests(), 1);
        for _ in 0..600 {
            stage.world.clock.advance(SECOND);
            assert_eq!(kind(&stage.world, id).await, Err(expected), "{status}");
        }
        // 1, 2, 4 ... 60 s, less up to a half.
        assert!((10..30).contains(&stage.requests()), "{} in 10 min", stage.requests());
        stage.director.honest();
        stage.world.clock.advance(SECOND * 60);
        assert_eq!(kind(&stage.world, id).await, Ok(()));
        stage.world.assert_logged_in(id).await;
    }
}

#[tokio::test]
async fn what_may_pass_is_503_once_and_an_error_of_ours_only_when_it_stays() {
    for (status, body, expected) in [
        (401, r#"{"error":"invalid_client"}"#, Kind::Misconfigured),
        (404, "<html>no such page</html>", Kind::InvalidResponse),
    ] {
        let stage = Counted::new();
        let id = stage.world.log_in("alice").await;
        stage.world.expire();
        stage.always(status, body);
        for _ in 0..10 {
            let error = stage.ask(id).await.expect_err("refused");
            assert_eq!(error.kind(), Kind::Unavailable, "{status}");
            assert!(error.retry_after().is_some());
        }
        assert_eq!(stage.requests(), 1);
        stage.world.clock.advance(SECOND);
        assert_eq!(kind(&stage.world, id).await, Err(expected), "it stays");
        assert_eq!(stage.requests(), 2);
        stage.director.honest();
        stage.world.clock.advance(SECOND * 2);
        assert_eq!(kind(&stage.world, id).await, Ok(()));
        stage.world.assert_logged_in(id).await;
    }
}

/// Each of 50 users asks once: three are refused, and the provider has peace.
#[tokio::test]
async fn what_is_refused_to_everybody_is_not_asked_for_by_everybody() {
    let stage = Counted::new();
    let mut users = Vec::new();
    for user in 0..50 {
        users.push(stage.world.log_in(&user.to_string()).await);
    }
    stage.world.expire();
    stage.always(403, "<html>blocked</html>");
    for id in &users {
        assert_eq!(kind(&stage.world, *id).await, Err(Kind::InvalidResponse));
    }
    assert_eq!(stage.requests(), 3);
    stage.director.honest();
    stage.world.clock.advance(SECOND * 60);
    for id in users {
        assert_eq!(kind(&stage.world, id).await, Ok(()));
        stage.world.assert_logged_in(id).await;
    }
}

/// The provider refuses, and is down when it is asked again. What it said before is not repeated.
#[tokio::test]
async fn an_answer_is_not_repeated_after_another_one() {
    let stage = Counted::new();
    let id = stage.world.log_in("alice").await;
    stage.world.expire();
    stage.always(400, r#"{"error":"invalid_scope"}"#);
    assert_eq!(kind(&stage.world, id).await, Err(Kind::Misconfigured));
    stage.always(500, "");
    stage.world.clock.advance(SECOND);
    for _ in 0..3 {
        assert_eq!(kind(&stage.world, id).await, Err(Kind::Unavailable));
    }
}

/// A lazy discovery is answered by a gateway in an OAuth server's words. No token was sent.
#[tokio::test(start_paused = true)]
async fn the_words_of_a_discovery_document_end_no_login() {
    let world = support::World::on_memory();
    let issuer = world.issuer.clone();
    let gateway = tower_token_refresh::Transport::new(tower::service_fn(|_| async {
        let body = r#"{"error":"invalid_grant"}"#;
        Ok::<_, std::io::Error>(response(500, body).map(http_body_util::Full::new))
    }));
    let auth = tower_token_refresh::ClientAuth::basic("web", "secret");
    let endpoint = tower_token_refresh::TokenEndpoint::discover(issuer.issuer_url(), auth);
    let world = world.asking(endpoint.transport(gateway).lazy());
    let id = world.log_in("alice").await;
    world.expire();
    assert_eq!(kind(&world, id).await, Err(Kind::Unavailable));
    assert!(world.stored_refresh_token(id).await.is_some());
}

/// A secret is changed at the provider first: nobody sees an error of ours for the first second.
#[tokio::test]
async fn what_may_pass_is_503_for_everybody() {
    let stage = Counted::new();
    let mut users = Vec::new();
    for user in 0..20 {
        users.push(stage.world.log_in(&user.to_string()).await);
    }
    stage.world.expire();
    stage.always(401, r#"{"error":"invalid_client"}"#);
    for id in &users {
        assert_eq!(kind(&stage.world, *id).await, Err(Kind::Unavailable));
    }
    assert_eq!(stage.requests(), 3);
    stage.director.honest();
    stage.world.clock.advance(SECOND);
    // The last one was not refused itself.
    for id in users.into_iter().rev() {
        assert_eq!(kind(&stage.world, id).await, Ok(()));
    }
}

/// Three logins are always refused, and ask every second. Another one is served all the same.
#[tokio::test]
async fn a_few_logins_that_are_always_refused_do_not_starve_the_others() {
    let stage = Counted::new();
    let world = &stage.world;
    let mut refused = Vec::new();
    for user in ["a", "b", "c"] {
        refused.push(world.log_in(user).await);
    }
    let good = world.log_in("good").await;
    world.expire();
    let mut tokens = Vec::new();
    for id in &refused {
        tokens.push(world.stored_refresh_token(*id).await.expect("logged in"));
    }
    stage.answer_to(tokens, || response(403, "<html>"));
    let (mut waits, mut longest) = (0, 0);
    for _ in 0..1800 {
        for id in &refused {
            assert!(stage.ask(*id).await.is_err());
        }
        waits = if stage.ask(good).await.is_ok() { 0 } else { waits + 1 };
        longest = longest.max(waits);
        world.clock.advance(SECOND);
    }
    assert!(longest <= 2, "{longest} s");
    world.assert_logged_in(good).await;
}

#[tokio::test(start_paused = true)]
async fn a_408_that_stays_is_an_error_of_the_provider() {
    for status in [408, 421, 425] {
        let stage = Counted::new();
        let id = stage.world.log_in("alice").await;
        stage.world.expire();
        stage.always(status, "");
        assert_eq!(kind(&stage.world, id).await, Err(Kind::Unavailable));
        stage.world.clock.advance(SECOND * 2);
        let error = stage.ask(id).await.expect_err("it stays");
        assert_eq!(error.kind(), Kind::InvalidResponse, "{status} {error:?}");
        for _ in 0..600 {
            stage.world.clock.advance(SECOND);
            let _ = kind(&stage.world, id).await;
        }
        assert!(stage.requests() < 60, "{} in 10 min", stage.requests());
        stage.director.honest();
        stage.world.clock.advance(SECOND * 60);
        assert_eq!(kind(&stage.world, id).await, Ok(()));
        stage.world.assert_logged_in(id).await;
    }
}
