//! Whatever a token endpoint sends, nothing panics or grows without end, and no error shows its
//! text.

use bytes::Bytes;
use proptest::{collection::vec, prelude::*};
use serde_json::json;

use super::*;
use crate::endpoint::test_support::foreign_json::json_value;

const FIELDS: [&str; 11] = [
    "access_token",
    "token_type",
    "expires_in",
    "refresh_token",
    "refresh_expires_in",
    "refresh_token_expires_in",
    "id_token",
    "scope",
    "error",
    "error_description",
    "error_uri",
];

fn outcome(status: u16, body: impl Into<Bytes>) -> Result<Granted, EndpointError> {
    let status = StatusCode::from_u16(status).unwrap();
    token_answer(Answer { status, headers: HeaderMap::new(), body: Ok(body.into()) }, "", None)
}

/// A token set may print what is not secret, such as its scope. An error prints none of it.
fn assert_nothing_told(outcome: &Result<Granted, EndpointError>) {
    if let Err(error) = outcome {
        let printed = everything_printed(error);
        assert!(!printed.contains(SECRET), "{printed}");
    }
}

fn status() -> impl Strategy<Value = u16> {
    prop_oneof![Just(200), Just(200), Just(400), Just(401), Just(429), Just(503), 100_u16..1000]
}

proptest! {
    #[test]
    fn a_good_response_with_odd_fields_is_tokens_or_an_error(
        odd in vec((prop::sample::select(FIELDS.to_vec()), json_value()), 0..4),
        status in status(),
    ) {
        let mut response = tokens();
        for (field, value) in odd {
            response[field] = value;
        }
        let outcome = outcome(status, response.to_string());
        prop_assert!(outcome.is_err() || (200..300).contains(&status));
        if let Ok(Granted::Tokens(set)) = &outcome {
            prop_assert!(!set.access_token.expose().is_empty());
        }
        assert_nothing_told(&outcome);
    }

    #[test]
    fn any_json_is_tokens_or_an_error(body in json_value(), status in status()) {
        assert_nothing_told(&outcome(status, body.to_string()));
    }

    #[test]
    fn any_bytes_are_an_error(
        before in vec(any::<u8>(), 0..40), after in vec(any::<u8>(), 0..40), status in status(),
    ) {
        let outcome = outcome(status, [&before, SECRET.as_bytes(), &after].concat());
        prop_assert!(outcome.is_err());
        assert_nothing_told(&outcome);
    }

    #[test]
    fn an_oauth_error_of_any_shape_is_an_error_whose_words_are_ours(
        error in json_value(), description in json_value(), status in status(),
    ) {
        let outcome = outcome(status, json!({"error": error, "error_description": description}).to_string());
        if let Err(error) = &outcome {
            let words = error.to_string();
            prop_assert!(words.len() < 100 && words.is_ascii(), "{}", words);
        }
        assert_nothing_told(&outcome);
    }
}

#[test]
fn nesting_to_the_limit_of_a_body_is_an_error_and_no_overflow() {
    for open in ["[", "{\"a\":", "{\"error\":[", "{\"access_token\":{\"x\":"] {
        let body = open.repeat(1024 * 1024 / open.len());
        for status in [200, 400, 503] {
            assert!(outcome(status, body.clone()).is_err());
        }
    }
}
