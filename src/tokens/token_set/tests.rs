use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use oauth2::{RefreshToken, TokenResponse as _, basic::BasicTokenResponse};
use openidconnect::core::CoreTokenResponse;
use proptest::prelude::*;
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use super::*;

const SECRET: &str = "hunter2hunter2";

fn jwt(payload: Value) -> String {
    format!("eyJhbGciOiJSUzI1NiJ9.{}.c2ln", URL_SAFE_NO_PAD.encode(payload.to_string()))
}

fn with(field: &str, value: Value) -> Result<TokenSet, TokenSetError> {
    let mut response = json!({"access_token": SECRET, "token_type": "Bearer"});
    response[field] = value;
    TokenSet::from_response(response)
}

fn rule_broken_by(field: &str, value: Value) -> &'static str {
    match with(field, value).unwrap_err() {
        TokenSetError::Field { field: named, rule } => {
            assert_eq!(named, field);
            rule
        }
        other => panic!("{other}"),
    }
}

#[test]
fn the_response_of_openidconnect_is_read_by_value_and_by_reference() {
    let id_token = jwt(
        json!({"iss": "https://id.example", "sub": "alice", "aud": "web", "exp": 2, "iat": 1, "sid": "s-1"}),
    );
    let response: CoreTokenResponse = serde_json::from_value(json!({
        "access_token": "at-1", "token_type": "Bearer", "expires_in": 300, "refresh_token": "rt-1",
        "scope": "openid email", "id_token": id_token
    }))
    .unwrap();

    TokenSet::from_response(&response).unwrap();
    let set = TokenSet::from_response(response).unwrap();

    assert_eq!(set.access_token.expose(), "at-1");
    assert_eq!(set.refresh_token.unwrap().expose_secret(), "rt-1");
    assert_eq!(set.id_token.unwrap().expose_secret(), id_token);
    assert_eq!(set.expires_in, Some(Duration::from_secs(300)));
    assert_eq!((set.subject.as_deref(), set.sid.as_deref()), (Some("alice"), Some("s-1")));
    assert_eq!(set.scope.as_deref(), Some("openid email"));
    assert!(set.expires_at.is_none() && set.obtained_at.is_none());
}

#[test]
fn the_response_of_oauth2_is_read() {
    let mut response: BasicTokenResponse =
        serde_json::from_value(json!({"access_token": "at-1", "token_type": "bearer"})).unwrap();
    response.set_refresh_token(Some(RefreshToken::new("rt-1".into())));
    assert!(response.expires_in().is_none());

    let set = TokenSet::from_response(&response).unwrap();

    assert_eq!(set.refresh_token.unwrap().expose_secret(), "rt-1");
    assert!(set.id_token.is_none() && set.subject.is_none() && set.expires_in.is_none());
}

#[test]
fn expires_in_counts_if_it_is_a_number_or_a_string_of_one() {
    let life = |value| with("expires_in", value).unwrap().expires_in;
    assert_eq!(life(json!(300)), Some(Duration::from_secs(300)));
    assert_eq!(life(json!(299.5)), Some(Duration::from_millis(299_500)));
    assert_eq!(life(json!("3600")), Some(Duration::from_secs(3600)));
    assert_eq!(life(json!(null)), None);
    assert_eq!(life(json!(u64::MAX)), Some(LONGEST_LIFE));
    assert_eq!(life(json!(1e300)), Some(LONGEST_LIFE));
    for over in [json!(0), json!(-1), json!(1e-30), json!("0")] {
        assert_eq!(life(over.clone()), Some(Duration::ZERO), "{over}");
    }
    for nonsense in [json!("soon"), json!("NaN"), json!("inf"), json!([300])] {
        assert_eq!(life(nonsense.clone()), None, "{nonsense}");
    }
}

#[test]
fn refresh_expires_in_of_zero_means_no_limit() {
    let life = |value| with("refresh_expires_in", value).unwrap().refresh_expires_in;
    assert_eq!(life(json!(1800)), Some(Duration::from_secs(1800)));
    assert_eq!(life(json!("1800")), Some(Duration::from_secs(1800)));
    assert_eq!(life(json!(0)), None);
    assert_eq!(life(json!("never")), None);
    assert!(with("refresh_token_expires_in", json!(60)).unwrap().refresh_expires_in.is_some());
}

#[test]
fn a_token_that_needs_a_proof_of_possession_is_not_taken() {
    assert!(with("token_type", json!("bEARER")).is_ok());
    let rule = "is neither bearer nor DPoP: its tokens need another proof of possession";
    assert_eq!(rule_broken_by("token_type", json!("mac")), rule);
}

#[test]
fn an_access_token_must_fit_into_a_header() {
    assert!(with("access_token", json!("a|b~c=")).is_ok());
    for missing in [json!(""), json!(null), json!(7)] {
        assert_eq!(rule_broken_by("access_token", missing), "is missing, empty or not a string");
    }
    for bad in ["a b", "a\r\nSet-Cookie: x", "t\u{f6}ken", "\u{7f}"] {
        assert_eq!(
            rule_broken_by("access_token", json!(bad)),
            "holds a character that is not visible ASCII"
        );
    }
}

