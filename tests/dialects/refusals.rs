//! Clear refusals: they are tried again, less and less often, and what may pass is no error of ours
//! at first.

use std::time::Duration;

use tower_token_refresh::RefreshErrorKind as Kind;

use crate::stage::{Counted, kind};

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
