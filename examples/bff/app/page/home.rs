//! `GET /`: who is logged in, and how long the access token lives.
//!
//! In an outage there may be no token, but who is logged in is still known. So the page still says
//! it, says when to try again, and still logs out.

use std::time::SystemTime;

use axum::{
    extract::{RawQuery, State},
    http::StatusCode,
    response::Response,
};
use tower_token_refresh::{AccessToken, Identity, RefreshError, StandardClaims};

use super::{
    super::App,
    failure::{failed, try_again_in, whole_seconds},
    layout::{escaped, page},
};

const LOG_IN: &str = "<p class=\"actions\"><a class=\"button\" href=\"/auth/login\">Log in</a></p>";
const LOG_OUT: &str = "<form method=\"post\" action=\"/auth/logout\"><button id=\"logout\" class=\"quiet\">Log out</button></form>";

/// Works by the script alone, so the script shows it.
const CALLS: &str = "<section class=\"demo\">\n<h2>Many calls, one refresh</h2>\n\
     <p>The access token is made to expire. Then 20 calls go to the API at the same moment.</p>\n\
     <button type=\"button\" id=\"calls\" hidden>20 calls at once</button>\n\
     <output id=\"answers\" for=\"calls\"></output>\n\
     <noscript>This needs a script.</noscript>\n</section>\n";

pub(crate) async fn home(
    State(app): State<App>,
    RawQuery(query): RawQuery,
    user: Result<Option<Identity>, RefreshError>,
    token: Result<Option<AccessToken>, RefreshError>,
) -> Response {
    let user = match user {
        Ok(Some(user)) => user,
        Ok(None) if comes_from_log_out(query.as_deref()) => {
            return nobody("<p class=\"notice\" role=\"status\">You are logged out.</p>");
        }
        Ok(None) => return nobody("<p>You are not logged in.</p>"),
        Err(error) => return failed(&error),
    };
    let name = name_of(&user);
    match token {
        Ok(Some(token)) => logged_in(name, token.expires_at(), app.clock.now(), app.demo),
        Ok(None) => nobody(
            "<p class=\"notice\" role=\"status\">Your login has ended.</p>\n\
             <p>You are not logged in any more.</p>",
        ),
        Err(error) => without_token(name, &error),
    }
}

/// Providers add parameters of their own to the address that a log out leads back to.
fn comes_from_log_out(query: Option<&str>) -> bool {
    let mut names = query.unwrap_or_default().split('&').filter_map(|pair| pair.split('=').next());
    names.any(|name| name == "logged_out")
}

fn nobody(what_happened: &str) -> Response {
    page(StatusCode::OK, "Welcome", &format!("{what_happened}\n{LOG_IN}"))
}

/// The page of a user with a token.
pub(crate) fn logged_in(
    name: &str,
    expires_at: SystemTime,
    now: SystemTime,
    demo: bool,
) -> Response {
    let left = expires_at.duration_since(now).unwrap_or_default().as_secs();
    let content = format!(
        "{who}\n\
         <p id=\"token\" class=\"panel\" data-over=\"The access token has expired. The next request brings a new one.\">\
         The access token expires in <span class=\"large\"><span id=\"seconds\">{left}</span> <span>{unit}</span></span> \
         at <time id=\"expires\">{expires}</time>.</p>\n\
         {demo}\
         <p class=\"soft\">The tokens stay on the server. This browser has a session cookie, and no script can read it.</p>\n\
         <div class=\"actions\">{LOG_OUT}</div>",
        who = who(name),
        unit = unit(left),
        expires = httpdate::fmt_http_date(expires_at.max(SystemTime::UNIX_EPOCH)),
        demo = if demo { CALLS } else { "" },
    );
    page(StatusCode::OK, "Welcome", &content)
}

/// The page of a user who has no token at the moment. In an outage it is a 503, although it says
/// all that it can: what the user came for is not there, and whoever watches this server, or caches
/// its answers, must not take this for the usual page.
fn without_token(name: &str, error: &RefreshError) -> Response {
    let status = error.kind().status();
    if status != StatusCode::SERVICE_UNAVAILABLE {
        return failed(error);
    }
    tracing::warn!(?error, "the home page has no access token");
    let seconds = whole_seconds(error.retry_after());
    let content = format!(
        "{who}\n\
         <p class=\"notice\">The login service cannot be reached at the moment, so there is no fresh access token. You are still logged in.</p>\n\
         <p class=\"panel\" data-over=\"You can try again now.\">You can try again in \
         <span class=\"large\"><span id=\"retry\">{seconds}</span> <span>{unit}</span></span></p>\n\
         <div class=\"actions\"><a class=\"button\" href=\"/\">Try again</a>\n{LOG_OUT}</div>",
        who = who(name),
        unit = unit(seconds),
    );
    try_again_in(seconds, page(status, "Please try again soon", &content))
}

fn who(name: &str) -> String {
    let initial = name.chars().next().unwrap_or('?').to_uppercase().to_string();
    format!(
        "<p class=\"who\"><span class=\"mark\" aria-hidden=\"true\">{}</span> \
         <span>You are logged in as <strong id=\"name\">{}</strong>.</span></p>",
        escaped(&initial),
        escaped(name)
    )
}

fn unit(seconds: u64) -> &'static str {
    if seconds == 1 { "second" } else { "seconds" }
}

fn name_of(user: &StandardClaims) -> &str {
    let names = [&user.preferred_username, &user.email, &user.sub];
    names.into_iter().flatten().next().map_or("somebody", String::as_str)
}
