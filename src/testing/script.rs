//! Failures on demand, one request at a time.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use bytes::Bytes;
use http::{Response, StatusCode};
use serde_json::{Value, json};

use super::{
    Endpoint, StrictIssuer,
    issuer::lock,
    wire::{json_response, plain_response},
};

/// The steps to come, and what holds until it is changed.
#[derive(Default)]
pub(super) struct Script {
    steps: HashMap<Endpoint, VecDeque<Step>>,
    pub(super) delay: Duration,
    pub(super) down: bool,
}

/// What happens to one request.
pub(super) enum Step {
    /// The answer is this one; the issuer does nothing.
    AnswerInstead(Response<Bytes>),
    /// The issuer does its work; the answer is this one.
    AnswerAfterwards(Response<Bytes>),
    /// The issuer does its work; a successful answer is changed on its way out.
    Edit(Box<dyn FnOnce(&mut Value) + Send>),
    /// A refresh without a new refresh token: the presented one stays good.
    KeepRefreshToken,
    /// The tokens of this answer are somebody else's.
    AsUser(String),
    /// The issuer does its work; the connection breaks before the answer.
    LoseAnswer,
    /// The connection breaks before the issuer sees the request.
    LoseRequest,
}

impl Script {
    pub(super) fn take(&mut self, endpoint: Endpoint) -> Option<Step> {
        self.steps.get_mut(&endpoint)?.pop_front()
    }

    pub(super) fn next(&self, endpoint: Endpoint) -> Option<&Step> {
        self.steps.get(&endpoint)?.front()
    }
}

/// # Scripting
/// Each call adds one step, for one request. The steps of an endpoint are used in the order in
/// which they were added; after them the issuer is honest again. A step without an endpoint is for
/// the token endpoint.
///
/// # Panics
/// A step with a status panics if that is not an HTTP status.
impl StrictIssuer {
    /// The next token request gets this answer. No token is consumed.
    pub fn fail_next(&self, status: u16, body: impl Into<Bytes>) {
        self.fail_next_at(Endpoint::Token, status, body);
    }

    /// The next token request gets this OAuth error. No token is consumed.
    pub fn fail_next_oauth(&self, status: u16, code: &str) {
        let body = json!({ "error": code, "error_description": "scripted by the test" });
        self.push(Endpoint::Token, Step::AnswerInstead(json_response(parse_status(status), &body)));
    }

    /// The next request to `endpoint` gets this answer, and nothing happens to any token.
    pub fn fail_next_at(&self, endpoint: Endpoint, status: u16, body: impl Into<Bytes>) {
        self.answer_next_at(endpoint, plain_response(parse_status(status), body));
    }

    /// The next request to `endpoint` gets this answer, with its headers (`Retry-After`, a
    /// redirect), and nothing happens to any token.
    pub fn answer_next_at(&self, endpoint: Endpoint, response: Response<Bytes>) {
        self.push(endpoint, Step::AnswerInstead(response));
    }

    /// The next token request is processed, and its refresh token is consumed; but the answer is
    /// this one.
    pub fn fail_next_after_processing(&self, status: u16, body: impl Into<Bytes>) {
        self.push(
            Endpoint::Token,
            Step::AnswerAfterwards(plain_response(parse_status(status), body)),
        );
    }

    /// The next token request is processed. Its answer is a 200 that stops in the middle of the
    /// JSON.
    pub fn malformed_next(&self) {
        let cut = json_response(StatusCode::OK, &json!(""))
            .map(|_| Bytes::from_static(b"{\"access_token\":\"ey"));
        self.push(Endpoint::Token, Step::AnswerAfterwards(cut));
    }

    /// Changes the JSON of the next token answer, if it is a successful one.
    pub fn edit_next(&self, edit: impl FnOnce(&mut Value) + Send + 'static) {
        self.push(Endpoint::Token, Step::Edit(Box::new(edit)));
    }

    /// The next token answer has this `expires_in`: a number, a string or anything else. The
    /// token's real life does not change.
    pub fn expires_in_next(&self, expires_in: impl Into<Value>) {
        let expires_in = expires_in.into();
        self.edit_next(|answer| answer["expires_in"] = expires_in);
    }

    /// The next token answer has no `expires_in`.
    pub fn omit_expires_in_next(&self) {
        self.edit_next(|answer| {
            if let Some(answer) = answer.as_object_mut() {
                answer.remove("expires_in");
            }
        });
    }

    /// The next refresh returns no refresh token, and the presented one stays good (RFC 6749, 6).
    pub fn omit_refresh_token_next(&self) {
        self.push(Endpoint::Token, Step::KeepRefreshToken);
    }

    /// The next refresh returns access and ID tokens of another user, as no honest provider does.
    pub fn switch_user_next(&self, user: &str) {
        self.push(Endpoint::Token, Step::AsUser(user.to_owned()));
    }

    /// The next token request is processed, and its refresh token is consumed; then the connection
    /// breaks.
    pub fn drop_answer_next(&self) {
        self.drop_answer_next_at(Endpoint::Token);
    }

    /// The next request to `endpoint` is processed; then the connection breaks.
    pub fn drop_answer_next_at(&self, endpoint: Endpoint) {
        self.push(endpoint, Step::LoseAnswer);
    }

    /// The connection of the next request to `endpoint` breaks before the issuer sees it. To the
    /// caller it looks like [`drop_answer_next`](Self::drop_answer_next), but nothing has happened.
    pub fn drop_request_next_at(&self, endpoint: Endpoint) {
        self.push(endpoint, Step::LoseRequest);
    }

    /// Every answer takes this long, after the work is done.
    pub fn delay(&self, delay: Duration) {
        lock(&self.inner.script).delay = delay;
    }

    /// While the issuer is down, every request gets 503 and nothing happens to any token. Steps
    /// wait.
    pub fn set_down(&self, down: bool) {
        lock(&self.inner.script).down = down;
    }

    /// Forgets all steps that no request has used.
    pub fn clear_script(&self) {
        lock(&self.inner.script).steps.clear();
    }

    fn push(&self, endpoint: Endpoint, step: Step) {
        lock(&self.inner.script).steps.entry(endpoint).or_default().push_back(step);
    }
}

fn parse_status(status: u16) -> StatusCode {
    StatusCode::from_u16(status).unwrap_or_else(|_| panic!("{status} is no HTTP status"))
}
