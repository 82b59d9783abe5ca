//! `UPSTREAM_URL` and `UPSTREAMS`: the APIs behind this application, by the paths that lead to
//! them.

use axum::http::{
    Uri,
    uri::{Authority, Scheme},
};
use url::Url;

use super::{SettingError, has_credentials};

const DEFAULT_PREFIX: &str = "/api";

/// An API behind this application.
#[derive(Clone, Debug)]
pub struct Upstream {
    /// Where it begins here, without a slash at its end: `/api` or below.
    pub prefix: String,
    pub scheme: Scheme,
    pub authority: Authority,
    /// Where it begins there, without a slash at its end.
    pub path: String,
}

impl Upstream {
    pub fn is_https(&self) -> bool {
        self.scheme == Scheme::HTTPS
    }
}

/// Longest prefix first, so that the first that fits is the one that is meant. The last one is for
/// all of `/api`.
pub(super) fn parse(for_all: &str, more: &str) -> Result<Vec<Upstream>, SettingError> {
    let mut upstreams: Vec<Upstream> = Vec::new();
    for pair in more.split_whitespace() {
        let broken = |rule| SettingError::shown("UPSTREAMS", pair, rule);
        let (prefix, url) = pair.split_once('=').filter(|(prefix, _)| is_prefix(prefix)).ok_or_else(
            || broken("each must be a path below /api, then = and a URL, such as /api/orders=https://orders.example"),
        )?;
        if upstreams.iter().any(|other| other.prefix == prefix) {
            return Err(broken("this path is there twice"));
        }
        upstreams.push(upstream("UPSTREAMS", prefix, url)?);
    }
    upstreams.sort_by_key(|upstream| std::cmp::Reverse(upstream.prefix.len()));
    upstreams.push(upstream("UPSTREAM_URL", DEFAULT_PREFIX, for_all)?);
    Ok(upstreams)
}

/// With segments that have one spelling only: nobody gets past a prefix by an escape.
fn is_prefix(prefix: &str) -> bool {
    let unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let is_plain =
        |segment: &str| !matches!(segment, "" | "." | "..") && segment.bytes().all(unreserved);
    prefix.strip_prefix("/api/").is_some_and(|below| below.split('/').all(is_plain))
}

fn upstream(variable: &'static str, prefix: &str, value: &str) -> Result<Upstream, SettingError> {
    let broken = |rule| SettingError::shown(variable, value, rule);
    let url = Url::parse(value).map_err(|_| broken("it must be an absolute URL"))?;
    let scheme = match url.scheme() {
        "http" => Scheme::HTTP,
        "https" => Scheme::HTTPS,
        _ => return Err(broken("it must be http or https")),
    };
    if has_credentials(&url) || url.query().is_some() || url.fragment().is_some() {
        return Err(broken("it must have no user name, query or fragment"));
    }
    let uri: Uri = url.as_str().parse().map_err(|_| broken("it must be a valid HTTP URL"))?;
    let authority = uri.authority().cloned().ok_or_else(|| broken("it must have a host"))?;
    let path = uri.path().trim_end_matches('/').to_owned();
    Ok(Upstream { prefix: prefix.to_owned(), scheme, authority, path })
}
