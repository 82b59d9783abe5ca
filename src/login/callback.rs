//! `GET /callback`: whose answer it is, and what becomes of the session.
//!
//! | step | what ends it |
//! |---|---|
//! | read the query | a parameter that comes twice, no `state` |
//! | find the attempt | none in this browser with this state, or too old: nothing is sent to the provider |
//! | `iss` (RFC 9207) | another provider's; none from a provider that always says it |
//! | `error` | the provider did not log the user in |
//! | redeem the code | see [`redeem`](super::redeem) |
//! | ask the application | its hook refuses: nobody is logged in, and the browser gets its answer |
//! | give the session the login | a store fails: nobody is logged in |
//!
//! An attempt is good once, whatever came of it; only where the code was certainly not used, since
//! the provider could not be reached, it stays, so that a reload may succeed.
//!
//! With `response_mode=form_post` the provider has the browser POST its answer. Browsers send no
//! `SameSite=Lax` cookie with a POST from another site, so the browser is sent on to the GET.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{RawQuery, State},
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use tower_sessions::{Session, cookie::Cookie};
use url::form_urlencoded;

use super::{
    attempt::Attempt,
    error::{
        LoginError, LoginErrorKind as Kind, NoSession, no_session_layer, with_security_headers,
    },
    redeem::{self, Redeemed},
    shared::Shared,
    user::{APPLICATION_LIMIT, VerifiedLogin},
};
use crate::endpoint::EndpointError;

/// The longest form of a callback.
const MAX_FORM: usize = 64 * 1024;
/// The longest of its parameters. What is longer is no code, and a firewall before the provider
/// might refuse it in a way that holds up others.
const LONGEST_VALUE: usize = 4096;

/// The codes of an authorization endpoint: RFC 6749, 4.1.2.1; OpenID Connect Core 1.0, 3.1.2.6;
/// RFC 8707, 2; OpenID Connect Core Error Code unmet_authentication_requirements 1.0.
const CODES: [&str; 18] = [
    "access_denied",
    "account_selection_required",
    "consent_required",
    "interaction_required",
    "invalid_request",
    "invalid_request_object",
    "invalid_request_uri",
    "invalid_scope",
    "invalid_target",
    "login_required",
    "registration_not_supported",
    "request_not_supported",
    "request_uri_not_supported",
    "server_error",
    "temporarily_unavailable",
    "unauthorized_client",
    "unmet_authentication_requirements",
    "unsupported_response_type",
];

/// What the provider answers (RFC 6749, section 4.1.2).
#[derive(Default)]
struct Answer {
    state: Option<String>,
    code: Option<String>,
    error: Option<String>,
    iss: Option<String>,
}

pub(super) async fn callback(
    State(login): State<Arc<Shared>>,
    session: Result<Session, NoSession>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let Ok(session) = session else { return login.fail(&no_session_layer()) };
    let answer = match Answer::read(query.unwrap_or_default().as_bytes()) {
        Ok(answer) => answer,
        Err(error) => return login.fail(&error),
    };
    let state = answer.state.clone().unwrap_or_default();
    let now = login.refresher.clock().now();
    // First of all: a browser without an attempt of this state has not begun this login.
    let Some(attempt) = login.attempts.find(&headers, &state, now) else {
        let why = "no attempt of this browser has the state of the callback: it began more than ten \
                   minutes ago, at another host than the origin of the login routes, or at a process \
                   with other keys (`attempt_keys`)";
        return login.fail(&LoginError::new(Kind::UnknownAttempt, why));
    };
    let (mut response, may_try_again) = match finish(&login, &session, answer, attempt).await {
        Ok(response) => (response, false),
        Err(error) => {
            let may_try_again = error.may_try_again();
            (login.fail(&error), may_try_again)
        }
    };
    if !may_try_again {
        append(&mut response, &login.attempts.removal(&state));
    }
    response
}

async fn finish(
    login: &Arc<Shared>,
    session: &Session,
    answer: Answer,
    attempt: Attempt,
) -> Result<Response, LoginError> {
    check_issuer(login, answer.iss.as_deref()).await?;
    if let Some(error) = answer.error {
        return Err(denied(&error));
    }
    let (Some(state), Some(code)) = (answer.state, answer.code) else {
        return Err(invalid_answer("has neither a code nor an error"));
    };
    let return_to = attempt.return_to.clone();
    let session_ends = session.expiry_date().into();
    let callback = redeem::Callback { state, code, attempt, session_ends };
    let redeemed = login.redemptions.redeem(login, callback).await?;

    if redeemed.has_ended(&login.refresher) {
        let why = "the login that this callback made has ended";
        return Err(LoginError::new(Kind::UnknownAttempt, why));
    }
    let handed_over = hand_over(login, session, &redeemed).await;
    if !matches!(handed_over, Ok(Ok(()))) {
        redeemed.drop_unless_given(&login.refresher).await;
    }
    match handed_over? {
        Ok(()) => Ok(see_other(&login.settings.url(&return_to), [])),
        Err(refusal) => {
            tracing::info!("the application refused a login");
            Ok(with_security_headers(refusal, None))
        }
    }
}

