//! What is wrong with a setting, without what is secret in it.

use std::{borrow::Cow, fmt};

use url::Url;

/// One line: the variable, its value where that is no secret, and the rule.
#[derive(Debug)]
pub struct SettingError {
    variable: Cow<'static, str>,
    value: Option<String>,
    rule: Cow<'static, str>,
}

impl SettingError {
    pub(super) fn shown(
        variable: impl Into<Cow<'static, str>>,
        value: &str,
        rule: impl Into<Cow<'static, str>>,
    ) -> Self {
        let value = Some(without_secrets(value));
        Self { variable: variable.into(), value, rule: rule.into() }
    }

    /// A secret that is a URL, without what is secret in it. Whatever else stands in its place is not
    /// shown: it may be the password alone.
    pub(super) fn masked(
        variable: &'static str,
        value: &str,
        rule: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self { variable: variable.into(), value: masked_url(value), rule: rule.into() }
    }

    /// Where there is no value, or one that nobody should see.
    pub(super) fn unshown(
        variable: impl Into<Cow<'static, str>>,
        rule: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self { variable: variable.into(), value: None, rule: rule.into() }
    }
}

impl fmt::Display for SettingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            // Quoted, so that a line break in it does not make a second line.
            Some(value) => write!(f, "{} {value:?}: {}", self.variable, self.rule),
            None => write!(f, "{}: {}", self.variable, self.rule),
        }
    }
}

/// The URL of a store without its password. None of what is no such URL, as nobody knows where in it
/// a password is.
pub fn masked_url(value: &str) -> Option<String> {
    // The parser skips some of these.
    let is_one_word = !value.contains(|c: char| c.is_whitespace() || c.is_control());
    let is_url = value.contains("://") && Url::parse(value).is_ok_and(|url| url.has_host());
    (is_one_word && is_url || value.starts_with("sqlite:")).then(|| without_secrets(value))
}

/// Whatever might be a password is cut out, even of a value that is no URL.
fn without_secrets(value: &str) -> String {
    // An unescaped `?` or `#` in a password ends nothing: what follows is still a part of it.
    if let Some(at) = value.find(['?', '#'])
        && value[at..].contains('@')
    {
        return value.split_once("://").map_or("…".to_owned(), |(scheme, _)| {
            scheme.chars().take(20).chain("://…".chars()).collect()
        });
    }
    let (value, query) = value.split_at(value.find(['?', '#']).unwrap_or(value.len()));
    let query = if query.is_empty() { "" } else { "?…" };
    let shown = match (value.split_once("://"), value.rsplit_once('@')) {
        (_, None) => value.to_owned(),
        (Some((scheme, _)), Some((_, rest))) => format!("{scheme}://…@{rest}"),
        (None, Some((_, rest))) => format!("…@{rest}"),
    };
    shown.chars().take(200).chain(query.chars()).collect()
}
