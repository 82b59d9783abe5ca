//! Extra parameters for the provider, written as in a query: `audience=https://api&prompt=consent`.

use url::form_urlencoded;

use super::SettingError;

/// What this application says itself.
const OWN: [&str; 11] = [
    "client_id",
    "client_secret",
    "code_challenge",
    "code_challenge_method",
    "grant_type",
    "nonce",
    "redirect_uri",
    "refresh_token",
    "response_type",
    "scope",
    "state",
];

pub type Params = Vec<(String, String)>;

/// `may_say_scope`: at a refresh this application sends none of its own.
pub fn parse(
    variable: &'static str,
    value: &str,
    may_say_scope: bool,
) -> Result<Params, SettingError> {
    let params: Params = form_urlencoded::parse(value.as_bytes()).into_owned().collect();
    let is_own = |name: &str| OWN.contains(&name) && !(may_say_scope && name == "scope");
    match params.iter().find(|(name, _)| name.is_empty() || is_own(name)) {
        None => Ok(params),
        Some((name, _)) => {
            let rule = "must have a name, and not one that this application sends itself";
            Err(SettingError::shown(variable, name, rule))
        }
    }
}
