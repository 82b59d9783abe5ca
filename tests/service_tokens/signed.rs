//! Tokens for an assertion that the application signs (RFC 7523, section 2.1).

use std::{
    collections::HashSet,
    error::Error,
    io,
    sync::{Arc, Mutex},
};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use serde_json::{Value, json};
use support::LIFE;
use tower_token_refresh::{
    ClientAuth, ConfigError, JwtBearer, RefreshErrorKind, ServiceTokens, SigningAlgorithm,
    SigningKeySource, TokenEndpoint, TokenTarget, Transport,
    testing::{ManualClock, StrictIssuer},
};

use crate::keys::Pair;

const NAME: &str = "mailer@project.iam.example";

struct Account {
    issuer: StrictIssuer,
    clock: ManualClock,
    pair: Pair,
    /// The forms that the provider has got.
    sent: Arc<Mutex<Vec<Bytes>>>,
}

impl Account {
    fn new() -> Self {
        let (clock, pair) = (ManualClock::new(), Pair::rsa());
        let issuer = StrictIssuer::builder()
            .clock(clock.clock())
            .access_token_lifetime(LIFE)
            .public_client(NAME)
            .service_account(NAME, &pair.public)
            .build();
        Self { issuer, clock, pair, sent: Arc::default() }
    }

    fn tokens(&self, bearer: JwtBearer) -> Result<ServiceTokens, ConfigError> {
        let (issuer, sent) = (self.issuer.clone(), self.sent.clone());
        let transport = Transport::new(tower::service_fn(move |request: Request<Bytes>| {
            sent.lock().unwrap().push(request.body().clone());
            let answer = issuer.handle(request).map(Full::new);
            async move { Ok::<_, io::Error>(answer) }
        }));
        let endpoint = TokenEndpoint::new(self.issuer.token_url(), ClientAuth::none(NAME));
        ServiceTokens::builder(endpoint.transport(transport))
            .jwt_bearer(bearer)
            .target(TokenTarget::new().scope("email"))
            .clock(self.clock.clock())
            .build()
    }

    fn bearer(&self) -> JwtBearer {
        JwtBearer::new(self.pair.key(SigningAlgorithm::Rs256), NAME)
    }

    fn key_file(&self) -> String {
        json!({
            "type": "service_account",
            "client_email": NAME,
            "private_key": self.pair.pem,
            "private_key_id": "2026-01",
        })
        .to_string()
    }

    fn assertions(&self) -> Vec<String> {
        let sent = self.sent.lock().unwrap();
        let fields = sent.iter().flat_map(|form| url::form_urlencoded::parse(form));
        fields.filter(|(name, _)| name == "assertion").map(|(_, jwt)| jwt.into_owned()).collect()
    }
}

fn part(jwt: &str, index: usize) -> Value {
    let part = jwt.split('.').nth(index).expect("a JWT");
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

#[tokio::test]
async fn each_request_has_a_new_assertion_for_the_token_endpoint() {
    let account = Account::new();
    let tokens = account.tokens(account.bearer()).expect("the settings agree");
    for _ in 0..3 {
        let token = tokens.token().await.expect("a token");
        assert_eq!(token.subject(), Some(&*account.issuer.subject_of(NAME)));
        account.clock.advance(LIFE);
    }
    let assertions = account.assertions();
    assert_eq!(assertions.iter().collect::<HashSet<_>>().len(), 3);
    let claims = part(&assertions[0], 1);
    assert_eq!(claims["aud"], account.issuer.token_url());
    assert_eq!((&claims["iss"], &claims["sub"]), (&json!(NAME), &json!(NAME)));
    assert_eq!(claims["scope"], Value::Null, "it is in the form");
    let life = claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap();
    assert!(life <= 300, "{life} s");
}

#[tokio::test]
async fn a_request_that_is_sent_again_has_a_new_one_as_well() {
    let account = Account::new();
    let tokens = account.tokens(account.bearer()).expect("the settings agree");
    account.issuer.fail_next(503, "later");
    tokens.token().await.expect("a token");
    let assertions = account.assertions();
    assert_eq!(assertions.len(), 2);
    assert_ne!(part(&assertions[0], 1)["jti"], part(&assertions[1], 1)["jti"]);
}

#[tokio::test]
async fn a_google_key_file_is_all_that_it_needs() {
    let account = Account::new();
    let bearer = JwtBearer::google(&account.key_file()).expect("a key file");
    let tokens = account.tokens(bearer.subject(NAME)).expect("the settings agree");
    tokens.token().await.expect("a token");
    let assertion = &account.assertions()[0];
    assert_eq!(part(assertion, 0)["kid"], "2026-01");
    assert_eq!(part(assertion, 1)["scope"], "email");
}

#[test]
fn a_broken_key_file_is_refused_and_not_shown() {
    let account = Account::new();
    let file = account.key_file();
    for broken in [
        "",
        "s3cret",
        "{\"private_key\": \"s3cret\"}",
        &file.replace("client_email", "s3cret"),
        &file.replace("PRIVATE KEY", "PUBLIC KEY"),
        &file.replace("MII", "s3cret"),
    ] {
        let error = JwtBearer::google(broken).expect_err("no such file");
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains("s3cret") && !shown.contains("MII"), "{shown}");
    }
}

#[tokio::test]
async fn a_key_that_the_provider_does_not_know_is_a_wrong_setting() {
    let account = Account::new();
    let other = Pair::rsa().key(SigningAlgorithm::Rs256);
    let tokens = account.tokens(JwtBearer::new(other, NAME)).expect("the settings agree");
    let error = tokens.token().await.expect_err("an unknown key");
    assert_eq!(error.kind(), RefreshErrorKind::Misconfigured);
    assert!(error.to_string().contains("jwt-bearer"), "{error}");
}

#[tokio::test]
async fn a_key_that_cannot_be_had_sends_nothing_and_is_tried_again() {
    let account = Account::new();
    let key = SigningKeySource::from_fn(async || Err(io::Error::other("the vault is sealed")));
    let tokens = account.tokens(JwtBearer::new(key, NAME)).expect("the settings agree");
    let error = tokens.token().await.expect_err("there is no key");
    assert_eq!(error.kind(), RefreshErrorKind::Unavailable);
    let mut sources = std::iter::successors(error.source(), |&error| error.source());
    assert!(sources.any(|source| source.to_string().contains("the vault is sealed")));
    assert!(account.assertions().is_empty());
}

#[test]
fn what_is_empty_is_found_when_it_is_built() {
    let account = Account::new();
    let key = || account.pair.key(SigningAlgorithm::Rs256);
    for (bearer, named) in [
        (JwtBearer::new(key(), ""), "the issuer of a JwtBearer"),
        (JwtBearer::new(key(), NAME).subject(""), "the subject of a JwtBearer"),
        (JwtBearer::new(key(), NAME).audience(""), "the audience of a JwtBearer"),
    ] {
        let error = account.tokens(bearer).expect_err(named).to_string();
        assert!(error.contains(named), "{error}");
    }
}

#[tokio::test]
async fn a_clock_that_is_a_little_ahead_harms_nothing() {
    let account = Account::new();
    let ahead = ManualClock::new();
    ahead.advance(std::time::Duration::from_secs(2));
    let endpoint = TokenEndpoint::new(account.issuer.token_url(), ClientAuth::none(NAME))
        .transport(account.issuer.transport());
    let tokens = ServiceTokens::builder(endpoint)
        .jwt_bearer(account.bearer())
        .clock(ahead.clock())
        .build()
        .expect("the settings agree");
    tokens.token().await.expect("a token");
}
