//! JWTs. An input of three lines (header, payload, signature) is encoded; any other is taken as it
//! is.
#![no_main]

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use fuzz::{assert_silent, planted};
use libfuzzer_sys::fuzz_target;
use tower_token_refresh::fuzzing;

/// The public keys of RFC 7515 (A.2 and A.3) and RFC 8037 (A.2).
const KEYS: &[u8] = include_bytes!("../seeds/key_set/rfc.json");

fuzz_target!(|input: &[u8]| {
    let input = planted(input);
    let parts: Vec<_> = input.splitn(3, |byte| *byte == b'\n').collect();
    let encoded = |part: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(part);
    let token = match parts[..] {
        [header, payload, signature] => {
            format!("{}.{}.{}", encoded(header), encoded(payload), encoded(signature))
        }
        _ => String::from_utf8_lossy(&input).into_owned(),
    };
    // Nor is a part of the token told. One with a space in it may be our own words, which the fuzzer
    // has seen, and so may a short one.
    let is_base64 =
        |part: &&str| part.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
    let parts: Vec<_> = token.split('.').filter(|part| part.len() > 40).filter(is_base64).collect();
    for told in fuzzing::jwt(&token, KEYS) {
        assert_silent(&told);
        let told = &told.everything;
        assert!(!parts.iter().any(|part| told.contains(part)), "a part is told: {told}");
    }
});
