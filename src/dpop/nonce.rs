//! [`ServerNonce`]: what a server wants to see in the next proof (RFC 9449, sections 8 and 9).

use std::sync::{Arc, Mutex, PoisonError};

use http::HeaderMap;

const DPOP_NONCE: &str = "dpop-nonce";
/// Whatever is longer would not fit into a header of ours.
const LONGEST: usize = 4096;

/// The last nonce of one server. Each answer may bring a new one (section 8.2), and the last one
/// counts. Clones are the same.
#[derive(Clone, Default)]
pub(crate) struct ServerNonce(Arc<Mutex<Option<Arc<str>>>>);

impl ServerNonce {
    pub(crate) fn get(&self) -> Option<Arc<str>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes the nonce of an answer, if it brings one.
    pub(crate) fn learn(&self, headers: &HeaderMap) -> bool {
        let nonce = headers.get(DPOP_NONCE).and_then(|nonce| nonce.to_str().ok());
        let Some(nonce) = nonce.filter(|nonce| (1..=LONGEST).contains(&nonce.len())) else {
            return false;
        };
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.as_deref() != Some(nonce) {
            *known = Some(nonce.into());
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn the_last_nonce_counts_and_what_is_none_changes_nothing() {
        let nonce = ServerNonce::default();
        let mut headers = HeaderMap::new();
        assert!(!nonce.learn(&headers));
        let long = "n".repeat(LONGEST + 1);
        for (value, learned) in
            [("n-1", true), ("", false), ("n-2", true), (long.as_str(), false), ("n-2", true)]
        {
            headers.insert(DPOP_NONCE, HeaderValue::from_str(value).expect("ASCII"));
            assert_eq!(nonce.learn(&headers), learned, "{value:.5}");
        }
        headers.insert(DPOP_NONCE, HeaderValue::from_bytes(b"\xff").expect("a value"));
        assert!(!nonce.learn(&headers));
        assert_eq!(nonce.clone().get().as_deref(), Some("n-2"));
    }
}
