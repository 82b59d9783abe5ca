//! [`ServerNonce`]: what a server wants to see in the next proof (RFC 9449, sections 8 and 9).

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use http::{HeaderMap, HeaderValue};

use super::DpopProof;

const DPOP_NONCE: &str = "dpop-nonce";
/// Servers refuse a request whose headers are too long, and nothing would clear a nonce that makes them
/// so.
const LONGEST: usize = 1024;

/// The last nonce of one server. Each answer may bring a new one (section 8.2), and the last one
/// counts. Clones are the same.
#[derive(Clone, Default)]
pub(crate) struct ServerNonce(Arc<Mutex<Option<Arc<str>>>>);

impl ServerNonce {
    /// The nonce of an answer, if it brings one.
    pub(crate) fn of(headers: &HeaderMap) -> Option<Arc<str>> {
        let nonce = headers.get(DPOP_NONCE)?.to_str().ok()?;
        (1..=LONGEST).contains(&nonce.len()).then(|| nonce.into())
    }

    /// Signs `proof` with a nonce in it: that of the answer which asked for one, else the last one.
    pub(crate) fn sign(
        &self,
        proof: DpopProof,
        asked_for: Option<&str>,
        now: SystemTime,
    ) -> HeaderValue {
        let nonce = asked_for.map(Into::into).or_else(|| self.lock().clone());
        match nonce {
            Some(nonce) => proof.nonce(&*nonce).header_at(now),
            None => proof.header_at(now),
        }
    }

    /// From now on everybody repeats it. Call it after the request with this nonce has its answer:
    /// until then no other request may use it, as some servers take a nonce once.
    pub(crate) fn set(&self, nonce: Arc<str>) {
        *self.lock() = Some(nonce);
    }

    fn lock(&self) -> MutexGuard<'_, Option<Arc<str>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nonce_is_text_that_fits_into_a_header() {
        let mut headers = HeaderMap::new();
        assert_eq!(ServerNonce::of(&headers), None);
        let long = "n".repeat(LONGEST + 1);
        for (value, nonce) in [("n-1", Some("n-1")), ("", None), (long.as_str(), None)] {
            headers.insert(DPOP_NONCE, HeaderValue::from_str(value).expect("ASCII"));
            assert_eq!(ServerNonce::of(&headers).as_deref(), nonce, "{value:.5}");
        }
        headers.insert(DPOP_NONCE, HeaderValue::from_bytes(b"\xff").expect("a value"));
        assert_eq!(ServerNonce::of(&headers), None);
    }
}
