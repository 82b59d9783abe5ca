//! Which settings can work.

use url::Url;

use crate::{
    ConfigError,
    endpoint::{Provider, is_scope_word, without_secrets},
    login::shared::Settings,
    return_path::safe_return_to,
};

/// What an authorization request of this crate says itself.
const OWN_PARAMS: [&str; 14] = [
    "client_assertion",
    "client_assertion_type",
    "client_id",
    "client_secret",
    "code_challenge",
    "code_challenge_method",
    "nonce",
    "redirect_uri",
    "request",
    "request_uri",
    "response_mode",
    "response_type",
    "scope",
    "state",
];

/// The prefix and the paths of the three routes.
pub(super) fn check_paths(prefix: &str, paths: &[String; 3]) -> Result<(), ConfigError> {
    let is_path = |path: &str| is_own_path(path) && !path.contains(['?', '#', '{', '}', ':', '*']);
    if !prefix.is_empty() && (!is_path(prefix) || prefix.ends_with('/')) {
        let rule = "must be empty, or begin with a single `/` and not end with one";
        return broken("the prefix of the login routes", prefix, rule);
    }
    for (index, path) in paths.iter().enumerate() {
        if !is_path(path) {
            let rule = "must begin with a single `/` and have no query, fragment, braces, colon or asterisk";
            return broken("a path of the login routes", path, rule);
        }
        if paths[..index].contains(path) {
            return broken("a path of the login routes", path, "must differ from the others");
        }
    }
    Ok(())
}

impl Settings {
    /// Checks all but the origin.
    pub(super) fn check(&self, provider: &Provider) -> Result<(), ConfigError> {
        for (what, path) in [("home", &self.home), ("after_logout", &self.after_logout)] {
            if !is_own_path(path) {
                return broken(what, path, "must be a path of this application");
            }
        }
        self.check_scopes(provider)?;
        self.params.iter().try_for_each(|param| self.check_param(param))
    }

    fn check_scopes(&self, provider: &Provider) -> Result<(), ConfigError> {
        if let Some(scope) = self.scopes.iter().find(|scope| !is_scope_word(scope)) {
            return broken("a scope", scope, "must be one ASCII word (RFC 6749, 3.3)");
        }
        let incomplete = |value: &str, rule| {
            let what = "the endpoint of the login routes";
            Err(ConfigError::Range { what, value: value.into(), rule })
        };
        if !provider.can_log_in() {
            return incomplete("incomplete", "needs `authorization_url`, or discovery");
        }
        if !self.is_openid() && self.user_info.is_none() {
            let rule = "need `openid` among them, or `user_info`: nothing says who the user is";
            return broken("the scopes", &self.scopes.join(" "), rule);
        }
        if self.is_openid() && provider.issuers().is_none() {
            let rule = "needs an `issuer`, or discovery: ID tokens are verified by it";
            return incomplete("without an issuer", rule);
        }
        Ok(())
    }

    fn check_param(&self, (name, value): &(String, String)) -> Result<(), ConfigError> {
        if name.is_empty() || OWN_PARAMS.contains(&name.as_str()) {
            let rule = "must not be empty, nor a parameter that this crate sends itself";
            return broken("the name of a param of the login routes", name, rule);
        }
        if name != "max_age" {
            return Ok(());
        }
        if !self.is_openid() {
            let rule = "needs the scope `openid`: the ID token says when the user logged in";
            return broken("max_age", value, rule);
        }
        match value.parse::<u64>() {
            Ok(_) => Ok(()),
            Err(_) => broken("max_age", value, "must be whole seconds"),
        }
    }
}

fn is_own_path(path: &str) -> bool {
    safe_return_to(path).as_deref() == Some(path)
}

fn broken(what: &'static str, value: &str, rule: &'static str) -> Result<(), ConfigError> {
    Err(ConfigError::Range { what, value: format!("{value:?}"), rule })
}

pub(super) fn check_origin(origin: &str) -> Result<String, ConfigError> {
    let broken = |rule| {
        let value = without_secrets(origin);
        Err(ConfigError::Url { what: "the origin of the login routes", value, rule })
    };
    let Ok(url) = Url::parse(origin) else { return broken("it is not an absolute URL") };
    if !matches!(url.scheme(), "http" | "https") {
        return broken("it must be http or https");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return broken("it must have no user name and no password");
    }
    if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
        return broken("it must have no path, query or fragment");
    }
    Ok(url.origin().ascii_serialization())
}
