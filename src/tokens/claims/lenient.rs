//! How a claim is read that a provider writes in its own way: as text, words, a number or bytes, or
//! not at all. Nothing here is an error.

use std::borrow::Cow;

use base64::{
    DecodeError, Engine,
    alphabet::URL_SAFE,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use serde_json::Value;

const ANY_PADDING: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A number, whole or not, or a string of one, as some providers write all their numbers. `None`
/// for anything else.
pub(crate) fn lenient_number(value: &Value) -> Option<f64> {
    let number = match value {
        Value::Number(number) => number.as_f64()?,
        Value::String(text) => text.trim().parse().ok()?,
        _ => return None,
    };
    number.is_finite().then_some(number)
}

/// Text, or a whole number of at most 64 bits as text. `None` for anything else.
///
/// Deliberately no other number: it has been rounded by now, and two users whose `sub` differ in
/// the last digit would become one.
pub(crate) fn lenient_text(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::String(text) => Some(text.into()),
        Value::Number(number) if !number.is_f64() => Some(number.to_string().into()),
        _ => None,
    }
}

/// One text, or those members of a list that are [texts](lenient_text). Empty for anything else.
pub(crate) fn lenient_texts(value: &Value) -> Vec<Cow<'_, str>> {
    match value {
        Value::Array(many) => many.iter().filter_map(lenient_text).collect(),
        one => lenient_text(one).into_iter().collect(),
    }
}

/// Words with spaces between them (RFC 6749, 3.3), or those members of a list that are strings.
/// `None` for anything else.
pub(crate) fn lenient_words(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Array(list) => {
            let words: Vec<_> = list.iter().filter_map(Value::as_str).collect();
            (list.is_empty() || !words.is_empty()).then(|| words.join(" "))
        }
        _ => None,
    }
}

/// The bytes of base64url (RFC 7515, 2), or of standard base64, with or without padding.
pub(crate) fn lenient_base64(text: &str) -> Result<Vec<u8>, DecodeError> {
    if text.contains(['+', '/']) {
        ANY_PADDING.decode(text.replace('+', "-").replace('/', "_"))
    } else {
        ANY_PADDING.decode(text)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_number_becomes_text_unless_it_was_rounded() {
        for (value, text) in [
            (json!("alice"), Some("alice")),
            (json!(42), Some("42")),
            (json!(-7), Some("-7")),
            (json!(u64::MAX), Some("18446744073709551615")),
            (json!(1.5), None),
            (json!(true), None),
            (json!(null), None),
            (json!(["alice"]), None),
            (json!({"a": 1}), None),
        ] {
            assert_eq!(lenient_text(&value).as_deref(), text, "{value}");
        }
        let rounded: Value = serde_json::from_str("184467440737095516150").expect("a number");
        assert_eq!(lenient_text(&rounded), None);
    }

    #[test]
    fn both_alphabets_are_read_with_and_without_padding() {
        for text in ["-_-_", "+/+/", "+_-/"] {
            assert_eq!(lenient_base64(text).as_deref(), Ok(&[0xfb, 0xff, 0xbf][..]), "{text}");
        }
        for text in ["-w", "-w==", "+w", "+w=="] {
            assert_eq!(lenient_base64(text).as_deref(), Ok(&[0xfb][..]), "{text}");
        }
        for text in ["-w=a", "####", "-", "=", "-w\n", "-x"] {
            assert!(lenient_base64(text).is_err(), "{text}");
        }
    }
}
