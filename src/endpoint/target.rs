//! [`TokenTarget`]: what a token of the application itself is for.

use std::fmt;

use url::{Url, form_urlencoded::Serializer};

use super::request::OWN_PARAMS;
use crate::ConfigError;

/// What a token is for: its scope, and the APIs that it is good at. The default asks for nothing, and
/// the provider decides.
///
/// ```
/// use tower_token_refresh::TokenTarget;
///
/// let orders = TokenTarget::new()
///     .scope("orders:read orders:write")
///     .audience("https://orders.example");
/// # let _ = orders;
/// ```
///
/// The setters check nothing; whoever takes a target does. Its
/// [`ConfigError`] names the value and the rule:
///
/// | setting | rule |
/// |---|---|
/// | `scope` | words of printable ASCII without `"` and `\`, with spaces between them (RFC 6749, section 3.3) |
/// | `audience` | not empty |
/// | `resource` | an absolute URI without a fragment (RFC 8707, section 2) |
/// | `param` | not a parameter that this crate sets itself |
///
/// `Debug` does not show the values of `param`.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct TokenTarget {
    scope: Option<String>,
    audiences: Vec<String>,
    resources: Vec<String>,
    params: Vec<(String, String)>,
}

impl TokenTarget {
    /// Asks for nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the scope (RFC 6749, section 3.3).
    #[must_use]
    pub fn scope(mut self, scope: impl Into<String>) -> Self {
        self.scope = Some(scope.into());
        self
    }

    /// Adds an audience: the name of an API, as the provider knows it (RFC 8693, section 2.1). Auth0
    /// and others take it with client credentials as well.
    #[must_use]
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.audiences.push(audience.into());
        self
    }

    /// Adds a resource: where an API is (RFC 8707).
    #[must_use]
    pub fn resource(mut self, uri: impl Into<String>) -> Self {
        self.resources.push(uri.into());
        self
    }

    /// Adds a parameter that a provider wants beside these.
    #[must_use]
    pub fn param(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.params.push((name.into(), value.into()));
        self
    }

    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        let broken = |what, value: &str, rule| {
            Err(ConfigError::Range { what, value: format!("{value:?}"), rule })
        };
        if let Some(scope) = &self.scope
            && !is_scope(scope)
        {
            let rule = "must be words of printable ASCII without quotes and backslashes, with one \
                        space between them";
            return broken("the scope of a TokenTarget", scope, rule);
        }
        if self.audiences.iter().any(String::is_empty) {
            return broken("an audience of a TokenTarget", "", "must not be empty");
        }
        for resource in &self.resources {
            if !Url::parse(resource).is_ok_and(|uri| uri.fragment().is_none()) {
                let rule = "must be an absolute URI without a fragment";
                return broken("a resource of a TokenTarget", resource, rule);
            }
        }
        for (name, _) in &self.params {
            let own = ["scope", "audience", "resource"];
            if name.is_empty() || own.iter().chain(&OWN_PARAMS).any(|own| own == name) {
                let rule = "must be named, and not a parameter that this crate sets itself";
                return broken("the name of a param of a TokenTarget", name, rule);
            }
        }
        Ok(())
    }

    pub(super) fn scope_value(&self) -> Option<&str> {
        self.scope.as_deref()
    }

    /// What goes into the form.
    pub(super) fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        let scope = self.scope.as_deref().map(|scope| ("scope", scope));
        let audiences = self.audiences.iter().map(|audience| ("audience", &**audience));
        let resources = self.resources.iter().map(|resource| ("resource", &**resource));
        let params = self.params.iter().map(|(name, value)| (&**name, &**value));
        scope.into_iter().chain(audiences).chain(resources).chain(params)
    }

    /// The same for two targets only if they ask for the same. May hold a secret.
    pub(crate) fn to_secret_form(&self) -> String {
        Serializer::new(String::new()).extend_pairs(self.pairs()).finish()
    }
}

fn is_scope(scope: &str) -> bool {
    scope.split(' ').all(is_scope_word)
}

/// One `scope-token` (RFC 6749, section 3.3).
pub(crate) fn is_scope_word(word: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\';
    !word.is_empty() && word.bytes().all(fits)
}

impl fmt::Debug for TokenTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.params.iter().map(|(name, _)| name).collect();
        // Without what was not set: it stands in lines of the log.
        let mut shown = f.debug_struct("TokenTarget");
        if let Some(scope) = &self.scope {
            shown.field("scope", scope);
        }
        if !self.audiences.is_empty() {
            shown.field("audiences", &self.audiences);
        }
        if !self.resources.is_empty() {
            shown.field("resources", &self.resources);
        }
        if !names.is_empty() {
            shown.field("params", &names);
        }
        shown.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_provider_would_refuse_is_refused_here_and_named() {
        for (target, named) in [
            (TokenTarget::new().scope(""), r#"the scope of a TokenTarget is "": must be words"#),
            (TokenTarget::new().scope("a  b"), r#""a  b""#),
            (TokenTarget::new().scope(" a"), r#"" a""#),
            (TokenTarget::new().scope("a\"b"), "quotes"),
            (TokenTarget::new().scope("gr\u{fc}n"), "printable ASCII"),
            (TokenTarget::new().audience(""), "an audience of a TokenTarget"),
            (TokenTarget::new().resource("orders"), r#""orders": must be an absolute URI"#),
            (TokenTarget::new().resource("https://orders.example/#top"), "without a fragment"),
            (TokenTarget::new().param("", "x"), "must be named"),
            (TokenTarget::new().param("grant_type", "x"), r#""grant_type""#),
            (TokenTarget::new().param("scope", "x"), r#""scope""#),
        ] {
            let error = target.check().expect_err(named).to_string();
            assert!(error.contains(named), "{error}");
        }
    }

    #[test]
    fn what_is_asked_for_goes_into_the_form_in_order() {
        let target = TokenTarget::new()
            .resource("https://a.example/x?y")
            .audience("a b")
            .audience("c")
            .scope("one two")
            .param("account_id", "7&8");
        assert_eq!(target.check(), Ok(()));
        let form = "scope=one+two&audience=a+b&audience=c&resource=https%3A%2F%2Fa.example%2Fx%3Fy\
                    &account_id=7%268";
        assert_eq!(target.to_secret_form(), form);
        assert_eq!(TokenTarget::new().to_secret_form(), "");
    }

    #[test]
    fn debug_shows_no_value_of_a_param() {
        let shown = format!("{:?}", TokenTarget::new().scope("a").param("key", "s3cret"));
        assert!(shown.contains("key") && !shown.contains("s3cret"), "{shown}");
    }
}
