//! The endpoint as the refresher uses it, over a transport in memory.

mod counters;
pub(super) mod foreign_input;
mod gate;
mod resend;
mod tcp;

use std::{
    error::Error as StdError,
    sync::{Arc, Mutex},
    time::SystemTime,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use secrecy::SecretString;
use serde_json::{Value, json};

pub(super) mod signing;

use super::{EndpointErrorKind as Kind, *};
use crate::TimeSource;

pub(super) const SECRET: &str = "hunter2hunter2";

/// A provider in memory: it notes what it was sent and answers what it was told to.
#[derive(Clone, Default)]
pub(super) struct Script {
    seen: Arc<Mutex<Vec<Request<Bytes>>>>,
}

impl Script {
    pub(super) fn answering(
        &self,
        answer: impl Fn(&Request<Bytes>, usize) -> Response<Full<Bytes>> + Send + Sync + 'static,
    ) -> Transport {
        let (seen, answer) = (Arc::clone(&self.seen), Arc::new(answer));
        Transport::new(tower::service_fn(move |request: Request<Bytes>| {
            let (seen, answer) = (Arc::clone(&seen), Arc::clone(&answer));
            async move {
                let turn = seen.lock().unwrap().len();
                let response = answer(&request, turn);
                seen.lock().unwrap().push(request);
                // A turn of the scheduler, so that concurrent callers do meet.
                tokio::task::yield_now().await;
                Ok::<_, BoxError>(response)
            }
        }))
    }

    pub(super) fn sent(&self) -> Vec<Request<Bytes>> {
        self.seen.lock().unwrap().clone()
    }
}

/// A clock that stands still until it is moved.
#[derive(Clone, Default)]
pub(super) struct Hand(Arc<Mutex<Duration>>);

impl Hand {
    pub(super) fn advance(&self, by: Duration) {
        *self.0.lock().unwrap() += by;
    }
}

impl TimeSource for Hand {
    fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + self.monotonic()
    }

    fn monotonic(&self) -> Duration {
        *self.0.lock().unwrap()
    }
}

pub(super) fn answer(status: u16, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    Response::builder().status(status).body(Full::new(body.into())).unwrap()
}

pub(super) fn tokens() -> Value {
    json!({"access_token": SECRET, "token_type": "Bearer", "expires_in": 300, "refresh_token": SECRET})
}

