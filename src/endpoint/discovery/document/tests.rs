//! What any document becomes: metadata, or an error that shows no secret.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::endpoint::{
    discovery::tests::{ISSUER, URL, document},
    test_support::{SECRET, everything_printed, foreign_json::json_value},
};

const FIELDS: [&str; 6] = [
    "issuer",
    "token_endpoint",
    "revocation_endpoint",
    "end_session_endpoint",
    "jwks_uri",
    "other",
];

fn issuers() -> Issuers {
    Issuers::new(ISSUER, &[])
}

#[test]
fn a_trailing_slash_of_the_issuer_goes_before_the_well_known_path() {
    let url = |issuer| document_url(issuer, &SchemeRule::default()).map(|url| url.to_string());
    for issuer in ["https://id.example", "https://id.example/"] {
        assert_eq!(url(issuer).unwrap(), "https://id.example/.well-known/openid-configuration");
    }
    assert_eq!(
        url("https://id.example/a/").unwrap(),
        "https://id.example/a/.well-known/openid-configuration"
    );
    assert!(url("https://id.example/?q").is_err() && url("https://id.example/#f").is_err());
    assert!(matches!(url("http://id.example/"), Err(ConfigError::PlainHttp { .. })));
}

proptest! {
    #[test]
    fn any_document_is_metadata_or_an_error_without_a_secret(
        field in prop::sample::select(vec!["issuer", "token_endpoint", "jwks_uri"]),
        shape in 0..4_u8,
        text in ".*",
    ) {
        let mut odd = document();
        odd[field] = match shape {
            0 => json!({SECRET: text}),
            1 => json!(format!("https://user:{SECRET}@id.example/")),
            2 => json!(format!("https://id.example/?{text}{SECRET}")),
            _ => json!(text),
        };
        if let Err(error) = parse(&issuers(), URL, odd.to_string().as_bytes(), &SchemeRule::default()) {
            prop_assert!(!everything_printed(&error).contains(SECRET));
        }
        let _ = parse(&issuers(), URL, text.as_bytes(), &SchemeRule::default());
    }

    /// Errors show the names and URLs that the operator must fix, without their secrets, and
    /// nothing else.
    #[test]
    fn a_document_of_any_json_is_metadata_or_an_error_without_its_words(
        odd in prop::collection::vec((prop::sample::select(FIELDS.to_vec()), json_value()), 0..3),
        whole in json_value(),
    ) {
        let mut document = document();
        for (field, value) in odd.into_iter().filter(|(_, value)| !value.is_string()) {
            document[field] = value;
        }
        for document in [document, whole] {
            if let Err(error) = parse(&issuers(), URL, document.to_string().as_bytes(), &SchemeRule::default()) {
                prop_assert!(!everything_printed(&error).contains(SECRET), "{:?}", error);
            }
        }
    }

    #[test]
    fn a_name_or_url_without_end_is_told_in_part(field in prop::sample::select(FIELDS[..5].to_vec()), text in ".{1,9}") {
        let mut document = document();
        document[field] = json!(text.repeat(5000));
        let error = parse(&issuers(), URL, document.to_string().as_bytes(), &SchemeRule::default()).err();
        prop_assert!(error.is_some_and(|error| everything_printed(&error).len() < 20_000));
    }

    #[test]
    fn a_document_of_any_bytes_is_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let error = parse(&issuers(), URL, &bytes, &SchemeRule::default()).err();
        let is_no_document = matches!(error, Some(DiscoveryError::NotADocument { .. }));
        prop_assert!(is_no_document);
    }
}
