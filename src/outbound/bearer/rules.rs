//! The rules, whichever client they stand around: who sees the token, and what a refusal leads to.

use std::{sync::Arc, time::Duration};

use http::{
    Extensions, HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, Uri,
    header::{AUTHORIZATION, CONTENT_TYPE},
};

use super::{Calls, challenge::Challenge};
use crate::{
    dpop::{DPOP, ServerNonce},
    error::{Chain, RefreshError},
    metrics,
    tokens::AccessToken,
};

/// A token younger than this is not refused for its age.
const YOUNG: Duration = Duration::from_secs(10);

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const UNAUTHENTICATED: &str = "16";
/// `RESOURCE_EXHAUSTED`, `INTERNAL` and `UNAVAILABLE`.
const NOT_LOOKED: [&[u8]; 3] = [b"8", b"13", b"14"];

/// The head of an API's answer.
pub(super) trait Answer {
    fn status(&self) -> StatusCode;
    fn headers(&self) -> &HeaderMap;
    fn extensions_mut(&mut self) -> &mut Extensions;
}

/// One request on its way to an API, however often it is sent.
pub(super) struct Call<'a> {
    calls: &'a Calls,
    /// The place of the host that gets the token.
    place: usize,
    token: AccessToken,
    /// The API has refused the token before this one.
    is_newer: bool,
    /// It has gone out again for the API's nonce. Once: whoever wants another one each time is never
    /// content.
    has_obeyed: bool,
    /// That of the answer which asked for one.
    nonce: Option<Arc<str>>,
    /// What became of a 401 is not counted yet.
    is_open: bool,
}

impl Calls {
    /// The place of the host that gets the token. None: the request goes out as it is.
    pub(super) fn place_of(&self, uri: &Uri, headers: &HeaderMap) -> Option<usize> {
        if headers.contains_key(AUTHORIZATION) {
            return None;
        }
        let place = self.api.hosts.find(uri);
        if place.is_none() {
            let (host, port) = (uri.host(), uri.port_u16());
            tracing::debug!(host, port, "a request goes out without a token: see `ApiHosts`");
        }
        place
    }

    /// Begins a call with a token that is fresh now.
    pub(super) async fn call(&self, place: usize) -> Result<Call<'_>, RefreshError> {
        let token = self.source.token().await?;
        let (is_newer, has_obeyed, nonce, is_open) = (false, false, None, false);
        Ok(Call { calls: self, place, token, is_newer, has_obeyed, nonce, is_open })
    }

    /// None if none is worth asking for, or can be had.
    async fn newer_than(&self, rejected: &AccessToken, place: usize) -> Option<AccessToken> {
        let age = self.api.clock.now().duration_since(rejected.cached().obtained_at);
        // The clock may have been set back meanwhile.
        if age.unwrap_or_else(|ahead| ahead.duration()) < YOUNG {
            tracing::debug!("a 401 is passed on, as its token is younger than 10 s");
            return None;
        }
        if !self.api.refusals.admit(place, self.api.clock.monotonic()) {
            tracing::debug!("a 401 is passed on, as this host has refused new tokens as well");
            return None;
        }
        match self.source.newer_than(rejected).await {
            Ok(newer) => Some(newer),
            Err(error) => {
                // The API's own answer says more to its caller than that no token can be had.
                tracing::debug!(error = %Chain(&error), "a 401 of an API could not be healed");
                None
            }
        }
    }
}

