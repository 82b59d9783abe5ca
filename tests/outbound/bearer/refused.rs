//! What a 401 leads to.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use futures_util::future::join_all;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use http_body_util::Full;
use support::TokenOp;
use tokio::sync::Barrier;
use tower::{Layer, ServiceExt, service_fn};
use tower_token_refresh::{ApiHosts, BearerLayer, StepUp};

use super::{API, SECOND, Scene, bearer, get, refused, scene, scene_with_a_refused_token, status};

#[tokio::test]
async fn fifty_calls_that_are_refused_make_one_refresh_and_a_late_401_makes_none() {
    let scene = scene_with_a_refused_token().await;
    let client = scene.client(&scene.layer());
    let answers = join_all((0..50).map(|_| get(&client))).await;
    for answer in answers {
        assert_eq!(answer.expect("an answer").status(), StatusCode::OK);
    }
    assert_eq!((scene.refreshes(), scene.calls()), (1, 100));

    // It was sent before, and its 401 comes only now.
    let old = scene.calls.lock().unwrap()[0].clone();
    let answered = AtomicUsize::new(0);
    let late = Scene {
        rule: Arc::new(move |_: &HeaderMap| {
            let first = answered.fetch_add(1, Ordering::SeqCst) == 0;
            status(if first { StatusCode::UNAUTHORIZED } else { StatusCode::OK })
        }),
        calls: Arc::default(),
        ..scene
    };
    late.world.clock.advance(SECOND * 11);
    assert_ne!(bearer(&old), late.current().await);
    assert_eq!(late.status().await, StatusCode::OK);
    assert_eq!(late.refreshes(), 2, "this one was refused with the newest token");
    late.world.assert_logged_in(late.id).await;
}

#[tokio::test]
async fn a_token_of_a_few_seconds_is_not_refreshed() {
    let scene = scene(refused).await;
    let held = scene.tokens.token().await.expect("a token");
    scene.tokens.newer_than(&held).await.expect("a new one");
    scene.world.clock.advance(SECOND * 9);
    assert_eq!(scene.status().await, StatusCode::UNAUTHORIZED);
    assert_eq!((scene.calls(), scene.refreshes()), (1, 1));
    // It does not get older by a clock that is set back.
    scene.world.clock.jump_wall(-15);
    assert_eq!(scene.status().await, StatusCode::UNAUTHORIZED);
    assert_eq!((scene.calls(), scene.refreshes()), (2, 1));
    scene.world.clock.jump_wall(15);
    scene.world.clock.advance(SECOND);
    assert_eq!(scene.status().await, StatusCode::UNAUTHORIZED);
    assert_eq!((scene.calls(), scene.refreshes()), (4, 2));
}

/// An API that refuses everything must not make the provider issue tokens without end.
#[tokio::test]
async fn after_two_new_tokens_the_401s_of_a_host_are_passed_on_for_a_minute() {
    let scene = scene(refused).await;
    // A layer for each call, as in a handler.
    let api = scene.api();
    let layer = || BearerLayer::new(scene.tokens.clone(), &api);
    let ask = async || get(&scene.client(&layer())).await.expect("an answer").status();
    for refreshes in [1, 2, 2, 2, 2, 2, 2] {
        assert_eq!(ask().await, StatusCode::UNAUTHORIZED);
        assert_eq!(scene.refreshes(), refreshes);
        scene.world.clock.advance(SECOND * 11);
    }
    // Not 60 s after the second one: each of these calls is passed on as well.
    scene.world.clock.advance(SECOND * 11);
    ask().await;
    assert_eq!(scene.refreshes(), 3, "one more after a minute");
    scene.world.clock.advance(SECOND * 11);
    ask().await;
    assert_eq!(scene.refreshes(), 3);
    scene.world.assert_logged_in(scene.id).await;
}

