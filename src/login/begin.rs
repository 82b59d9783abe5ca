//! `GET /login`: to the provider, with an attempt in a cookie.

use std::sync::Arc;

use axum::{
    extract::{RawQuery, State},
    response::Response,
};
use http::{HeaderMap, HeaderName};
use url::{Url, form_urlencoded};

use super::{
    attempt::{Attempt, random_state},
    callback::see_other,
    error::{LoginError, LoginErrorKind as Kind},
    shared::Shared,
};
use crate::{
    endpoint::{AuthorizationRequest, EndpointError, EndpointErrorKind},
    return_path::safe_return_to,
};

/// What a link may add to the authorization request (OpenID Connect Core 1.0, section 3.1.2.1).
/// Nobody can log in as somebody else by these.
const FROM_THE_LINK: [&str; 5] = ["acr_values", "login_hint", "max_age", "prompt", "ui_locales"];
/// The longest value of these, in bytes.
const LONGEST_VALUE: usize = 512;
/// The longest path to come back to, in bytes: it lies in a cookie, and many tabs may begin at once.
const LONGEST_RETURN: usize = 512;
const FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
const PURPOSE: HeaderName = HeaderName::from_static("sec-purpose");

/// What a link to the login asks for.
struct Asked {
    return_to: Option<String>,
    params: Vec<(&'static str, String)>,
}

pub(super) async fn begin(
    State(login): State<Arc<Shared>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let begun = begin_login(&login, query.as_deref().unwrap_or_default(), &headers).await;
    begun.unwrap_or_else(|error| login.fail(&error))
}

async fn begin_login(
    login: &Shared,
    query: &str,
    headers: &HeaderMap,
) -> Result<Response, LoginError> {
    if !opens_a_page(headers) {
        let why = "a login begins where a page is opened, and not for a picture, a script or ahead of time";
        return Err(LoginError::new(Kind::InvalidRequest, why));
    }
    let asked = read(query)?;
    let settings = &login.settings;
    let mut params = with_settings(&settings.params, asked.params);
    if !settings.is_openid() {
        // Without an ID token nothing could be held against it.
        params.retain(|(name, _)| name != "max_age");
    }
    let max_age = max_age(&params)?;
    let return_to = asked.return_to.as_deref().and_then(safe_return_to);
    // Whoever comes back here is sent away again at once.
    let is_login = |path: &String| path.split(['?', '#']).next() == Some(&login.login_path);
    let return_to = return_to.filter(|path| !is_login(path) && path.len() <= LONGEST_RETURN);
    let attempt = Attempt::new(return_to.unwrap_or_else(|| settings.home.clone()), max_age);
    let state = random_state();

    let at = login.refresher.providers().own();
    let metadata = at.logins.metadata().await.map_err(EndpointError::from)?;
    let endpoint = metadata.authorization.endpoint.as_ref().ok_or_else(|| {
        let why = "the provider's discovery document names no authorization_endpoint";
        LoginError::new(Kind::Misconfigured, why)
    })?;
    let mut request = request(login, at.provider.client_id(), &state, &attempt);
    request.extend(params);
    if settings.pushed || metadata.authorization.must_be_pushed {
        let request_uri = at.logins.push(&metadata, &request).await.map_err(not_pushed)?;
        // The provider has the rest (RFC 9126, section 4).
        request.retain(|(name, _)| name == "client_id");
        request.push(("request_uri".to_owned(), request_uri));
    }
    let unusable = |_| LoginError::new(Kind::Misconfigured, "the authorization URL is unusable");
    let mut to = Url::parse(&endpoint.to_string()).map_err(unusable)?;
    to.query_pairs_mut().extend_pairs(&request);

    let now = login.refresher.clock().now();
    let cookie = login.attempts.cookie(&state, &attempt, now);
    let cookie =
        cookie.ok_or_else(|| LoginError::new(Kind::Internal, "the attempt cannot be sealed"))?;
    let forgotten = login.attempts.surplus(headers, &cookie);
    let removals = forgotten.iter().map(|state| login.attempts.removal(state));
    Ok(see_other(to.as_str(), removals.chain([cookie])))
}

/// Each login that begins costs the browser a cookie, so that a page full of pictures with the
/// login's address would leave it with more than it can send. Old browsers do not say.
fn opens_a_page(headers: &HeaderMap) -> bool {
    let is_ahead_of_time =
        headers.get(PURPOSE).is_some_and(|purpose| purpose.as_bytes().starts_with(b"prefetch"));
    let mode = headers.get(FETCH_MODE);
    mode.is_none_or(|mode| mode == "navigate") && !is_ahead_of_time
}

/// What ends a login at the token endpoint is a refusal of this application here.
fn not_pushed(error: EndpointError) -> LoginError {
    if *error.kind() == EndpointErrorKind::InvalidGrant {
        let why = "the provider refused the pushed authorization request";
        return LoginError::new(Kind::Misconfigured, why);
    }
    error.into()
}

/// The query of a link. What comes twice counts once: the first.
fn read(query: &str) -> Result<Asked, LoginError> {
    let mut asked = Asked { return_to: None, params: Vec::new() };
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        if name == "return_to" {
            asked.return_to.get_or_insert(value.into_owned());
        } else if let Some(name) = FROM_THE_LINK.into_iter().find(|known| *known == name)
            && asked.params.iter().all(|(known, _)| *known != name)
        {
            if value.len() > LONGEST_VALUE {
                return Err(LoginError::new(
                    Kind::InvalidRequest,
                    format!("{name} in a link to the login is longer than {LONGEST_VALUE} bytes"),
                ));
            }
            asked.params.push((name, value.into_owned()));
        }
    }
    Ok(asked)
}

/// What the settings say, a link does not change.
fn with_settings(
    settings: &[(String, String)],
    asked: Vec<(&'static str, String)>,
) -> Vec<(String, String)> {
    let is_set = |name: &str| settings.iter().any(|(known, _)| known == name);
    let asked = asked.into_iter().filter(|(name, _)| !is_set(name));
    let asked = asked.map(|(name, value)| (name.to_owned(), value));
    settings.iter().cloned().chain(asked).collect()
}

fn max_age(params: &[(String, String)]) -> Result<Option<u64>, LoginError> {
    let Some((_, value)) = params.iter().find(|(name, _)| name == "max_age") else {
        return Ok(None);
    };
    let seconds = value.parse().map_err(|_| {
        LoginError::new(Kind::InvalidRequest, "max_age in a link is not a number of seconds")
    })?;
    Ok(Some(seconds))
}

fn request(
    login: &Shared,
    client_id: &str,
    state: &str,
    attempt: &Attempt,
) -> AuthorizationRequest {
    let settings = &login.settings;
    let (challenge, scopes) = (attempt.challenge(), settings.scopes.join(" "));
    let always = [
        ("response_type", "code"),
        ("client_id", client_id),
        ("redirect_uri", &login.redirect_uri),
        ("state", state),
        ("code_challenge", &challenge),
        ("code_challenge_method", "S256"),
    ];
    let scope = Some(("scope", &*scopes)).filter(|_| !scopes.is_empty());
    let nonce = Some(("nonce", &*attempt.nonce)).filter(|_| settings.is_openid());
    let mode = Some(("response_mode", "form_post")).filter(|_| settings.form_post);
    let fields = always.into_iter().chain(scope).chain(nonce).chain(mode);
    fields.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}