/// Gives the session the login, unless the application refuses.
async fn hand_over(
    login: &Shared,
    session: &Session,
    redeemed: &Redeemed,
) -> Result<Result<(), Response>, LoginError> {
    if let Err(refusal) = ask_application(login, session, redeemed).await? {
        return Ok(Err(refusal));
    }
    login.refresher.give_login(session, &redeemed.login).await?;
    redeemed.mark_given();
    Ok(Ok(()))
}

/// What the application's hook says, if there is one.
async fn ask_application(
    login: &Shared,
    session: &Session,
    redeemed: &Redeemed,
) -> Result<Result<(), Response>, LoginError> {
    let Some(hook) = &login.settings.on_login else { return Ok(Ok(())) };
    let verified = VerifiedLogin {
        claims: redeemed.claims.clone(),
        session: session.clone(),
        tokens: login.refresher.tokens(&redeemed.login),
    };
    let said = tokio::time::timeout(APPLICATION_LIMIT, hook(verified)).await;
    said.map_err(|_elapsed| {
        let why = "the application's on_login did not end in time (10 s)";
        LoginError::new(Kind::Unavailable, why)
    })
}

/// The answer names the provider that the browser was sent to (RFC 9207, section 2.4): another
/// provider could have the code sent to it.
async fn check_issuer(login: &Shared, iss: Option<&str>) -> Result<(), LoginError> {
    let at = login.refresher.providers().own();
    let Some(iss) = iss else {
        let metadata = at.logins.metadata().await.map_err(EndpointError::from)?;
        if metadata.authorization.answer_names_issuer {
            return Err(invalid_answer("does not name its issuer (iss)"));
        }
        return Ok(());
    };
    // Without an issuer nothing can be compared: a provider without OpenID Connect.
    let is_ours = at.provider.issuers().is_none_or(|issuers| issuers.may_answer(iss));
    if is_ours { Ok(()) } else { Err(invalid_answer("names another issuer (iss)")) }
}

/// RFC 6749, section 4.1.2.1; OpenID Connect Core 1.0, section 3.1.2.6. The description is
/// anybody's text, and is neither shown nor logged.
fn denied(code: &str) -> LoginError {
    let code = CODES.into_iter().find(|known| *known == code).unwrap_or("unregistered code");
    let message = format!("the provider answered the login with an error: {code}");
    let kind = match code {
        "access_denied"
        | "account_selection_required"
        | "consent_required"
        | "interaction_required"
        | "login_required"
        | "unmet_authentication_requirements" => Kind::Denied,
        "server_error" | "temporarily_unavailable" => Kind::Unavailable,
        _ => Kind::Misconfigured,
    };
    LoginError::new(kind, message).with_code(code)
}

/// `POST /callback`
pub(super) async fn form_post(State(login): State<Arc<Shared>>, body: Body) -> Response {
    let read = axum::body::to_bytes(body, MAX_FORM).await;
    let answer = read.map_err(|_| invalid_answer("is over 64 KiB, or broke off"));
    match answer.and_then(|form| Answer::read(&form)) {
        Ok(answer) => see_other(&answer.as_link(&login.redirect_uri), []),
        Err(error) => login.fail(&error),
    }
}

impl Answer {
    /// A parameter that comes twice is refused (RFC 6749, section 3.1): who knows which one
    /// somebody else has read.
    fn read(pairs: &[u8]) -> Result<Self, LoginError> {
        let mut answer = Self::default();
        for (name, value) in form_urlencoded::parse(pairs) {
            let place = match &*name {
                "state" => &mut answer.state,
                "code" => &mut answer.code,
                "error" => &mut answer.error,
                "iss" => &mut answer.iss,
                _ => continue,
            };
            if value.len() > LONGEST_VALUE {
                return Err(invalid_answer("has a parameter of more than 4 KiB"));
            }
            if place.replace(value.into_owned()).is_some() {
                return Err(invalid_answer("has a parameter twice"));
            }
        }
        if answer.state.is_none() {
            return Err(invalid_answer("has no state"));
        }
        Ok(answer)
    }

    fn as_link(&self, callback: &str) -> String {
        let fields = [
            ("state", &self.state),
            ("code", &self.code),
            ("error", &self.error),
            ("iss", &self.iss),
        ];
        let mut query = form_urlencoded::Serializer::new(String::new());
        for (name, value) in fields {
            if let Some(value) = value {
                query.append_pair(name, value);
            }
        }
        format!("{callback}?{}", query.finish())
    }
}

fn invalid_answer(rule: &'static str) -> LoginError {
    LoginError::new(Kind::InvalidRequest, format!("the answer to a login {rule}"))
}

/// Sends the browser on, by GET.
pub(super) fn see_other(to: &str, cookies: impl IntoIterator<Item = Cookie<'static>>) -> Response {
    // Made of parsed URLs and percent-encoded text.
    let to = HeaderValue::try_from(to).expect("a URL is visible ASCII");
    let mut response = (StatusCode::SEE_OTHER, [(header::LOCATION, to)]).into_response();
    for cookie in cookies {
        append(&mut response, &cookie);
    }
    with_security_headers(response, None)
}

fn append(response: &mut Response, cookie: &Cookie<'_>) {
    let line = HeaderValue::try_from(cookie.to_string());
    // Made of base64url, digits and dots.
    let line = line.expect("a cookie of ours is visible ASCII");
    response.headers_mut().append(header::SET_COOKIE, line);
}
