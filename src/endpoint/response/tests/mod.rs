//! Each row of the table.

mod foreign_input;

use http::HeaderValue;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::endpoint::test_support::{SECRET, everything_printed, tokens};

fn outcome_with(
    headers: &[(&'static str, &'static str)],
    status: u16,
    body: impl Into<bytes::Bytes>,
) -> Result<Granted, EndpointError> {
    let headers = headers
        .iter()
        .map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)));
    token_answer(
        Answer {
            status: StatusCode::from_u16(status).unwrap(),
            headers: headers.collect(),
            body: Ok(body.into()),
        },
        "",
        None,
    )
}

fn error_of(outcome: Result<Granted, EndpointError>) -> EndpointError {
    match outcome {
        Err(error) => error,
        Ok(_) => panic!("something was granted"),
    }
}

/// The kind of the error, and whether the token may be used up.
fn refused(status: u16, body: impl Into<bytes::Bytes>) -> (Kind, bool) {
    let error = error_of(outcome_with(&[], status, body));
    (error.kind().clone(), error.may_have_consumed())
}

fn with_code(status: u16, code: &str) -> (Kind, bool) {
    refused(status, json!({"error": code, "error_description": "free text"}).to_string())
}

const UNAVAILABLE: Kind = Kind::Unavailable { retry_after: None };
const LATER: Kind = Kind::TryLater { retry_after: None };

#[test]
fn a_success_with_tokens_is_tokens() {
    assert!(outcome_with(&[], 200, tokens().to_string()).is_ok());
    assert!(outcome_with(&[], 201, tokens().to_string()).is_ok());
}

#[test]
fn a_success_with_an_oauth_error_is_that_error() {
    assert_eq!(with_code(200, "bad_refresh_token"), (Kind::InvalidGrant, false));
    assert_eq!(
        with_code(200, "invalid_client"),
        (Kind::Rejected { code: "invalid_client" }, false)
    );
    assert_eq!(with_code(200, "temporarily_unavailable"), (UNAVAILABLE, false));
}

#[test]
fn a_success_with_anything_else_is_an_invalid_response_and_ambiguous() {
    let rule = "is not a token response";
    for body in ["", "<html>", "{}", r#"{"access_token":"x","token_type":"mac"}"#] {
        assert_eq!(refused(200, body), (Kind::InvalidResponse { rule }, true), "{body}");
    }
    assert_eq!(refused(204, ""), (Kind::InvalidResponse { rule }, true));
}

#[test]
fn a_redirect_is_an_invalid_response() {
    for status in [301, 302, 303, 307, 308] {
        assert_eq!(refused(status, ""), (Kind::InvalidResponse { rule: "is a redirect" }, false));
    }
}

#[test]
fn an_overloaded_provider_has_not_consumed_the_token() {
    for (status, kind) in [(429, LATER), (503, UNAVAILABLE)] {
        assert_eq!(refused(status, "<html>"), (kind.clone(), false));
        assert_eq!(with_code(status, "server_error"), (kind, false));
    }
    for status in [400, 500, 502] {
        assert_eq!(with_code(status, "temporarily_unavailable"), (UNAVAILABLE, false));
    }
}

#[test]
fn a_failing_provider_may_have() {
    for status in [500, 502, 504, 599] {
        assert_eq!(refused(status, ""), (UNAVAILABLE, true));
    }
    assert_eq!(with_code(400, "server_error"), (UNAVAILABLE, true));
}

#[test]
fn an_oauth_error_is_known_by_its_code() {
    assert_eq!(with_code(400, "invalid_grant"), (Kind::InvalidGrant, false));
    for code in [
        "invalid_client",
        "unauthorized_client",
        "invalid_scope",
        "unsupported_grant_type",
        "invalid_request",
    ] {
        assert_eq!(with_code(401, code).0.clone(), with_code(400, code).0);
        assert!(
            matches!(with_code(400, code), (Kind::Rejected { code: kept }, false) if kept == code)
        );
    }
    assert_eq!(with_code(400, SECRET), (Kind::Rejected { code: "unregistered code" }, false));
}

#[test]
fn a_refusal_without_an_oauth_error_is_an_invalid_response() {
    let rule = "is neither a success nor an OAuth error";
    for body in ["", "<html>Forbidden", "{}", r#"{"error":{"code":403}}"#] {
        assert_eq!(refused(403, body), (Kind::InvalidResponse { rule }, false), "{body}");
    }
}

/// Some statuses decide alone. The others need the body.
#[test]
fn an_answer_whose_body_cannot_be_read() {
    let broken_off = || EndpointError::new(Kind::NoAnswer).maybe_consumed();
    let too_large = || invalid("is too long");
    let outcome = |status, body: EndpointError| {
        let status = StatusCode::from_u16(status).unwrap();
        let headers = HeaderMap::new();
        let error =
            error_of(token_answer(Answer { status, headers, body: Err(broken(body)) }, "", None));
        (error.kind().clone(), error.may_have_consumed())
    };
    let rule = "is too long";
    for (status, kind) in [(429, LATER), (503, UNAVAILABLE)] {
        assert_eq!(outcome(status, broken_off()), (kind, false));
    }
    assert_eq!(outcome(502, too_large()), (UNAVAILABLE, true));
    assert_eq!(
        outcome(302, broken_off()),
        (Kind::InvalidResponse { rule: "is a redirect" }, false)
    );
    assert_eq!(outcome(400, broken_off()), (Kind::NoAnswer, true), "it may have been any code");
    assert_eq!(outcome(403, too_large()), (Kind::InvalidResponse { rule }, false));
    assert_eq!(outcome(200, broken_off()), (Kind::NoAnswer, true));
    assert_eq!(outcome(200, too_large()), (Kind::InvalidResponse { rule }, true));
}