impl Call<'_> {
    /// Whether the request may have to go out again after this.
    pub(super) fn may_go_again(&self) -> bool {
        !self.is_newer || (self.token.cached().dpop_key.is_some() && !self.has_obeyed)
    }

    /// The proof for the request, where the token is bound to a key.
    pub(super) fn proof(&self, method: &Method, uri: &Uri) -> Option<HeaderValue> {
        let proof = self.token.dpop_proof(method, uri)?;
        let api = &self.calls.api;
        Some(api.nonces[self.place].sign(proof, self.nonce.as_deref(), api.clock.now()))
    }

    /// Puts the token on the request, and its proof.
    pub(super) fn authorize(&self, headers: &mut HeaderMap, proof: Option<HeaderValue>) {
        headers.insert(AUTHORIZATION, self.token.header());
        if let Some(proof) = proof {
            headers.insert(DPOP, proof);
        }
    }

    /// What the API's answer leads to. True: the request goes out again. Otherwise the answer is
    /// passed on.
    ///
    /// `is_direct`: false if a redirect has led to another URL.
    pub(super) async fn goes_again(
        &mut self,
        answer: &mut (impl Answer + Send),
        can_be_sent_again: bool,
        is_direct: bool,
    ) -> bool {
        let can_be_sent_again = can_be_sent_again && is_direct;
        let bound = self.token.cached().dpop_key.is_some();
        let given = if is_direct && bound { ServerNonce::of(answer.headers()) } else { None };
        let challenge = is_unauthorized(answer).then(|| Challenge::of(answer.headers(), bound));
        let wants_nonce = challenge == Some(Challenge::UseNonce) && given.is_some();
        if wants_nonce && can_be_sent_again && !std::mem::replace(&mut self.has_obeyed, true) {
            metrics::api_refused("wants_nonce");
            self.nonce = given;
            return true;
        }
        if let Some(nonce) = given.or(self.nonce.take()) {
            self.calls.api.nonces[self.place].set(nonce);
        }
        let Some(challenge) = challenge else {
            if self.is_newer && has_looked_at_the_token(answer) {
                self.note_newer(false);
            }
            return false;
        };
        match challenge {
            // A host that is not content with a new token, for whatever reason.
            Challenge::BadToken | Challenge::UseNonce if self.is_newer => {
                // Who has redirected it has not refused it.
                self.note_newer(is_direct);
                return false;
            }
            Challenge::BadToken if can_be_sent_again => {
                self.is_open = true;
                if let Some(newer) = self.calls.newer_than(&self.token, self.place).await {
                    (self.token, self.is_newer) = (newer, true);
                    return true;
                }
            }
            Challenge::StepUp(step_up) => {
                answer.extensions_mut().insert(step_up);
                self.note_newer(false);
            }
            Challenge::NoTokenHelps => self.note_newer(false),
            Challenge::BadToken | Challenge::UseNonce => {}
        }
        if !self.is_newer {
            self.count("passed_on");
        }
        false
    }

    fn count(&mut self, outcome: &'static str) {
        self.is_open = false;
        metrics::api_refused(outcome);
    }

    /// Notes what became of a request that has gone out again with a newer token.
    fn note_newer(&mut self, is_refused: bool) {
        if self.is_newer {
            self.count(if is_refused { "refused_again" } else { "healed" });
            let token = (self.token.cached().key, self.token.cached().generation);
            let api = &self.calls.api;
            api.refusals.sent_again(self.place, token, is_refused, api.clock.monotonic());
        }
    }
}

impl Drop for Call<'_> {
    /// The request that was to go out again got no answer, or its caller has gone away.
    fn drop(&mut self) {
        if self.is_open {
            self.count("no_answer");
        }
    }
}

/// Not an API that is overloaded or broken.
fn has_looked_at_the_token(answer: &impl Answer) -> bool {
    let status = answer.status();
    let is_broken = status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error();
    !is_broken && grpc_status(answer).is_none_or(|status| !NOT_LOOKED.contains(&status.as_bytes()))
}

/// A 401, or what gRPC sends in its place.
fn is_unauthorized(answer: &impl Answer) -> bool {
    answer.status() == StatusCode::UNAUTHORIZED
        || grpc_status(answer).is_some_and(|status| status == UNAUTHENTICATED)
}

/// That of a 200 without a message, whose status is in the headers (Trailers-Only). A status that
/// comes behind messages is in the body, and too late for the token.
fn grpc_status(answer: &impl Answer) -> Option<&HeaderValue> {
    let status = answer.headers().get(GRPC_STATUS)?;
    let kind = answer.headers().get(CONTENT_TYPE)?;
    kind.as_bytes().starts_with(b"application/grpc").then_some(status)
}

impl<R> Answer for Response<R> {
    fn status(&self) -> StatusCode {
        Response::status(self)
    }

    fn headers(&self) -> &HeaderMap {
        Response::headers(self)
    }

    fn extensions_mut(&mut self) -> &mut Extensions {
        Response::extensions_mut(self)
    }
}