#[test]
fn an_empty_refresh_token_is_none() {
    assert!(with("refresh_token", json!("")).unwrap().refresh_token.is_none());
    assert!(with("id_token", json!("")).unwrap().id_token.is_none());
}

#[test]
fn a_jwt_says_itself_when_it_expires() {
    let token = jwt(json!({"exp": 1_700_000_300, "sub": "alice", "sid": 7}));
    let set = with("access_token", json!(token)).unwrap();
    assert_eq!(
        set.jwt_expires_at,
        SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(1_700_000_300))
    );
    assert_eq!((set.subject.as_deref(), set.sid.as_deref()), (Some("alice"), Some("7")));
    for exp in [json!(-5), json!(0), json!(1e300), json!("x")] {
        let set = with("access_token", json!(jwt(json!({"exp": exp})))).unwrap();
        assert_eq!(set.jwt_expires_at, None, "{exp}");
    }
}

/// Our clock is ahead: the token had expired when it was new, or nearly.
#[test]
fn a_jwt_that_expired_at_birth_is_judged_by_the_providers_date() {
    let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    let token = jwt(json!({"exp": 1_700_000_300}));
    let expires = |date, sent_at| {
        let set = with("access_token", json!(token)).unwrap();
        set.with_provider_date(date, sent_at).jwt_expires_at.unwrap()
    };
    let ours = at(1_700_003_600);
    assert_eq!(expires(Some(at(1_700_000_000)), ours), ours + Duration::from_secs(300));
    let exp = at(1_700_000_300);
    assert_eq!(expires(None, ours), exp, "nobody says that our clock is wrong");
    assert_eq!(expires(Some(at(1_700_000_301)), ours), exp, "it has expired there, too");
    let late = at(1_700_000_290);
    let by_date = late + Duration::from_secs(300);
    assert_eq!(expires(Some(at(1_700_000_000)), late), by_date, "no new token each second");
    let in_time = at(1_700_000_100);
    assert_eq!(expires(Some(at(1_700_000_000)), in_time), exp, "it is good by our clock");
    assert_eq!(expires(Some(at(1_600_000_000)), late), exp, "the provider's clock is wrong");
}

#[test]
fn the_id_tokens_subject_wins_over_the_access_tokens() {
    let response = json!({
        "access_token": jwt(json!({"sub": "pairwise-at-the-api", "sid": "s-1"})),
        "id_token": jwt(json!({"sub": "alice"})), "token_type": "Bearer"
    });
    let set = TokenSet::from_response(response).unwrap();
    assert_eq!((set.subject.as_deref(), set.sid.as_deref()), (Some("alice"), Some("s-1")));
}

#[test]
fn what_is_no_object_is_refused() {
    assert!(matches!(TokenSet::from_json("[]"), Err(TokenSetError::NotJson { .. })));
    assert!(matches!(TokenSet::from_json(""), Err(TokenSetError::NotJson { .. })));
}

#[test]
fn setters_win() {
    let at = SystemTime::UNIX_EPOCH + Duration::from_secs(9);
    let set = with("scope", json!(["a", "b"]))
        .unwrap()
        .with_subject("s")
        .with_obtained_at(at)
        .with_expires_at(at)
        .with_refresh_expires_in(Duration::from_secs(1800));
    assert_eq!(set.refresh_expires_in, Some(Duration::from_secs(1800)));
    assert_eq!(set.subject.as_deref(), Some("s"));
    assert_eq!(
        (set.obtained_at, set.expires_at, set.scope.as_deref()),
        (Some(at), Some(at), Some("a b"))
    );
}

#[test]
fn debug_shows_no_token() {
    let mut set = with("refresh_token", json!(SECRET)).unwrap().with_subject(SECRET);
    set.id_token = Some(SECRET.into());
    set.sid = Some(SECRET.into());
    assert!(!format!("{set:?} {set:#?}").contains(SECRET));
}

proptest! {
    #[test]
    fn any_bytes_are_tokens_or_an_error(bytes: Vec<u8>, text in ".*") {
        let _ = TokenSet::from_json(bytes);
        let _ = TokenSet::from_json(text);
    }

    #[test]
    fn no_error_quotes_a_value(field in 0..8_usize, shape in 0..5_u8, number: f64) {
        let value = match shape {
            0 => json!(format!("{SECRET} \n")),
            1 => json!([SECRET]),
            2 => json!({SECRET: SECRET}),
            3 => json!(number),
            _ => json!(true),
        };
        let field = ["access_token", "token_type", "expires_in", "refresh_token", "refresh_expires_in", "id_token",
            "scope", "refresh_token_expires_in"][field];
        match with(field, value.clone()) {
            Ok(set) => assert!(!format!("{set:?}").contains(SECRET) || field == "scope"),
            Err(error) => assert!(!format!("{error} {error:?}").contains(SECRET)),
        }
        let cut = json!({"access_token": SECRET, field: value}).to_string();
        for end in 0..cut.len() {
            if let Err(error) = TokenSet::from_json(&cut.as_bytes()[..end]) {
                assert!(!format!("{error} {error:?}").contains(SECRET));
            }
        }
    }
}
