//! Extra parameters for the provider, written as in a query: `audience=https://api&prompt=consent`.

use url::form_urlencoded;

use super::SettingError;

/// What this application says itself, in the request that logs in or in a refresh.
const OWN: [&str; 16] = [
    "client_assertion",
    "client_assertion_type",
    "client_id",
    "client_secret",
    "code_challenge",
    "code_challenge_method",
    "grant_type",
    "nonce",
    "redirect_uri",
    "refresh_token",
    "request",
    "request_uri",
    "response_mode",
    "response_type",
    "scope",
    "state",
];

pub type Params = Vec<(String, String)>;

/// Of the request that logs in.
pub fn login(value: &str) -> Result<Params, SettingError> {
    let params = parse("LOGIN_PARAMS", value, |name| OWN.contains(&name))?;
    let max_age = params.iter().find(|(name, _)| name == "max_age");
    match max_age {
        Some((_, age)) if age.parse::<u64>().is_err() => {
            Err(SettingError::shown("LOGIN_PARAMS", age, "max_age must be whole seconds"))
        }
        _ => Ok(params),
    }
}

/// Of each refresh, at which this application sends no scope of its own.
pub fn refresh(value: &str) -> Result<Params, SettingError> {
    parse("REFRESH_PARAMS", value, |name| OWN.contains(&name) && name != "scope")
}

fn parse(
    variable: &'static str,
    value: &str,
    is_own: impl Fn(&str) -> bool,
) -> Result<Params, SettingError> {
    let params: Params = form_urlencoded::parse(value.as_bytes()).into_owned().collect();
    match params.iter().find(|(name, _)| name.is_empty() || is_own(name)) {
        None => Ok(params),
        Some((name, _)) => {
            let rule = "must have a name, and not one that this application sends itself";
            Err(SettingError::shown(variable, name, rule))
        }
    }
}
