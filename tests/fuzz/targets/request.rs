//! What a browser may send: a path to return to, and cookies.
#![no_main]

use http::{HeaderMap, HeaderValue, header};
use libfuzzer_sys::fuzz_target;
use tower_token_refresh::{cookies, safe_return_to};

fuzz_target!(|input: &[u8]| {
    let text = String::from_utf8_lossy(input);
    if let Some(path) = safe_return_to(&text) {
        assert!(path.starts_with('/') && !path.starts_with("//"), "{path:?}");
        assert!(path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\'), "{path:?}");
        HeaderValue::try_from(&path).expect("it fits into a header");
        assert_eq!(safe_return_to(&path).as_ref(), Some(&path), "it stays what it is");
    }
    if let Ok(line) = HeaderValue::from_bytes(input) {
        let mut headers = HeaderMap::new();
        headers.insert(header::COOKIE, line);
        let sent: usize = cookies::sent(&headers)
            .map(|(name, value)| {
                assert!(!name.contains(&b';') && !value.contains(&b';'));
                assert!(cookies::decoded_name(name).len() <= name.len());
                name.len() + value.len()
            })
            .sum();
        assert!(sent <= input.len());
    }
});
