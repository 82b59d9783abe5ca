//! Where the browser goes after it has logged in: a path of this application, whatever the link
//! said.

use url::Url;

use super::settings::BaseUrl;

/// It travels in a cookie, and several of those must fit into the header of a request.
const LONGEST: usize = 512;

/// A path with its query, on this application's own origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReturnPath(String);

impl ReturnPath {
    pub fn home() -> Self {
        Self("/".to_owned())
    }

    /// None for everything that could lead elsewhere: another origin or scheme, `//host`, `/\host`,
    /// control characters.
    pub fn parse(value: &str, base: &BaseUrl) -> Option<Self> {
        // Browsers drop tabs and line breaks, and read a backslash as a slash: what they do to a
        // URL must not change its meaning.
        let harmless = |c: char| !c.is_control() && !c.is_whitespace() && c != '\\';
        if value.len() > LONGEST || !value.chars().all(harmless) {
            return None;
        }
        let url = base.as_url().join(value).ok()?;
        if url.origin() != base.as_url().origin() || has_credentials(&url) {
            return None;
        }
        let path = &url[url::Position::BeforePath..];
        // A path of its own right, such as `/a/..//evil.example`, may become a host when a browser
        // reads it again.
        (path.starts_with('/') && !path.starts_with("//") && path.len() <= LONGEST)
            .then(|| Self(path.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn has_credentials(url: &Url) -> bool {
    !url.username().is_empty() || url.password().is_some()
}
