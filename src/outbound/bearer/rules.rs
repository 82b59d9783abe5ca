//! The rules, whichever client they stand around: who sees the token, and what a refusal leads to.

use std::time::Duration;

use http::{
    Extensions, HeaderMap, Response, StatusCode, Uri,
    header::{AUTHORIZATION, CONTENT_TYPE},
};

use super::{BearerLayer, challenge::Challenge};
use crate::{error::Chain, metrics, tokens::AccessToken};

/// A token younger than this is not refused for its age.
const YOUNG: Duration = Duration::from_secs(10);

const GRPC_STATUS: &str = "grpc-status";
const UNAUTHENTICATED: &str = "16";

/// The head of an API's answer.
pub(super) trait Answer {
    fn status(&self) -> StatusCode;
    fn headers(&self) -> &HeaderMap;
    fn extensions_mut(&mut self) -> &mut Extensions;
}

impl BearerLayer {
    /// The place of the host that gets the token. None: the request goes out as it is.
    pub(super) fn host_of(&self, uri: &Uri, headers: &HeaderMap) -> Option<usize> {
        self.api.hosts.find(uri).filter(|_| !headers.contains_key(AUTHORIZATION))
    }

    /// The token to send the request again with. None: the answer is passed on.
    pub(super) async fn token_to_send_again(
        &self,
        rejected: &AccessToken,
        answer: &mut (impl Answer + Send),
        host: usize,
        can_be_sent_again: bool,
    ) -> Option<AccessToken> {
        if !is_unauthorized(answer) {
            return None;
        }
        let newer = if is_bad_token(answer) && can_be_sent_again {
            self.newer_than(rejected, host).await
        } else {
            None
        };
        if newer.is_none() {
            metrics::api_refused("passed_on");
        }
        newer
    }

    /// `answer` is what came back for the new token.
    pub(super) fn sent_again(&self, newer: &AccessToken, answer: &mut impl Answer, host: usize) {
        let is_refused = is_unauthorized(answer) && is_bad_token(answer);
        metrics::api_refused(if is_refused { "refused_again" } else { "healed" });
        let token = (newer.cached().key, newer.cached().generation);
        self.api.refusals.sent_again(host, token, is_refused, self.api.clock.monotonic());
    }

    /// None if none is worth asking for, or can be had.
    async fn newer_than(&self, rejected: &AccessToken, host: usize) -> Option<AccessToken> {
        let age = self.api.clock.now().duration_since(rejected.cached().obtained_at);
        let is_young = age.is_ok_and(|age| age < YOUNG);
        if is_young || !self.api.refusals.may_help(host, self.api.clock.monotonic()) {
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

/// A 401, or what gRPC sends in its place: a 200 without a message, whose status is in the headers
/// (Trailers-Only). A status that comes behind messages is in the body, and too late to be healed.
fn is_unauthorized(answer: &impl Answer) -> bool {
    if answer.status() == StatusCode::UNAUTHORIZED {
        return true;
    }
    let headers = answer.headers();
    headers.get(GRPC_STATUS).is_some_and(|status| status == UNAUTHENTICATED)
        && headers
            .get(CONTENT_TYPE)
            .is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"))
}

/// Whether another token of the same kind may help. A step-up challenge is told to the caller.
fn is_bad_token(answer: &mut impl Answer) -> bool {
    let challenge = Challenge::of(answer.headers());
    let is_bad = challenge == Challenge::BadToken;
    if let Challenge::StepUp(step_up) = challenge {
        answer.extensions_mut().insert(step_up);
    }
    is_bad
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
