//! [`SchemeRule`]: to which URLs this crate may send secrets.

use std::collections::BTreeSet;

use http::Uri;
use url::{Host, Url};

use crate::{ConfigError, loopback::is_loopback};

/// Of a name, in characters.
const LONGEST_HOST: usize = 253;

/// Allows https everywhere, and plain http to loopback and to hosts allowed by name.
#[derive(Debug, Clone, Default)]
pub(crate) struct SchemeRule {
    allowed: BTreeSet<String>,
}

impl SchemeRule {
    pub(crate) fn allow(&mut self, host: &str) {
        // `Host` displays IPv6 addresses without brackets.
        let host = host.trim_start_matches('[').trim_end_matches(']');
        self.allowed.insert(host.to_ascii_lowercase());
    }

    /// Parses `value`, which is the setting `what`, and checks it against the rule.
    pub(crate) fn check(&self, what: &'static str, value: &str) -> Result<Uri, ConfigError> {
        let broken = |rule| ConfigError::Url { what, value: without_secrets(value), rule };

        let url = Url::parse(value).map_err(|_| broken("not an absolute URL"))?;
        let Some(host) = url.host() else { return Err(broken("it has no host")) };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(broken("it carries a user name or a password"));
        }
        if url.fragment().is_some() {
            return Err(broken("it has a fragment (RFC 6749, 3.2)"));
        }
        let host = name(&host);
        if host.len() > LONGEST_HOST {
            return Err(broken("its host is longer than a name can be (RFC 1035, 2.3.4)"));
        }
        match url.scheme() {
            "https" => {}
            "http" if is_loopback(&host) || self.allowed.contains(&host) => {}
            "http" => {
                return Err(ConfigError::PlainHttp { what, value: without_secrets(value), host });
            }
            _ => return Err(broken("neither https nor http")),
        }
        Uri::try_from(url.as_str())
            .map_err(|_| broken("it holds a character that HTTP does not allow"))
    }
}

fn name(host: &Host<&str>) -> String {
    match host {
        Host::Domain(name) => name.to_ascii_lowercase(),
        Host::Ipv4(address) => address.to_string(),
        Host::Ipv6(address) => address.to_string(),
    }
}

/// `value` for an error message: without user name, password, query and fragment, and cut at 200
/// characters. For people: different URLs may look the same.
pub(crate) fn without_secrets(value: &str) -> String {
    let is_scheme = |end: &usize| value[..*end].bytes().all(|byte| byte.is_ascii_alphanumeric());
    let (scheme, rest) =
        value.split_at(value.find("://").filter(is_scheme).map_or(0, |end| end + 3));
    // Looks past slashes and question marks as well: a password may contain any character.
    let start = rest.rfind('@').map_or(0, |at| at + 1);
    let end = rest.find(['?', '#']).unwrap_or(rest.len());
    let shown = rest.get(start..end).unwrap_or_default();
    format!("{scheme}{shown}").chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(value: &str) -> Result<Uri, ConfigError> {
        SchemeRule::default().check("the token URL", value)
    }

    /// Errors name the host, and a discovery document may say anything.
    #[test]
    fn a_host_that_no_name_server_could_know_is_cut_in_the_error() {
        for scheme in ["http", "https"] {
            let error = check(&format!("{scheme}://{}/token", "a".repeat(254))).unwrap_err();
            let error = error.to_string();
            assert!(error.contains("its host is longer than a name can be"), "{error}");
            assert!(error.len() < 400, "{error}");
        }
        assert!(check(&format!("https://{}/token", "a".repeat(253))).is_ok());
    }

    #[test]
    fn https_goes_anywhere_and_plain_http_to_loopback_only() {
        for good in [
            "https://id.example/token?tenant=1",
            "http://127.0.0.1:8080/token",
            "http://127.9.9.9/",
            "http://[::1]:8080/token",
            "http://LOCALHOST/token",
        ] {
            assert!(check(good).is_ok(), "{good}");
        }
        for bad in [
            "http://id.example/token",
            "http://localhost.example/token",
            "http://128.0.0.1/",
            "http://[::2]/",
            "http://10.0.0.1/",
        ] {
            assert!(matches!(check(bad), Err(ConfigError::PlainHttp { .. })), "{bad}");
        }
        for bad in ["", "token", "/token", "ftp://id.example/", "data:text/plain,x", "https://"] {
            assert!(matches!(check(bad), Err(ConfigError::Url { .. })), "{bad}");
        }
    }

    #[test]
    fn a_host_is_allowed_by_its_name_and_no_other() {
        let mut rule = SchemeRule::default();
        rule.allow("Keycloak");
        rule.allow("[fd00::1]");
        assert!(rule.check("the token URL", "http://keycloak:8080/token").is_ok());
        assert!(rule.check("the token URL", "http://[fd00::1]/token").is_ok());
        let error =
            rule.check("the token URL", "http://keycloak.example/token?q=hunter2").unwrap_err();
        assert_eq!(
            error.to_string(),
            "the token URL \"http://keycloak.example/token\" is plain http to \"keycloak.example\", which is not \
             loopback: use https, or `allow_http_to(\"keycloak.example\")`"
        );
    }

    #[test]
    fn secrets_in_a_url_are_refused_and_not_shown() {
        for bad in [
            "https://user:hunter2@id.example/token",
            "https://hunter2@id.example/",
            "https://id.example/token#hunter2",
            "https://user:hun/ter2@id.example:x/token?hunter2",
            "hunter2@nowhere?hunter2",
            "https://user:hunter2?x@id.example/",
            "https://user:hunter2#x@id.example/",
            "(hunter2://@",
        ] {
            let error = check(bad).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("ter2"), "{error}");
        }
    }

    #[test]
    fn of_a_url_nothing_is_shown_before_an_at_sign_or_after_a_question_mark() {
        for (value, shown) in [
            ("https://id.example:8443/a?b#c", "https://id.example:8443/a"),
            ("https://user:hunter2@id.example/a", "https://id.example/a"),
            ("https://user:hunter2?x@id.example/a", "https://"),
            ("https://id.example/a?mail=b@c.example", "https://"),
            // Its host is "(hunter2https".
            ("https:/(hunter2https://id.example@id.exa((?", "id.exa(("),
            ("(hunter2://@", ""),
        ] {
            assert_eq!(without_secrets(value), shown);
        }
    }
}
