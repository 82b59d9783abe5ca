//! Discovery documents. Their errors show the URL that the operator must mend, without its secrets.
#![no_main]

use fuzz::{planted, tells};
use libfuzzer_sys::fuzz_target;
use serde::Deserialize;
use tower_token_refresh::fuzzing;

#[derive(Deserialize, Default)]
struct Urls {
    issuer: Option<String>,
    token_endpoint: Option<String>,
    revocation_endpoint: Option<String>,
    end_session_endpoint: Option<String>,
    jwks_uri: Option<String>,
}

fuzz_target!(|input: &[u8]| {
    let input = planted(input);
    let told = fuzzing::discovery(&input);
    assert!(told.everything.len() < 20_000, "too long: {}", told.everything);
    let urls: Urls = serde_json::from_slice(&input).unwrap_or_default();
    let urls = [
        urls.issuer,
        urls.token_endpoint,
        urls.revocation_endpoint,
        urls.end_session_endpoint,
        urls.jwks_uri,
    ];
    if !urls.iter().flatten().any(|url| may_be_shown(url)) {
        assert!(!tells(&told.everything), "a secret is told: {}", told.everything);
    }
});

/// Whether the secret is in the scheme, the host or the path: not before an `@`, and not after a `?`
/// or `#`.
fn may_be_shown(url: &str) -> bool {
    let scheme = url.split_once("://").map_or("", |(scheme, _)| scheme);
    // A host stays a host if an `@` comes in the query.
    let host = url.split_once(':').map_or("", |(_, rest)| rest.trim_start_matches(['/', '\\']));
    // Whoever writes `:@` or `@` before it names no user.
    let host = host.strip_prefix(":@").or_else(|| host.strip_prefix('@')).unwrap_or(host);
    let host = host.split(['/', '\\', '?', '#', ':']).next().unwrap_or_default();
    let after_login = url.rfind('@').map_or(0, |at| at + 1);
    let before_query = url.find(['?', '#']).unwrap_or(url.len());
    tells(url.get(after_login..before_query).unwrap_or_default())
        || !host.contains('@') && tells(host)
        || scheme.bytes().all(|byte| byte.is_ascii_alphanumeric()) && tells(scheme)
}
