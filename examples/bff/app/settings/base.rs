//! `BASE_URL`: where this application is, as the browser sees it.

use std::fmt;

use url::Url;

use super::{SettingError, has_credentials};

/// This application as the browser sees it.
#[derive(Clone, Debug)]
pub struct BaseUrl(Url);

impl BaseUrl {
    pub(super) fn parse(value: &str) -> Result<Self, SettingError> {
        let broken = |rule| SettingError::shown("BASE_URL", value, rule);
        let url = Url::parse(value).map_err(|_| broken("it must be an absolute URL"))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(broken("it must be http or https"));
        }
        if has_credentials(&url) || url.query().is_some() || url.fragment().is_some() {
            return Err(broken("it must have no user name, query or fragment"));
        }
        if url.path() != "/" {
            return Err(broken("it must have no path: the cookies are valid for the whole host"));
        }
        Ok(Self(url))
    }

    pub fn is_https(&self) -> bool {
        self.0.scheme() == "https"
    }

    /// As browsers write it in `Origin`.
    pub fn origin(&self) -> String {
        self.0.origin().ascii_serialization()
    }

    pub fn scheme(&self) -> &str {
        self.0.scheme()
    }

    /// Host, and port unless it is the scheme's own.
    pub fn host_and_port(&self) -> &str {
        self.0.authority()
    }

    /// `path` below this URL; `path` begins with a slash.
    pub fn with_path(&self, path: &str) -> String {
        format!("{}{path}", self.origin())
    }

    pub fn as_url(&self) -> &Url {
        &self.0
    }

    pub(super) fn port(&self) -> u16 {
        self.0.port_or_known_default().unwrap_or_default()
    }
}

impl fmt::Display for BaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
