//! The fields of a body, whatever is wrong with it.

use std::fmt;

use serde::{
    Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::{Map, Value};

use super::TokenSetError;

type Fields = Map<String, Value>;

const BOM: &[u8] = b"\xEF\xBB\xBF";
/// What is nested deeper is left out. serde_json refuses 128 levels.
const DEEPEST: usize = 100;

/// The fields of a body that is a JSON object or, as GitHub sends it, a form. Of a field that comes
/// twice, the last one.
pub(crate) fn fields(body: &[u8]) -> Result<Fields, TokenSetError> {
    let body = body.strip_prefix(BOM).unwrap_or(body);
    serde_json::from_slice(body).or_else(|error| {
        let not_json = TokenSetError::NotJson { line: error.line(), column: error.column() };
        let spoilt_json = || {
            let mended = mended(&String::from_utf8_lossy(body));
            first_object(&mended).or_else(|| beginning(&mended))
        };
        form(body).or_else(spoilt_json).ok_or(not_json)
    })
}

/// The fields before the end of a body that was cut off.
pub(super) fn cut(body: &[u8]) -> Result<Fields, TokenSetError> {
    let body = body.strip_prefix(BOM).unwrap_or(body);
    let last_pair = body.iter().rposition(|byte| *byte == b'&');
    let fields = last_pair.and_then(|at| form(&body[..at]).filter(has_refresh_token));
    let fields = fields.or_else(|| beginning(&mended(&String::from_utf8_lossy(body))));
    fields.ok_or(TokenSetError::NotJson { line: 0, column: 0 })
}

/// None for any other text. A page may well hold `&error=login_required`, but it also holds what no
/// form does.
fn form(body: &[u8]) -> Option<Fields> {
    let is_form = |byte: &u8| byte.is_ascii_alphanumeric() || b"*-._~%+=&".contains(byte);
    let body = body.trim_ascii();
    if !body.iter().all(is_form) {
        return None;
    }
    let fields = url::form_urlencoded::parse(body);
    let fields: Fields = fields.map(|(name, text)| (name.into(), Value::from(text))).collect();
    let is_answer =
        ["access_token", "refresh_token", "error"].iter().any(|name| fields.contains_key(*name));
    is_answer.then_some(fields)
}

/// An object, with or without something behind it.
fn first_object(text: &str) -> Option<Fields> {
    serde_json::Deserializer::from_str(text).into_iter().next()?.ok()
}

/// The fields of a [mended] object before the place where it is no JSON, or ends; only if a refresh
/// token is among them. Without one, it may stand in the rest.
fn beginning(mended: &str) -> Option<Fields> {
    struct Beginning<'a>(&'a mut Fields, &'a mut String);

    impl<'de> Visitor<'de> for Beginning<'_> {
        type Value = ();

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<(), A::Error> {
            while let Some((name, value)) = object.next_entry()? {
                self.1.clone_from(&name);
                self.0.insert(name, value);
            }
            Ok(())
        }
    }

    let (mut fields, mut last) = (Fields::new(), String::new());
    let read = serde_json::Deserializer::from_str(mended)
        .deserialize_map(Beginning(&mut fields, &mut last));
    if read.is_err_and(|error| !error.is_eof()) {
        // What stands behind the last value makes no sense, and may be a part of it.
        fields.remove(&last);
    }
    Some(fields).filter(has_refresh_token)
}

fn has_refresh_token(fields: &Fields) -> bool {
    fields.get("refresh_token").and_then(Value::as_str).is_some_and(|token| !token.is_empty())
}

/// JSON with `null` in place of each value that is none: `NaN`, `1e999`, half of a character, what is
/// nested too deep. What is cut off at the very end is left out, and so is a number there.
fn mended(text: &str) -> String {
    let is_structure = |c: char| c.is_ascii_whitespace() || "{}[],:".contains(c);
    let (mut mended, mut rest, mut depth) = (String::with_capacity(text.len()), text, 0_usize);
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '"' => string_length(rest),
            first if is_structure(first) => 1,
            _ => rest.find(|c| c == '"' || is_structure(c)).unwrap_or(rest.len()),
        };
        let (token, behind) = rest.split_at(length);
        let outer = depth;
        match first {
            '{' | '[' => depth += 1,
            '}' | ']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if outer.max(depth) < DEEPEST {
            let is_cut = behind.is_empty() && first != '"';
            let is_value = || serde_json::from_str::<Value>(token).is_ok();
            if is_structure(first) || !is_cut && is_value() {
                mended.push_str(token);
            } else if !behind.is_empty() {
                mended.push_str("null");
            }
        } else if depth == DEEPEST && outer < depth {
            mended.push_str("null");
        }
        rest = behind;
    }
    mended
}

/// With its quotes; all that is left if the second one is missing.
fn string_length(text: &str) -> usize {
    let mut is_escaped = false;
    let end = text.bytes().skip(1).position(|byte| {
        let ends = byte == b'"' && !is_escaped;
        is_escaped = byte == b'\\' && !is_escaped;
        ends
    });
    end.map_or(text.len(), |end| end + 2)
}
