use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};

use super::*;

fn identity(claims: &str) -> Identity {
    Identity::of(&format!("e30.{}.c2ln", BASE64_URL_SAFE_NO_PAD.encode(claims)))
}

fn issuers() -> Issuers {
    let accepted = ["accounts.google.com", "https://id.example/{tenantid}"].map(str::to_owned);
    Issuers::new("https://accounts.google.com", &accepted)
}

/// The claim that is another one after than before.
fn changed(before: &str, next: &str) -> Option<&'static str> {
    compare(&identity(before), &identity(next), Some(&issuers())).err().map(|Changed(claim)| claim)
}

#[test]
fn a_subject_written_as_a_number_or_as_text_is_the_same() {
    for (before, next, claim) in [
        (r#"{"sub":42}"#, r#"{"sub":"42"}"#, None),
        (r#"{"sub":"42"}"#, r#"{"sub":42}"#, None),
        (r#"{"sub":42}"#, r#"{"sub":42}"#, None),
        (r#"{"sub":42}"#, r#"{"sub":43}"#, Some("sub")),
        (r#"{"sub":42}"#, r#"{"sub":"043"}"#, Some("sub")),
        (r#"{"sub":"alice"}"#, r#"{"sub":"Alice"}"#, Some("sub")),
        (r#"{"sub":"alice"}"#, r#"{"sub":["alice"]}"#, Some("sub")),
        (r#"{"sub":true}"#, r#"{"sub":"true"}"#, Some("sub")),
        (r#"{"sub":"alice"}"#, r#"{"sub":null}"#, None),
        (r#"{"sub":"alice"}"#, "{}", None),
        // The last one counts (RFC 7519, 4), so a second one hides nothing.
        (r#"{"sub":"alice"}"#, r#"{"sub":"alice","sub":"mallory"}"#, Some("sub")),
    ] {
        assert_eq!(changed(before, next), claim, "{before} {next}");
    }
}

#[test]
fn two_accepted_spellings_of_the_issuer_are_the_same() {
    let google = r#"{"iss":"https://accounts.google.com"}"#;
    for (before, next, claim) in [
        (google, r#"{"iss":"accounts.google.com"}"#, None),
        (r#"{"iss":"accounts.google.com"}"#, google, None),
        (google, r#"{"iss":"https://evil.example"}"#, Some("iss")),
        (r#"{"iss":"https://evil.example"}"#, google, Some("iss")),
        (google, r#"{"iss":["https://accounts.google.com"]}"#, Some("iss")),
        (r#"{"iss":"https://a"}"#, r#"{"iss":"https://a"}"#, None),
        (r#"{"iss":"https://a"}"#, r#"{"iss":"https://b"}"#, Some("iss")),
        (
            r#"{"iss":"https://id.example/a","tid":"a"}"#,
            r#"{"iss":"https://id.example/b","tid":"b"}"#,
            Some("iss"),
        ),
    ] {
        assert_eq!(changed(before, next), claim, "{before} {next}");
    }
}