/// An API that is overloaded has not looked at the token.
#[tokio::test]
async fn a_429_or_503_does_not_say_that_a_new_token_has_helped() {
    let grpc_unavailable = || {
        let mut response = status(StatusCode::OK);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        headers.insert("grpc-status", HeaderValue::from_static("14"));
        response
    };
    let nothings: [fn() -> Response<String>; 3] = [
        || status(StatusCode::TOO_MANY_REQUESTS),
        || status(StatusCode::SERVICE_UNAVAILABLE),
        grpc_unavailable,
    ];
    for nothing in nothings {
        let number = AtomicUsize::new(0);
        let scene = scene(move |_| {
            let is_second_of_second = number.fetch_add(1, Ordering::SeqCst) == 3;
            if is_second_of_second { nothing() } else { status(StatusCode::UNAUTHORIZED) }
        })
        .await;
        let api = scene.api();
        let client = scene.client(&BearerLayer::new(scene.tokens.clone(), &api));
        for (answer, refreshes) in [
            (StatusCode::UNAUTHORIZED, 1),
            (nothing().status(), 2),
            (StatusCode::UNAUTHORIZED, 3),
            // Those were two.
            (StatusCode::UNAUTHORIZED, 3),
        ] {
            assert_eq!(get(&client).await.expect("an answer").status(), answer);
            assert_eq!(scene.refreshes(), refreshes);
            scene.world.clock.advance(SECOND * 11);
        }
    }
}

/// In the first burst all ask before one of them is refused again.
#[tokio::test]
async fn after_each_pause_one_of_all_users_asks_for_a_new_token() {
    const USERS: usize = 10;

    let scene = scene(refused).await;
    let (world, api) = (&scene.world, scene.api());
    let mut logins = Vec::new();
    for user in 0..USERS {
        let id = world.log_in(&format!("user-{user}")).await;
        let login = world.refresher.login_tokens(&world.session(id)).await;
        logins.push(login.expect("logged in"));
    }
    let burst = async || {
        world.clock.advance(SECOND * 61);
        let all = Arc::new(Barrier::new(USERS));
        let calls = logins.iter().map(|login| {
            let (first, all) = (Arc::new(AtomicBool::new(true)), all.clone());
            let answer = service_fn(move |_: Request<Full<Bytes>>| {
                let arrived = first.swap(false, Ordering::SeqCst).then(|| all.clone());
                async move {
                    if let Some(all) = arrived {
                        all.wait().await;
                    }
                    Ok::<_, Infallible>(status(StatusCode::UNAUTHORIZED))
                }
            });
            let client = BearerLayer::new(login.clone(), &api).layer(answer);
            client.oneshot(Request::get(API).body(Full::default()).expect("a request"))
        });
        for answer in join_all(calls).await {
            assert_eq!(answer.expect("an answer").status(), StatusCode::UNAUTHORIZED);
        }
        scene.refreshes()
    };
    let at_first = burst().await;
    for later in 1..=3 {
        assert_eq!(burst().await, at_first + later);
    }
}

/// The times of one clock mean nothing to another.
#[tokio::test]
async fn hosts_with_a_clock_of_their_own_know_nothing_of_the_refusals_of_others() {
    let scene = scene(refused).await;
    let api = scene.api();
    let own = || api.clone().clock(scene.world.clock.clock());
    for (api, refreshes) in [(&api, 1), (&api, 2), (&api, 2), (&own(), 3)] {
        let layer = BearerLayer::new(scene.tokens.clone(), api);
        let answer = get(&scene.client(&layer)).await.expect("an answer");
        assert_eq!((answer.status(), scene.refreshes()), (StatusCode::UNAUTHORIZED, refreshes));
        scene.world.clock.advance(SECOND * 11);
    }
}

#[tokio::test]
async fn many_calls_with_one_new_token_count_once() {
    let scene = scene(refused).await;
    let client = scene.client(&scene.layer());
    for refreshes in [1, 2, 2] {
        for answer in join_all((0..50).map(|_| get(&client))).await {
            assert_eq!(answer.expect("an answer").status(), StatusCode::UNAUTHORIZED);
        }
        assert_eq!(scene.refreshes(), refreshes);
        scene.world.clock.advance(SECOND * 11);
    }
}