#[test]
fn the_page_of_a_proxy_counts_by_its_status_alone() {
    let page = "<html><head><title>502 Bad Gateway</title></head><body><hr>nginx</body></html>";
    for status in [500, 502, 504, 520] {
        assert_eq!(refused(status, page), (UNAVAILABLE, true), "{status}");
    }
    assert_eq!(refused(503, page), (UNAVAILABLE, false));
    for status in [400, 403, 404, 405, 407, 413] {
        let rule = "is neither a success nor an OAuth error";
        assert_eq!(refused(status, page), (Kind::InvalidResponse { rule }, false), "{status}");
    }
}

#[test]
fn a_code_counts_whatever_the_status() {
    for status in [400, 401, 403, 404, 422] {
        assert_eq!(with_code(status, "server_error"), (UNAVAILABLE, true));
    }
    for status in [200, 400, 401, 403, 404, 422, 500, 502] {
        for code in ["invalid_grant", "bad_refresh_token", "login_required"] {
            assert_eq!(with_code(status, code), (Kind::InvalidGrant, false), "{status} {code}");
        }
    }
    assert_eq!(
        with_code(429, "invalid_grant"),
        (LATER, false),
        "a limiter's word on the token is no word"
    );
}

#[test]
fn retry_after_is_seconds_or_a_date_and_capped() {
    let wait =
        |headers: &[(&'static str, &'static str)]| match error_of(outcome_with(headers, 503, ""))
            .kind()
        {
            Kind::Unavailable { retry_after } => *retry_after,
            other => panic!("{other:?}"),
        };
    let date = ("date", "Sun, 06 Nov 1994 08:49:37 GMT");
    let secs = |secs| Some(Duration::from_secs(secs));
    assert_eq!(wait(&[("retry-after", "7")]), secs(7));
    assert_eq!(wait(&[("retry-after", "86400")]), secs(300));
    assert_eq!(wait(&[("retry-after", "99999999999999999999999")]), secs(300));
    assert_eq!(wait(&[("retry-after", "Sun, 06 Nov 1994 08:49:47 GMT"), date]), secs(10));
    assert_eq!(wait(&[("retry-after", "Sun, 06 Nov 1994 08:00:00 GMT"), date]), secs(0));
    assert_eq!(wait(&[("retry-after", "Sun, 06 Nov 1994 08:49:47 GMT")]), None);
    assert_eq!(wait(&[("retry-after", "soon"), date]), None);
    assert_eq!(wait(&[]), None);
}

#[test]
fn the_source_names_the_field_that_is_wrong() {
    let error = error_of(outcome_with(&[], 200, "{}"));
    assert!(everything_printed(&error).contains("access_token is missing, empty or not a string"));
}

proptest! {
    #[test]
    fn any_answer_has_an_outcome_that_shows_no_secret(
        status in 100_u16..1000,
        prefix in prop::sample::select(vec!["", "{", "{\"error\":\"", "{\"error\":{\"", "{\"access_token\":\"", "{\"token_type\":\""]),
        suffix in ".*",
    ) {
        if let Err(error) = outcome_with(&[], status, format!("{prefix}{SECRET}{suffix}")) {
            let printed = everything_printed(&error);
            prop_assert!(!printed.contains(SECRET), "{}", printed);
        }
    }

    #[test]
    fn any_retry_after_is_none_or_at_most_five_minutes(
        value in retry_after_value(), date in prop::option::of(retry_after_value()),
    ) {
        let mut headers = HeaderMap::new();
        headers.insert(header::RETRY_AFTER, value);
        if let Some(date) = date {
            headers.insert(header::DATE, date);
        }
        prop_assert!(retry_after(&headers).is_none_or(|wait| wait <= LONGEST_RETRY_AFTER));
    }
}

/// Numbers, dates and any other header value.
fn retry_after_value() -> impl Strategy<Value = HeaderValue> {
    prop_oneof![
        any::<u64>().prop_map(HeaderValue::from),
        any::<i64>().prop_map(HeaderValue::from),
        "[0-9]{1,60}".prop_map(|text| HeaderValue::try_from(text).unwrap()),
        "[A-Z][a-z]{2}, [0-9]{2} [A-Z][a-z]{2} [0-9]{4} [0-9]{2}:[0-9]{2}:[0-9]{2} GMT"
            .prop_map(|text| HeaderValue::try_from(text).unwrap()),
        (0_u64..250_000_000_000)
            .prop_map(|secs| std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(secs))
            .prop_map(|time| HeaderValue::try_from(httpdate::fmt_http_date(time)).unwrap()),
        prop::collection::vec(any::<u8>(), 0..40)
            .prop_filter_map("no header", |bytes| HeaderValue::from_bytes(&bytes).ok()),
    ]
}

/// Broke off before the first byte.
fn broken(error: EndpointError) -> BrokenBody {
    BrokenBody { error, received: bytes::Bytes::new() }
}
