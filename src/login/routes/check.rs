//! Which settings can work.

use url::Url;

use super::LoginRoutes;
use crate::{ConfigError, endpoint::without_secrets, return_path::safe_return_to};

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

impl LoginRoutes {
    pub(super) fn check_paths(&self) -> Result<(), ConfigError> {
        let is_path = |path: &str| {
            safe_return_to(path).as_deref() == Some(path)
                && !path.contains(['?', '#', '{', '}', ':', '*'])
        };
        let broken = |what, value: &str, rule| {
            Err(ConfigError::Range { what, value: format!("{value:?}"), rule })
        };
        if !self.prefix.is_empty() && (!is_path(&self.prefix) || self.prefix.ends_with('/')) {
            let rule = "must be empty, or begin with a single `/` and not end with one";
            return broken("the prefix of the login routes", &self.prefix, rule);
        }
        for path in &self.paths {
            if !is_path(path) {
                let rule = "must begin with a single `/` and have no query, fragment, braces, colon or asterisk";
                return broken("a path of the login routes", path, rule);
            }
        }
        if let Some(path) = self
            .paths
            .iter()
            .enumerate()
            .find_map(|(index, path)| self.paths[..index].contains(path).then_some(path))
        {
            return broken("a path of the login routes", path, "must differ from the others");
        }
        for (what, path) in [("home", &self.home), ("after_logout", &self.after_logout)] {
            if safe_return_to(path).as_ref() != Some(path) {
                return broken(what, path, "must be a path of this application");
            }
        }
        Ok(())
    }

    pub(super) fn check_scopes(&self) -> Result<(), ConfigError> {
        let range = |what, value: String, rule| Err(ConfigError::Range { what, value, rule });
        // RFC 6749, section 3.3.
        let is_scope = |scope: &String| {
            let allowed = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\');
            !scope.is_empty() && scope.bytes().all(allowed)
        };
        if let Some(scope) = self.scopes.iter().find(|scope| !is_scope(scope)) {
            return range(
                "a scope",
                format!("{scope:?}"),
                "must be one ASCII word (RFC 6749, 3.3)",
            );
        }
        let provider = &self.refresher.providers().own().provider;
        if !provider.can_log_in() {
            let rule = "needs `authorization_url`, or discovery";
            return range("the endpoint of the login routes", "incomplete".into(), rule);
        }
        if !self.scopes.iter().any(|scope| scope == "openid") {
            if self.user_info.is_none() {
                let rule = "need `openid` among them, or `user_info`: nothing says who the user is";
                return range("the scopes", format!("{:?}", self.scopes.join(" ")), rule);
            }
        } else if provider.issuers().is_none() {
            let rule = "needs an `issuer`, or discovery: ID tokens are verified by it";
            return range("the endpoint of the login routes", "without an issuer".into(), rule);
        }
        Ok(())
    }

    pub(super) fn check_params(&self) -> Result<(), ConfigError> {
        let is_openid = self.scopes.iter().any(|scope| scope == "openid");
        for (name, value) in &self.params {
            if name.is_empty() || OWN_PARAMS.contains(&name.as_str()) {
                return Err(ConfigError::Range {
                    what: "the name of a param of the login routes",
                    value: format!("{name:?}"),
                    rule: "must not be empty, nor a parameter that this crate sends itself",
                });
            }
            if name == "max_age" && !is_openid {
                return Err(ConfigError::Range {
                    what: "max_age",
                    value: format!("{value:?}"),
                    rule: "needs the scope `openid`: the ID token says when the user logged in",
                });
            }
            if name == "max_age" && value.parse::<u64>().is_err() {
                return Err(ConfigError::Range {
                    what: "max_age",
                    value: format!("{value:?}"),
                    rule: "must be whole seconds",
                });
            }
        }
        Ok(())
    }
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