#[tokio::test]
async fn a_body_that_cannot_be_sent_again_is_not() {
    struct Stream;

    let scene = scene_with_a_refused_token().await;
    let ask = async |layer: &BearerLayer| {
        let request = Request::post(API).body(Stream).expect("a request");
        scene.client(layer).oneshot(request).await.expect("an answer").status()
    };
    assert_eq!(ask(&scene.layer()).await, StatusCode::UNAUTHORIZED);
    assert_eq!((scene.calls(), scene.refreshes()), (1, 0));
    let with = |api: &ApiHosts| BearerLayer::new(scene.tokens.clone(), api);
    let for_another_type = scene.api().resend_with(|_: &String| None);
    assert_eq!(ask(&with(&for_another_type)).await, StatusCode::UNAUTHORIZED);
    assert_eq!((scene.calls(), scene.refreshes()), (2, 0));
    let by_its_maker = scene.api().resend_with(|_: &Stream| Some(Stream));
    assert_eq!(ask(&with(&by_its_maker)).await, StatusCode::OK);
    assert_eq!((scene.calls(), scene.refreshes()), (4, 1));
}

#[tokio::test]
async fn bodies_of_bytes_are_sent_again() {
    async fn healed<B: Send + 'static>(body: impl Fn() -> B) -> bool {
        let scene = scene_with_a_refused_token().await;
        let request = Request::post(API).body(body()).expect("a request");
        let response = scene.client(&scene.layer()).oneshot(request).await.expect("an answer");
        response.status() == StatusCode::OK
    }
    assert!(healed(|| ()).await);
    assert!(healed(|| Bytes::from("body")).await);
    assert!(healed(|| Full::new(Bytes::from("body"))).await);
    assert!(healed(http_body_util::Empty::<Bytes>::new).await);
    assert!(healed(|| "body".to_owned()).await);
    assert!(healed(|| b"body".to_vec()).await);
    assert!(healed(|| reqwest::Body::from("body")).await);
}

#[tokio::test]
async fn what_no_newer_token_can_heal_is_passed_on() {
    let scope = r#"Bearer error="insufficient_scope""#;
    let step_up =
        r#"Bearer error="insufficient_user_authentication", acr_values="gold", max_age=5"#;
    for (challenge, wanted) in [(scope, None), (step_up, Some((Some("gold".to_owned()), Some(5))))]
    {
        let scene = scene(move |_| {
            let mut response = status(StatusCode::UNAUTHORIZED);
            let challenge = header::HeaderValue::from_static(challenge);
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
            response
        })
        .await;
        let response = get(&scene.client(&scene.layer())).await.expect("an answer");
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
        let told = response.extensions().get::<StepUp>().cloned();
        assert_eq!(told.map(|told| (told.acr_values, told.max_age)), wanted);
        assert_eq!((scene.calls(), scene.refreshes()), (1, 0));
    }
}

/// The first answer is about the token, and the second one is not.
#[tokio::test]
async fn what_the_second_answer_wants_is_told_and_is_no_refusal_of_the_new_token() {
    let scene = scene_with_a_refused_token().await;
    let old = scene.current().await;
    let rule = move |headers: &HeaderMap| {
        let mut response = status(StatusCode::UNAUTHORIZED);
        if bearer(headers) != old {
            let step_up = r#"Bearer error="insufficient_user_authentication", max_age=5"#;
            let step_up = header::HeaderValue::from_static(step_up);
            response.headers_mut().insert(header::WWW_AUTHENTICATE, step_up);
        }
        response
    };
    let scene = Scene { rule: Arc::new(rule), ..scene };
    let response = get(&scene.client(&scene.layer())).await.expect("an answer");
    assert_eq!(response.extensions().get::<StepUp>().and_then(|told| told.max_age), Some(5));
    assert_eq!((scene.calls(), scene.refreshes()), (2, 1));
}

#[tokio::test]
async fn while_no_newer_token_can_be_had_the_apis_own_401_is_passed_on() {
    let scene = scene(|_| {
        let mut response = status(StatusCode::UNAUTHORIZED);
        *response.body_mut() = "the API's own words".to_owned();
        response
    })
    .await;
    scene.world.tokens.refuse(TokenOp::Swap);
    let response = get(&scene.client(&scene.layer())).await.expect("an answer");
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(response.body(), "the API's own words");
    assert_eq!(scene.calls(), 1);
}
