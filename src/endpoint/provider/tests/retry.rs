//! What is sent again, when, and within what time. `transport/tests/tcp` has the same over sockets.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// How the in-memory provider treats one request.
#[derive(Debug, Clone, Copy)]
enum Step {
    NotSent,
    Lost,
    Silent,
    Status(u16),
    RetryAfter(u16, &'static str),
    Code(u16, &'static str),
    Tokens,
}

/// Runs one refresh against a provider that answers with `steps`, one for each request, and then
/// with tokens. Returns the outcome, the number of requests and the time it took.
async fn refresh(
    limits: ProviderLimits,
    steps: &'static [Step],
) -> (Result<crate::TokenSet, EndpointError>, usize, Duration) {
    let sent = Arc::new(Mutex::new(0));
    let counter = Arc::clone(&sent);
    let transport = Transport::new(tower::service_fn(move |_: Request<Bytes>| {
        let mut sent = counter.lock().unwrap();
        let turn = *sent;
        *sent += 1;
        let step = steps.get(turn).copied().unwrap_or(Step::Tokens);
        async move {
            match step {
                Step::NotSent => Err(BoxError::from(NotSent::new("refused"))),
                Step::Lost => Err("reset".into()),
                Step::Silent => std::future::pending().await,
                Step::Status(status) => Ok(answer(status, "<html>sorry")),
                Step::RetryAfter(status, wait) => {
                    let mut response = answer(status, "");
                    response
                        .headers_mut()
                        .insert("retry-after", http::HeaderValue::from_static(wait));
                    Ok(response)
                }
                Step::Code(status, code) => {
                    Ok(answer(status, json!({ "error": code }).to_string()))
                }
                Step::Tokens => Ok(answer(200, tokens().to_string())),
            }
        }
    }));
    // The clock stands still. Pauses use the runtime's timer.
    let provider = endpoint(transport)
        .limits(limits)
        .validate()
        .unwrap()
        .with_clock(Clock::new(Hand::default()));
    let started = tokio_now();
    let outcome = provider.refresh_always(&refresh_token()).await;
    let sent = *sent.lock().unwrap();
    (outcome, sent, tokio_now() - started)
}

fn limits() -> ProviderLimits {
    ProviderLimits::default()
}

#[tokio::test(start_paused = true)]
async fn what_was_surely_not_sent_is_sent_after_a_short_pause() {
    let (outcome, sent, took) = refresh(limits(), &[Step::NotSent]).await;
    assert!(outcome.is_ok());
    assert_eq!(sent, 2);
    assert!((SECOND / 20..=SECOND / 9).contains(&took), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn an_overloaded_provider_is_asked_again_after_a_second_or_its_retry_after() {
    for (steps, pause) in [
        (&[Step::Status(429)] as &'static [Step], SECOND),
        (&[Step::Status(503)], SECOND),
        (&[Step::Code(400, "temporarily_unavailable")], SECOND),
        (&[Step::Code(400, "slow_down")], SECOND),
        (&[Step::Status(408)], SECOND),
        (&[Step::Status(421)], SECOND),
        (&[Step::RetryAfter(425, "2")], SECOND * 2),
        (&[Step::Code(500, "temporarily_unavailable")], SECOND),
        (&[Step::RetryAfter(429, "0")], Duration::ZERO),
        (&[Step::RetryAfter(503, "4")], SECOND * 4),
        (&[Step::RetryAfter(503, "12")], SECOND * 12),
    ] {
        let (outcome, sent, took) = refresh(limits(), steps).await;
        assert!(outcome.is_ok(), "{steps:?} {outcome:?}");
        assert_eq!(sent, 2, "{steps:?}");
        assert!((pause..=pause + pause / 4 + SECOND / 100).contains(&took), "{steps:?} {took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_retry_after_that_does_not_fit_is_told_at_once() {
    let (outcome, sent, took) = refresh(limits(), &[Step::RetryAfter(503, "16")]).await;
    assert_eq!(outcome.unwrap_err().kind(), &Kind::Unavailable { retry_after: Some(SECOND * 16) });
    assert_eq!((sent, took), (1, Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn an_ambiguous_outcome_is_never_sent_again() {
    for (steps, kind) in [
        (&[Step::Lost] as &'static [Step], Kind::NoAnswer),
        (&[Step::Silent], Kind::NoAnswer),
        (&[Step::Status(500)], Kind::Unavailable { retry_after: None }),
        (&[Step::Status(502)], Kind::Unavailable { retry_after: None }),
        (&[Step::Status(504)], Kind::Unavailable { retry_after: None }),
        (&[Step::RetryAfter(502, "0")], Kind::Unavailable { retry_after: Some(Duration::ZERO) }),
        (&[Step::Code(400, "server_error")], Kind::Unavailable { retry_after: None }),
        (&[Step::Status(200)], Kind::InvalidResponse { rule: "is not a token response" }),
    ] {
        let (outcome, sent, _) = refresh(limits().attempts(10), steps).await;
        let error = outcome.unwrap_err();
        assert_eq!((error.kind(), error.may_have_consumed(), sent), (&kind, true, 1), "{steps:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn nor_is_what_would_be_refused_again() {
    for steps in [
        &[Step::Code(400, "invalid_grant")] as &'static [Step],
        &[Step::Code(401, "invalid_client")],
        &[Step::Status(403)],
        &[Step::Status(307)],
    ] {
        let (outcome, sent, _) = refresh(limits().attempts(10), steps).await;
        assert!(!outcome.unwrap_err().may_have_consumed(), "{steps:?}");
        assert_eq!(sent, 1, "{steps:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_may_have_been_acted_on_is_the_last_one() {
    let (outcome, sent, _) =
        refresh(limits().attempts(10), &[Step::NotSent, Step::Status(503), Step::Lost]).await;
    assert_eq!((outcome.unwrap_err().kind(), sent), (&Kind::NoAnswer, 3));
}

#[tokio::test(start_paused = true)]
async fn it_is_sent_as_often_as_allowed_and_the_last_error_is_told() {
    const DOWN: &[Step] = &[Step::NotSent, Step::NotSent, Step::NotSent, Step::Status(503)];
    for attempts in 1..=4 {
        let (outcome, sent, _) = refresh(limits().attempts(attempts), DOWN).await;
        assert_eq!(sent, attempts as usize);
        let last = matches!(outcome.unwrap_err().kind(), Kind::Unavailable { .. });
        assert_eq!(last, attempts == 4);
    }
    assert!(refresh(limits().attempts(5), DOWN).await.0.is_ok());
}

#[tokio::test(start_paused = true)]
async fn everything_together_ends_within_the_longest_refresh() {
    let steps = &[Step::RetryAfter(503, "11"), Step::Silent];
    let (outcome, sent, took) = refresh(limits(), steps).await;
    assert_eq!((outcome.unwrap_err().kind(), sent), (&Kind::NoAnswer, 2));
    let longest = endpoint(Script::default().answering(|_, _| answer(200, "")))
        .validate()
        .unwrap()
        .longest_refresh();
    assert_eq!(longest, SECOND * 30);
    assert!(took > SECOND * 25 && took <= longest, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn the_longest_refresh_has_room_for_discovery_and_the_queue() {
    let longest = |attempts| {
        let endpoint = endpoint(Script::default().answering(|_, _| answer(200, "")));
        endpoint
            .limits(limits().attempts(attempts))
            .request_timeout(SECOND)
            .validate()
            .unwrap()
            .longest_refresh()
    };
    assert_eq!([1, 2, 3].map(longest), [SECOND * 2, SECOND * 2, SECOND * 3]);

    let silent = Transport::new(tower::service_fn(|_| {
        std::future::pending::<Result<Response<Full<Bytes>>, BoxError>>()
    }));
    let endpoint = TokenEndpoint::discover("https://id.example", ClientAuth::none("app"))
        .transport(silent)
        .lazy();
    let provider = endpoint.validate().unwrap();
    let started = tokio_now();
    let error = provider.refresh_always(&refresh_token()).await.unwrap_err();
    assert_eq!((error.kind(), error.may_have_consumed()), (&Kind::Unreachable, false));
    assert_eq!(tokio_now() - started, SECOND * 15);
}

/// The first attempt takes ten of the fifteen seconds in which the second may start.
#[tokio::test(start_paused = true)]
async fn a_second_attempt_that_gets_no_turn_in_time_is_not_begun() {
    let turns = Arc::new(Mutex::new(0));
    let transport = Transport::new(tower::service_fn(move |_: Request<Bytes>| {
        let mut turns = turns.lock().unwrap();
        *turns += 1;
        let first = *turns == 1;
        async move {
            if !first {
                std::future::pending::<()>().await;
            }
            tokio::time::sleep(SECOND * 10).await;
            Ok::<_, BoxError>(answer(503, ""))
        }
    }));
    let provider = endpoint(transport).limits(limits().concurrent(1..=1)).validate().unwrap();
    let started = tokio_now();
    let (one, other) = (refresh_token(), SecretString::from("another user's"));
    let (error, _has_the_place) = tokio::join!(
        async {
            let error = provider.refresh_always(&one).await.unwrap_err();
            assert_eq!(tokio_now() - started, SECOND * 15);
            error
        },
        provider.refresh_always(&other),
    );
    assert!(everything_printed(&error).contains("too little time was left"), "{error:?}");
    assert_eq!(
        (error.kind(), error.may_have_consumed()),
        (&Kind::Unavailable { retry_after: None }, false)
    );
}

/// Whatever happened to the discovery request, it did not contain the refresh token.
#[tokio::test(start_paused = true)]
async fn a_discovery_without_an_answer_is_tried_again() {
    let script = Script::default();
    let answers = script.answering(|_, turn| match turn {
        0 => answer(
            200,
            json!({ "issuer": "https://id.example", "token_endpoint": "https://id.example/t" })
                .to_string(),
        ),
        _ => answer(200, tokens().to_string()),
    });
    let lost = Arc::new(Mutex::new(false));
    let transport = Transport::new(tower::service_fn(move |request: Request<Bytes>| {
        let (first, answers) =
            (!std::mem::replace(&mut *lost.lock().unwrap(), true), answers.clone());
        async move { if first { Err(BoxError::from("reset")) } else { answers.send(request).await } }
    }));
    let endpoint = TokenEndpoint::discover("https://id.example", ClientAuth::none("app"))
        .transport(transport)
        .lazy();
    assert!(endpoint.validate().unwrap().refresh_always(&refresh_token()).await.is_ok());
    assert_eq!(script.sent().len(), 2, "the document and the tokens");
}

#[tokio::test(start_paused = true)]
async fn a_discovery_that_is_tried_again_counts_as_well() {
    let asked = Arc::new(Mutex::new(0));
    let transport = Transport::new(tower::service_fn(move |_: Request<Bytes>| {
        let mut asked = asked.lock().unwrap();
        *asked += 1;
        let first = *asked == 1;
        async move {
            if !first {
                std::future::pending::<()>().await;
            }
            tokio::time::sleep(SECOND * 10).await;
            Ok::<_, BoxError>(answer(503, ""))
        }
    }));
    let endpoint = TokenEndpoint::discover("https://id.example", ClientAuth::none("app"))
        .transport(transport)
        .lazy();
    let started = tokio_now();
    let error = endpoint.validate().unwrap().refresh_always(&refresh_token()).await.unwrap_err();
    assert_eq!((error.kind(), error.may_have_consumed()), (&Kind::Unreachable, false));
    assert_eq!(tokio_now() - started, SECOND * 15);
}

#[tokio::test(start_paused = true)]
async fn the_set_is_as_old_as_the_request_that_brought_it() {
    let hand = Hand::default();
    let clock = hand.clone();
    let script = Script::default();
    let transport = script.answering(move |_, turn| match turn {
        0 => {
            clock.advance(SECOND * 5);
            answer(503, "")
        }
        _ => answer(200, tokens().to_string()),
    });
    let provider = endpoint(transport).validate().unwrap().with_clock(Clock::new(hand));
    let set = provider.refresh_always(&refresh_token()).await.unwrap();
    assert_eq!(set.obtained_at, Some(SystemTime::UNIX_EPOCH + SECOND * 5));
}

/// The breaker may have opened in the meantime, through this failure or through others.
#[tokio::test(start_paused = true)]
async fn the_breaker_holds_for_the_second_attempt_too() {
    let script = Script::default();
    let transport = script.answering(|_, _| answer(503, ""));
    let provider = endpoint(transport)
        .limits(limits().breaker_failures(1).breaker_pause(SECOND * 9..=SECOND * 9))
        .validate()
        .unwrap();
    let error = provider.refresh_always(&refresh_token()).await.unwrap_err();
    assert_eq!(script.sent().len(), 1);
    assert!(everything_printed(&error).contains("breaker is open"));
}
