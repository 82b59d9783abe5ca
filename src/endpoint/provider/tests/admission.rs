//! How breaker, queue and dead tokens decide whether a refresh is sent.

mod queue;

use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering::SeqCst};

use bytes::Bytes;
use http::Request;
use tokio::sync::Semaphore;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// A provider that answers with the status that a test sets, when the test allows it.
#[derive(Clone)]
pub(super) struct Idp {
    status: Arc<AtomicU16>,
    posts: Arc<AtomicUsize>,
    answers: Arc<Semaphore>,
}

impl Idp {
    pub(super) fn new() -> Self {
        let answers = Arc::new(Semaphore::new(1_000_000));
        Self { status: Arc::new(AtomicU16::new(200)), posts: Arc::default(), answers }
    }

    /// Answers nothing before [`answer`](Self::answer).
    pub(super) fn holding_back() -> Self {
        Self { answers: Arc::new(Semaphore::new(0)), ..Self::new() }
    }

    pub(super) fn set(&self, status: u16) {
        self.status.store(status, SeqCst);
    }

    pub(super) fn posts(&self) -> usize {
        self.posts.load(SeqCst)
    }

    pub(super) fn answer(&self, requests: usize) {
        self.answers.add_permits(requests);
    }

    /// 0: no connection; 1: no answer; 2: a panic.
    fn transport(&self) -> Transport {
        let idp = self.clone();
        Transport::new(tower::service_fn(move |_: Request<Bytes>| {
            let idp = idp.clone();
            async move {
                idp.posts.fetch_add(1, SeqCst);
                idp.answers.acquire().await?.forget();
                match idp.status.load(SeqCst) {
                    0 => Err(BoxError::from(NotSent::new("refused"))),
                    1 => Err("reset".into()),
                    2 => panic!("the transport panics on purpose"),
                    200 => Ok(answer(200, tokens().to_string())),
                    400 => Ok(answer(400, r#"{"error":"invalid_grant"}"#)),
                    401 => Ok(answer(401, r#"{"error":"invalid_client"}"#)),
                    status => Ok(answer(status, "")),
                }
            }
        }))
    }

    fn endpoint(&self, limits: ProviderLimits) -> TokenEndpoint {
        TokenEndpoint::new("https://id.example/token", ClientAuth::none("app"))
            .revocation_url("https://id.example/revoke")
            .limits(limits)
            .transport(self.transport())
    }

    pub(super) fn provider(&self, limits: ProviderLimits) -> (Provider, Hand) {
        let hand = Hand::default();
        (self.endpoint(limits).validate().unwrap().with_clock(Clock::new(hand.clone())), hand)
    }
}

/// One attempt only. The tests of retries are in `retry.rs`.
pub(super) fn once() -> ProviderLimits {
    ProviderLimits::default().attempts(1)
}

pub(super) async fn fail(provider: &Provider) -> EndpointError {
    provider.refresh_always(&"rt".into()).await.unwrap_err()
}

pub(super) fn start(
    provider: &Provider,
) -> tokio::task::JoinHandle<Result<crate::TokenSet, EndpointError>> {
    let provider = provider.clone();
    tokio::spawn(async move { provider.refresh_always(&"rt".into()).await })
}

/// Why this process refused to send, and the wait that the error names.
#[track_caller]
fn refusal(error: &EndpointError) -> (&'static str, Option<Duration>) {
    assert!(!error.may_have_consumed());
    let printed = everything_printed(error);
    let why = [
        "breaker is open",
        "another request",
        "Retry-After",
        "queue is full",
        "waited in the queue",
        "too little time",
    ];
    let why = why
        .into_iter()
        .find(|why| printed.contains(why))
        .unwrap_or_else(|| panic!("sent: {printed}"));
    let Kind::Unavailable { retry_after } = error.kind() else { panic!("{printed}") };
    (why, *retry_after)
}

pub(super) async fn open(idp: &Idp, provider: &Provider) {
    idp.set(0);
    let before = idp.posts();
    for _ in 0..5 {
        assert_eq!(fail(provider).await.kind(), &Kind::Unreachable);
    }
    assert_eq!(idp.posts(), before + 5);
    assert_eq!(refusal(&fail(provider).await).0, "breaker is open");
    assert_eq!(idp.posts(), before + 5);
}

#[tokio::test]
async fn five_transient_failures_of_any_kind_open_the_breaker() {
    let idp = Idp::new();
    let (provider, _) = idp.provider(once());
    for status in [0, 1, 502, 500, 503] {
        idp.set(status);
        fail(&provider).await;
    }
    idp.set(200);
    let (why, rest) = refusal(&fail(&provider).await);
    assert_eq!((why, idp.posts()), ("breaker is open", 5));
    assert!((SECOND / 2..=SECOND).contains(&rest.unwrap()));
}

#[tokio::test]
async fn a_provider_that_gives_tokens_or_refuses_is_up() {
    for status in [200, 400, 401, 403, 307] {
        let idp = Idp::new();
        let (provider, hand) = idp.provider(once());
        for _ in 0..3 {
            idp.set(502);
            for _ in 0..4 {
                fail(&provider).await;
            }
            idp.set(status);
            assert_eq!(provider.refresh_always(&"rt".into()).await.is_ok(), status == 200);
            hand.advance(SECOND * 30);
        }
        assert_eq!(idp.posts(), 15, "{status}");
        idp.set(status);
        for _ in 0..20 {
            assert_eq!(provider.refresh_always(&"rt".into()).await.is_ok(), status == 200);
            hand.advance(SECOND * 30);
        }
        assert_eq!(idp.posts(), 35, "{status}");
    }
}

#[tokio::test]
async fn after_the_pause_one_probe_passes_and_its_success_closes_the_breaker() {
    let idp = Idp::holding_back();
    idp.answer(5);
    let (provider, hand) = idp.provider(once());
    open(&idp, &provider).await;

    hand.advance(SECOND);
    idp.set(200);
    let probe = start(&provider);
    settle().await;
    assert_eq!(idp.posts(), 6);
    for _ in 0..10 {
        assert_eq!(refusal(&fail(&provider).await), ("another request", Some(SECOND)));
    }
    assert_eq!(idp.posts(), 6);
    idp.answer(100);
    assert!(probe.await.unwrap().is_ok());
    for _ in 0..10 {
        provider.refresh_always(&"rt".into()).await.unwrap();
    }
}

#[tokio::test]
async fn pauses_double_until_the_provider_is_back() {
    let idp = Idp::new();
    let (provider, hand) = idp.provider(once());
    open(&idp, &provider).await;
    for pause in [1, 2, 4, 5, 5] {
        let (_, rest) = refusal(&fail(&provider).await);
        let step = SECOND * pause;
        assert!((step / 2..=step).contains(&rest.unwrap()), "{pause}: {rest:?}");
        hand.advance(rest.unwrap() - Duration::from_nanos(1));
        assert_eq!(refusal(&fail(&provider).await).1, Some(Duration::from_nanos(1)));
        hand.advance(Duration::from_nanos(1));
        assert_eq!(fail(&provider).await.kind(), &Kind::Unreachable, "the probe");
    }
}

#[tokio::test]
async fn a_probe_that_is_cancelled_or_panics_leaves_its_place_to_the_next() {
    let idp = Idp::holding_back();
    idp.answer(5);
    let (provider, hand) = idp.provider(once());
    open(&idp, &provider).await;
    hand.advance(SECOND);
    let cancelled = start(&provider);
    settle().await;
    assert_eq!(idp.posts(), 6);
    assert_eq!(refusal(&fail(&provider).await).0, "another request");
    cancelled.abort();
    assert!(cancelled.await.unwrap_err().is_cancelled());

    idp.set(2);
    idp.answer(2);
    assert!(start(&provider).await.unwrap_err().is_panic());
    idp.set(200);
    assert!(provider.refresh_always(&"rt".into()).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_retry_after_is_kept_even_after_one_failure() {
    let script = Script::default();
    let transport = script.answering(|_, turn| match turn {
        0 => {
            let mut response = answer(503, "");
            response.headers_mut().insert("retry-after", http::HeaderValue::from_static("86400"));
            response
        }
        _ => answer(200, tokens().to_string()),
    });
    let hand = Hand::default();
    let provider = endpoint(transport).validate().unwrap().with_clock(Clock::new(hand.clone()));
    assert!(matches!(fail(&provider).await.kind(), Kind::Unavailable { .. }));
    hand.advance(SECOND * 284);
    let (why, rest) = refusal(&fail(&provider).await);
    assert_eq!((why, rest), ("Retry-After", Some(SECOND * 16)), "5 min at the most");
    assert_eq!(script.sent().len(), 1);
    hand.advance(SECOND);
    let started = tokio_now();
    assert!(provider.refresh_always(&"rt".into()).await.is_ok());
    assert_eq!(tokio_now() - started, SECOND * 15, "a short one is waited for");
}

#[tokio::test]
async fn a_429_holds_back_the_login_that_got_it_and_three_hold_back_all() {
    let script = Script::default();
    let transport = script.answering(|_, _| {
        let mut response = answer(429, "");
        response.headers_mut().insert("retry-after", http::HeaderValue::from_static("60"));
        response
    });
    let hand = Hand::default();
    let provider = endpoint(transport).validate().unwrap().with_clock(Clock::new(hand));
    for (login, sent) in [("a", 1), ("a", 2), ("b", 3), ("c", 4)] {
        let error = provider.refresh_always(&login.into()).await.unwrap_err();
        assert_eq!(error.kind(), &Kind::TryLater { retry_after: Some(SECOND * 60) });
        assert_eq!(script.sent().len(), sent);
    }
    let (why, rest) = refusal(&provider.refresh_always(&"d".into()).await.unwrap_err());
    assert_eq!((why, rest), ("Retry-After", Some(SECOND * 60)));
}

#[tokio::test]
async fn one_token_that_gets_500s_does_not_hold_up_the_others() {
    let idp = Idp::new();
    let (provider, _) = idp.provider(once());
    idp.set(500);
    for _ in 0..20 {
        assert!(matches!(fail(&provider).await.kind(), Kind::Unavailable { .. }));
    }
    idp.set(200);
    assert!(provider.refresh_always(&"another".into()).await.is_ok());
    assert_eq!(idp.posts(), 21);
}

#[tokio::test]
async fn what_is_refused_to_three_logins_is_not_asked_for_by_everybody() {
    let idp = Idp::new();
    let (provider, hand) = idp.provider(once());
    idp.set(307);
    for login in ["a", "b", "c", "d", "e"] {
        let error = provider.refresh_always(&login.into()).await.unwrap_err();
        assert_eq!(error.kind(), &Kind::InvalidResponse { rule: "is a redirect" });
    }
    assert_eq!(idp.posts(), 3);
    idp.set(200);
    hand.advance(SECOND);
    assert!(provider.refresh_always(&"d".into()).await.is_ok());
    assert!(provider.refresh_always(&"e".into()).await.is_ok());
}

#[tokio::test]
async fn clones_of_a_provider_share_its_state_and_those_of_its_settings_do_not() {
    let idp = Idp::new();
    let endpoint = idp.endpoint(once());
    let first = endpoint.validate().unwrap();
    open(&idp, &first).await;
    assert_eq!(refusal(&fail(&first.clone()).await).0, "breaker is open");
    idp.set(200);
    for settings in [endpoint.clone(), endpoint, idp.endpoint(once())] {
        assert!(settings.validate().unwrap().refresh_always(&"rt".into()).await.is_ok());
    }
}

#[tokio::test]
async fn a_revocation_is_sent_whatever_the_breaker_and_tells_it_nothing() {
    let idp = Idp::new();
    let (provider, _) = idp.provider(once().concurrent(1..=1).queue(0));
    open(&idp, &provider).await;
    let posts = idp.posts();
    idp.set(200);
    assert!(provider.revoke(&"rt".into(), TokenTypeHint::RefreshToken).await.is_ok());
    assert_eq!(idp.posts(), posts + 1);
    assert_eq!(refusal(&fail(&provider).await).0, "breaker is open");
}

#[tokio::test]
async fn a_refused_refresh_token_is_not_presented_again_for_30_s() {
    let idp = Idp::new();
    let (provider, hand) = idp.provider(ProviderLimits::default());
    idp.set(400);
    assert_eq!(fail(&provider).await.kind(), &Kind::InvalidGrant);
    idp.set(200);
    hand.advance(SECOND * 29);
    let error = fail(&provider).await;
    assert_eq!(
        (error.kind(), error.may_have_consumed(), idp.posts()),
        (&Kind::InvalidGrant, false, 1)
    );
    assert!(provider.refresh_always(&"another".into()).await.is_ok());
    hand.advance(SECOND);
    assert!(provider.refresh_always(&"rt".into()).await.is_ok());
    assert!(
        !format!("{provider:?} {:?}", provider.admission).contains("dead"),
        "nothing of a token is shown"
    );
}

pub(super) async fn settle() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}
