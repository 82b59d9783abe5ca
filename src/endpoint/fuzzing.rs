//! What a provider may send goes in here, and what may be printed of it comes out. For `tests/fuzz`,
//! and there only with `--cfg fuzzing`. A broken promise is a panic.

use std::{
    collections::HashMap,
    error::Error as StdError,
    fmt::Debug,
    sync::LazyLock,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use futures_util::{FutureExt, stream};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::StreamBody;
use serde_json::{Value, json};
use tokio::runtime::{Builder, Runtime};

use super::{
    ClientAuth, EndpointError, EndpointErrorKind as Kind, Expected, Granted, Issuers, KeysError,
    Transport, VerifyError,
    discovery::{address::SchemeRule, parse},
    exchange::{Answer, Exchange, FETCH_NET},
    jwt::{Jwt, KeySet},
    response,
    transport::BoxError,
};
use crate::{
    back_channel::read_logout_token,
    error::LONGEST_RETRY_AFTER,
    token_store::{Nonce, RecordState, SealKeys, TokenRecord, codec::Codec},
    tokens::{GrantTokens, NewRefreshToken, RecordKey, Roles, StandardClaims, TokenSet, claims},
};

const ISSUER: &str = "https://id.example";
const DOCUMENT: &str = "https://id.example/.well-known/openid-configuration";
const CLIENT: &str = "web";
const KEY: RecordKey = RecordKey::from_bytes([7; 16]);
const MINUTE: Duration = Duration::from_secs(60);
const ALGORITHMS: [&str; 10] =
    ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA", "HS256"];

/// With another tenant's, by the rule that reads the most of a token.
fn issuers() -> Issuers {
    Issuers::new(ISSUER, &["https://id.example/{tenantid}".to_owned()])
}

/// What may be printed of an input.
#[derive(Debug, Default)]
pub struct Told {
    /// The error in its own words. Empty if there is none.
    pub message: String,
    /// All that the error and its sources print. If there is no error: what `Debug` prints of the
    /// result, without the fields that it may show.
    pub everything: String,
}

impl Told {
    fn by_error(error: &(dyn StdError + 'static)) -> Self {
        Self { message: error.to_string(), everything: everything_printed(error) }
    }

    fn by_success(value: impl Debug) -> Self {
        Self { message: String::new(), everything: format!("{value:?} {value:#?}") }
    }

    fn by<T, E: StdError + 'static>(result: Result<T, E>) -> Self {
        result.map_or_else(|error| Self::by_error(&error), |_| Self::default())
    }
}

fn everything_printed(error: &(dyn StdError + 'static)) -> String {
    let rest = error.source().map(everything_printed).unwrap_or_default();
    format!("{error} {error:?} {error:#?} {rest}")
}

/// An answer on its way.
#[derive(Debug, Clone, Default)]
pub struct Sent {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, in the pieces that arrive.
    pub pieces: Vec<Bytes>,
    /// Whether the connection breaks after the last piece.
    pub breaks_off: bool,
}

/// Reads at most `max_bytes` of an answer: to a refresh, to a revocation, and to a request for a
/// document.
#[must_use]
pub fn answer(sent: &Sent, max_bytes: usize) -> [Told; 3] {
    let answer = exchanged(sent.clone(), max_bytes);
    let length = answer.body.as_ref().map_or(0, Bytes::len);
    assert!(length <= max_bytes, "{length} bytes were kept");
    let again = || Answer {
        status: answer.status,
        headers: answer.headers.clone(),
        body: answer.body.clone(),
    };
    let documented = response::document_answer(again()).map_err(explained);
    let revoked = response::revocation_answer(&again()).map_err(explained);
    [granted(again()), Told::by(revoked), Told::by(documented)]
}

fn exchanged(sent: Sent, max_bytes: usize) -> Answer {
    let transport = Transport::new(tower::service_fn(move |_: Request<Bytes>| {
        let Sent { status, headers, pieces, breaks_off } = sent.clone();
        let broken = breaks_off.then(|| Err(BoxError::from("the connection broke")));
        let frames = pieces.into_iter().map(|piece| Ok(Frame::data(piece))).chain(broken);
        let mut response = Response::new(StreamBody::new(stream::iter(frames)));
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        std::future::ready(Ok::<_, BoxError>(response))
    }));
    let headers = HeaderMap::new();
    let exchange = Exchange { transport, limit: FETCH_NET, max_answer: max_bytes, headers };
    static RUNTIME: LazyLock<Runtime> =
        LazyLock::new(|| Builder::new_current_thread().enable_time().build().expect("a runtime"));
    let _entered = RUNTIME.enter();
    // Nothing here waits.
    let sent = exchange.send(Request::new(Bytes::new()), max_bytes).now_or_never();
    sent.expect("an answer at once").unwrap_or_else(|error| panic!("{error}"))
}

fn explained(error: EndpointError) -> EndpointError {
    if let Kind::Unavailable { retry_after } | Kind::TryLater { retry_after } = error.kind() {
        assert!(retry_after.is_none_or(|wait| wait <= LONGEST_RETRY_AFTER));
    }
    ClientAuth::none(CLIENT).explain(error, Some("refresh_token"))
}

fn granted(answer: Answer) -> Told {
    let date = response::date(&answer.headers);
    match response::token_answer(answer, "", None) {
        Ok(Granted::Tokens(set)) => {
            let set = set.with_provider_date(date, now());
            kept(set.clone(), None);
            // Everybody may see the scope.
            Told::by_success(TokenSet { scope: None, ..set })
        }
        Ok(Granted::RefreshTokenOnly(new, error)) => {
            let old = TokenSet::from_json(r#"{"access_token":"at"}"#).expect("tokens");
            kept(old, Some(new));
            Told::by_error(&explained(error))
        }
        Err(error) => Told::by_error(&explained(error)),
    }
}

/// What a provider has given comes out of its record as it went in, at log in and after a refresh.
fn kept(set: TokenSet, new: Option<NewRefreshToken>) {
    let first = GrantTokens::first(set.clone(), ISSUER.into(), now(), MINUTE);
    let next = match new {
        None => first.next(set, now(), MINUTE),
        Some(new) => first.with_refresh_token(new, now()),
    };
    for tokens in [first, next] {
        let codec = Codec::new(None);
        let record = codec.encode(KEY, &tokens, RecordState::Live, Nonce::random(), now());
        let record = record.expect("encoded");
        let text = record.to_text();
        let read = TokenRecord::from_text(&text).expect("a record");
        assert!(read.to_text() == text, "another record came out");
        let opened = codec.open(KEY, &read).expect("opened");
        assert!(opened.access_token.expose() == tokens.access_token.expose());
        used(&opened);
    }
}

/// No time in a set is too odd to reckon with.
fn used(tokens: &GrantTokens) {
    for ahead in [Duration::ZERO, MINUTE, Duration::MAX] {
        let _ = tokens.lifetime().standing_at(now(), MINUTE, ahead, || 0.5);
    }
    let _ = (tokens.generation.next(), tokens.lifetime().whole());
}

fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(2_000_000_000)
}

/// The body of a login's token response, as the application hands it over.
#[must_use]
pub fn token_set(body: &[u8]) -> Told {
    match TokenSet::from_json(body) {
        Ok(set) => Told::by_success(TokenSet { scope: None, ..set }),
        Err(error) => Told::by_error(&error),
    }
}

/// A discovery document.
#[must_use]
pub fn discovery(body: &[u8]) -> Told {
    Told::by(parse(&issuers(), DOCUMENT, body, &SchemeRule::default()))
}

/// A set of keys, and signatures that nobody has made with them.
#[must_use]
pub fn key_set(body: &[u8]) -> Told {
    let keys = match KeySet::parse(body) {
        Ok(keys) => keys,
        Err(error) => {
            let error = KeysError::NotAKeySet { line: error.line, column: error.column };
            return Told::by_error(&VerifyError::Keys(error));
        }
    };
    for header in
        ALGORITHMS.iter().flat_map(|alg| [json!({"alg": alg}), json!({"alg": alg, "kid": "k"})])
    {
        for signature in [86, 128, 342] {
            let token = format!("{}.e30.{}", part(&header), "A".repeat(signature));
            let jwt = Jwt::parse(&token).expect("a JWT");
            // A weak key of the provider's own may fit.
            let _ = jwt.check_signature(&keys);
        }
    }
    Told::default()
}

/// A JWT, as an ID token, an access token and a logout token, and the claims that it holds without
/// a signature.
#[must_use]
pub fn jwt(token: &str, keys: &[u8]) -> Vec<Told> {
    let keys = KeySet::parse(keys).unwrap_or_else(|_| panic!("a key set"));
    let issuers = issuers();
    let logout = Expected {
        types: &["logout+jwt", "jwt"],
        required: &["iss", "aud", "iat", "events"],
        ..Expected::access_token(&issuers, Some(CLIENT))
    };
    let stale = Expected { may_have_expired: true, ..Expected::access_token(&issuers, None) };
    let of_id = Expected::id_token(Some(&issuers), CLIENT);
    let mut told: Vec<_> = [of_id, stale]
        .iter()
        .map(|expected| {
            Told::by(Jwt::parse(token).and_then(|jwt| {
                let claims = jwt.check_claims(expected, now());
                let signature = jwt.check_signature(&keys);
                assert!(signature.is_err(), "nobody signed this");
                claims.and(signature)
            }))
        })
        .collect();
    if let Ok(jwt) = Jwt::parse(token)
        && jwt.check_claims(&logout, now()).is_ok()
    {
        told.push(Told::by(read_logout_token(&jwt.into_claims(), now())));
    }
    told.push(match claims::payload::<StandardClaims>(token) {
        // Everybody may see these.
        Ok(claims) => Told::by_success(StandardClaims {
            iss: None,
            aud: Vec::new(),
            azp: None,
            scope: None,
            realm_access: Roles::default(),
            resource_access: HashMap::new(),
            ..claims
        }),
        Err(error) => Told::by_error(&error),
    });
    told.push(Told::by(claims::payload::<Value>(token)));
    told
}

/// A token record. No provider writes one, but whoever can write to the store does.
#[must_use]
pub fn record(text: &str) -> Vec<Told> {
    let record = match TokenRecord::from_text(text) {
        Ok(record) => record,
        Err(error) => return vec![Told::by_error(&error)],
    };
    let again = TokenRecord::from_text(&record.to_text());
    assert!(again.is_ok_and(|again| again.version() == record.version()), "another came out");
    let codecs = [Codec::new(None), Codec::new(Some(SealKeys::new([1; 32])))];
    let opened = codecs.iter().map(|codec| codec.open(KEY, &record).inspect(used));
    let mut told: Vec<_> = opened.map(Told::by).collect();
    told.push(Told::by_success(&record));
    told
}

fn part(json: &Value) -> String {
    use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
    BASE64_URL_SAFE_NO_PAD.encode(json.to_string())
}
