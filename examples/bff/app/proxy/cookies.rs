//! Our own cookies stay between the browser and this application, in both directions and however
//! their names are written.

use axum::http::{
    HeaderMap, HeaderValue,
    header::{self, Entry},
};
use tower_token_refresh::cookies;

use super::super::cookies::CookieNames;

/// The session's cookie is the key to the tokens: the upstream gets the token, and nothing that
/// would get it the next one.
pub(super) fn drop_ours_sent(names: CookieNames, headers: &mut HeaderMap) {
    if !headers.contains_key(header::COOKIE) {
        return;
    }
    let mut kept: Vec<u8> = Vec::new();
    for (name, value) in cookies::sent(headers).filter(|pair| !is_ours(names, *pair)) {
        if !kept.is_empty() {
            kept.extend(b"; ");
        }
        if !name.is_empty() {
            kept.extend(name);
            kept.push(b'=');
        }
        kept.extend(value);
    }
    headers.remove(header::COOKIE);
    if !kept.is_empty() {
        let value = HeaderValue::try_from(kept).expect("it is made of header values");
        headers.insert(header::COOKIE, value);
    }
}

/// The upstream may set cookies, but none of ours.
pub(super) fn drop_ours_set(names: CookieNames, headers: &mut HeaderMap) {
    let Entry::Occupied(lines) = headers.entry(header::SET_COOKIE) else { return };
    let (_, lines) = lines.remove_entry_mult();
    for line in lines.collect::<Vec<_>>() {
        if is_harmless(names, &line) {
            headers.append(header::SET_COOKIE, line);
        }
    }
}

/// A value without a name goes on as its value alone, which may then read like one of ours.
fn is_ours(names: CookieNames, (name, value): (&[u8], &[u8])) -> bool {
    names.is_ours(if name.is_empty() { name_of(value) } else { name })
}

/// Browsers send a cookie without a name back as its value alone, too.
fn is_harmless(names: CookieNames, line: &HeaderValue) -> bool {
    let pair = line.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default();
    let name = name_of(pair);
    pair.contains(&b'=') && !name.is_empty() && !names.is_ours(name)
}

fn name_of(pair: &[u8]) -> &[u8] {
    pair.split(|byte| *byte == b'=').next().unwrap_or_default().trim_ascii()
}