/// All that an error tells to whoever prints it.
pub(super) fn all_it_tells(error: &(dyn StdError + 'static)) -> String {
    let rest = error.source().map(all_it_tells).unwrap_or_default();
    format!("{error} {error:?} {error:#?} {rest}")
}

fn endpoint(transport: Transport) -> TokenEndpoint {
    TokenEndpoint::new("https://id.example/token?tenant=1", ClientAuth::basic("app", SECRET))
        .transport(transport)
}

fn refresh_token() -> SecretString {
    SECRET.into()
}

async fn refresh_error(transport: Transport) -> EndpointError {
    endpoint(transport).validate().unwrap().refresh(&refresh_token()).await.unwrap_err()
}

#[tokio::test]
async fn a_refresh_is_one_form_post() {
    let script = Script::default();
    let transport = script.answering(|_, _| answer(200, tokens().to_string()));

    let hand = Hand::default();
    hand.advance(Duration::from_secs(7));
    let provider = endpoint(transport).validate().unwrap().with_clock(Clock::new(hand));
    // In a task, as a flight does it.
    let set = tokio::spawn(async move { provider.refresh(&"r t+&".into()).await })
        .await
        .unwrap()
        .unwrap();

    assert_eq!(set.access_token.expose(), SECRET);
    assert!(set.issuer.is_none());
    assert_eq!(
        set.obtained_at,
        Some(SystemTime::UNIX_EPOCH + Duration::from_secs(7)),
        "when it was sent"
    );
    let [request] = &script.sent()[..] else { panic!("one request") };
    assert_eq!(
        (request.method().as_str(), request.uri().to_string().as_str()),
        ("POST", "https://id.example/token?tenant=1")
    );
    assert_eq!(request.headers()["content-type"], "application/x-www-form-urlencoded");
    assert_eq!(request.headers()["accept"], "application/json");
    assert!(request.headers()["authorization"].is_sensitive());
    assert_eq!(request.body(), "grant_type=refresh_token&refresh_token=r+t%2B%26");
}

#[tokio::test]
async fn a_public_client_says_who_it_is_in_the_body() {
    let script = Script::default();
    let transport = script.answering(|_, _| answer(200, tokens().to_string()));
    let endpoint = TokenEndpoint::new("https://id.example/token", ClientAuth::none("app"))
        .transport(transport);
    endpoint.validate().unwrap().refresh(&"rt".into()).await.unwrap();
    assert_eq!(script.sent()[0].body(), "grant_type=refresh_token&refresh_token=rt&client_id=app");
    assert!(!script.sent()[0].headers().contains_key("authorization"));
}

#[tokio::test]
async fn a_revocation_names_the_kind_of_token() {
    let script = Script::default();
    let transport = script.answering(|_, turn| match turn {
        0 | 1 => answer(200, ""),
        2 => answer(503, ""),
        _ => answer(400, r#"{"error":"unsupported_token_type"}"#),
    });
    let provider =
        endpoint(transport).revocation_url("https://id.example/revoke").validate().unwrap();
    let revoke = |hint| {
        let provider = provider.clone();
        async move { provider.revoke(&"t".into(), hint).await }
    };

    assert_eq!(revoke(TokenTypeHint::RefreshToken).await.unwrap(), Revocation::Revoked);
    assert_eq!(revoke(TokenTypeHint::AccessToken).await.unwrap(), Revocation::Revoked);
    assert!(matches!(
        revoke(TokenTypeHint::AccessToken).await.unwrap_err().kind(),
        Kind::Unavailable { .. }
    ));
    let refused = revoke(TokenTypeHint::AccessToken).await.unwrap_err();
    assert_eq!(refused.kind(), &Kind::Rejected { code: "unsupported_token_type" });
    assert_eq!(script.sent()[0].uri().path(), "/revoke");
    assert_eq!(script.sent()[0].body(), "token=t&token_type_hint=refresh_token");
    assert_eq!(script.sent()[1].body(), "token=t&token_type_hint=access_token");
}

#[tokio::test]
async fn without_a_revocation_endpoint_nothing_is_sent() {
    let script = Script::default();
    let provider = endpoint(script.answering(|_, _| answer(200, ""))).validate().unwrap();
    let outcome = provider.revoke(&refresh_token(), TokenTypeHint::RefreshToken).await.unwrap();
    assert_eq!(outcome, Revocation::NotSupported);
    assert!(script.sent().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_never_answers_is_given_up_in_time() {
    let silent = Transport::new(tower::service_fn(|_| {
        std::future::pending::<Result<Response<Full<Bytes>>, BoxError>>()
    }));
    let started = tokio_now();
    let error = refresh_error(silent).await;
    assert_eq!((error.kind(), error.may_have_consumed()), (&Kind::NoAnswer, true));
    assert_eq!(tokio_now() - started, Duration::from_secs(15));
}

#[tokio::test(start_paused = true)]
async fn the_limit_holds_for_the_body_too() {
    let dripping = Transport::new(tower::service_fn(|_| async {
        let drops = futures_util::stream::unfold((), |()| async {
            tokio::time::sleep(Duration::from_secs(4)).await;
            Some((Ok::<_, BoxError>(http_body::Frame::data(Bytes::from_static(b" "))), ()))
        });
        Ok::<_, BoxError>(Response::new(http_body_util::StreamBody::new(Box::pin(drops))))
    }));
    let started = tokio_now();
    let error = refresh_error(dripping).await;
    assert_eq!((error.kind(), error.may_have_consumed()), (&Kind::NoAnswer, true));
    assert_eq!(tokio_now() - started, Duration::from_secs(15));
}

#[expect(clippy::disallowed_methods, reason = "tokio's own paused clock is what is measured")]
fn tokio_now() -> tokio::time::Instant {
    tokio::time::Instant::now()
}

#[tokio::test]
async fn an_endless_body_is_refused_at_64_kib() {
    let read = Arc::new(Mutex::new(0_usize));
    let counter = Arc::clone(&read);
    let endless = Transport::new(tower::service_fn(move |_| {
        let counter = Arc::clone(&counter);
        let chunks = futures_util::stream::repeat_with(move || {
            *counter.lock().unwrap() += 4096;
            Ok::<_, BoxError>(http_body::Frame::data(Bytes::from_static(&[b' '; 4096])))
        });
        async move { Ok::<_, BoxError>(Response::new(http_body_util::StreamBody::new(chunks))) }
    }));
    let error = refresh_error(endless).await;
    assert_eq!(error.kind(), &Kind::InvalidResponse { rule: "is over 64 KiB" });
    assert!(error.may_have_consumed());
    assert_eq!(*read.lock().unwrap(), 64 * 1024 + 4096);
}

#[tokio::test]
async fn a_body_announced_as_too_large_is_not_read() {
    let script = Script::default();
    let transport = script.answering(|_, _| {
        let mut response = answer(200, tokens().to_string());
        response.headers_mut().insert("content-length", http::HeaderValue::from_static("65537"));
        response
    });
    assert_eq!(
        refresh_error(transport).await.kind(),
        &Kind::InvalidResponse { rule: "is over 64 KiB" }
    );
}

#[tokio::test]
async fn a_large_error_page_does_not_hide_the_status() {
    let script = Script::default();
    let error = refresh_error(script.answering(|_, _| answer(503, vec![b'x'; 100_000]))).await;
    assert_eq!(
        (error.kind(), error.may_have_consumed()),
        (&Kind::Unavailable { retry_after: None }, false)
    );
}

#[tokio::test]
async fn a_body_that_breaks_off_is_no_answer() {
    for status in [200, 400] {
        let broken = Transport::new(tower::service_fn(move |_| async move {
            let frames = [Ok(http_body::Frame::data(Bytes::from_static(b"{"))), Err("reset")];
            let body = http_body_util::StreamBody::new(futures_util::stream::iter(frames));
            let body = body.map_err(BoxError::from);
            Ok::<_, BoxError>(Response::builder().status(status).body(body).unwrap())
        }));
        let error = refresh_error(broken).await;
        assert_eq!((error.kind(), error.may_have_consumed()), (&Kind::NoAnswer, true), "{status}");
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let script = Script::default();
    let transport = script.answering(|_, _| {
        let mut response = answer(307, "");
        response
            .headers_mut()
            .insert("location", http::HeaderValue::from_static("https://evil.example/"));
        response
    });
    assert_eq!(
        refresh_error(transport).await.kind(),
        &Kind::InvalidResponse { rule: "is a redirect" }
    );
    assert_eq!(script.sent().len(), 1);
}

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
    assert_eq!(id(new().issuer("https://id.example")), "https://id.example");
    assert_eq!(
        id(TokenEndpoint::discover("https://id.example/", ClientAuth::none("app")).lazy()),
        "https://id.example/"
    );
}

#[tokio::test]
async fn nothing_that_can_be_printed_shows_a_secret() {
    let script = Script::default();
    let transport = script.answering(|_, turn| match turn {
        0 => answer(400, json!({"error": SECRET, "error_description": SECRET}).to_string()),
        1 => {
            answer(400, json!({"error": "invalid_grant", "error_description": SECRET}).to_string())
        }
        2 => answer(200, json!({"access_token": SECRET, "token_type": SECRET}).to_string()),
        3 => answer(200, format!("<html>{SECRET}")),
        _ => answer(500, SECRET),
    });
    let url = format!("https://id.example/token?key={SECRET}");
    let endpoint = TokenEndpoint::new(url, ClientAuth::post("app", SECRET)).transport(transport);
    assert!(!format!("{endpoint:?} {:?}", endpoint.validate().unwrap()).contains(SECRET));
    let provider = endpoint.validate().unwrap();
    for turn in 0..5 {
        let error = provider.refresh(&refresh_token()).await.unwrap_err();
        assert!(!all_it_tells(&error).contains(SECRET), "turn {turn}: {error:?}");
    }
}
