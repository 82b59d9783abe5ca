//! One upstream: which paths lead to it, and where.

use axum::http::{HeaderMap, Uri, uri::Authority};
use tower_token_refresh::{ApiHosts, Clock, ConfigError};

use super::{Sent, again, answer::Answers, path, refusal::Refusal};
use crate::app::{
    cookies::CookieNames,
    settings::{BaseUrl, Upstream},
};

pub(super) struct Backend {
    upstream: Upstream,
    /// Its own, so that one that refuses all tokens leaves those for the others alone.
    pub(super) api: ApiHosts,
    answers: Answers,
}

impl Backend {
    pub(super) fn new(
        upstream: &Upstream,
        base: &BaseUrl,
        names: CookieNames,
        clock: Clock,
    ) -> Result<Self, ConfigError> {
        let mut api = ApiHosts::new([upstream.authority.as_str()])?;
        if !upstream.is_https() {
            // Whoever set it has chosen to go there by http, as it is near.
            api = api.allow_http_to(upstream.authority.host())?;
        }
        let api = api.resend_with::<Sent>(again).clock(clock);
        Ok(Self { upstream: upstream.clone(), api, answers: Answers::new(upstream, base, names) })
    }

    /// What of `path` is below this upstream's prefix, where it is.
    pub(super) fn below<'a>(&self, path: &'a str) -> Option<&'a str> {
        let below = path.strip_prefix(&self.upstream.prefix)?;
        // `/api/orders2` is not below `/api/orders`.
        (below.is_empty() || below.starts_with('/')).then_some(below)
    }

    pub(super) fn target(&self, below: &str, query: Option<&str>) -> Result<Uri, Refusal> {
        let Upstream { scheme, authority, path, .. } = &self.upstream;
        let target = Uri::builder()
            .scheme(scheme.clone())
            .authority(authority.clone())
            .path_and_query(path::joined(path, below, query))
            .build()
            .map_err(|_| Refusal::Path)?;
        // Whatever the path was, it must not have become another host.
        if target.authority().map(Authority::as_str) != Some(authority.as_str()) {
            return Err(Refusal::Path);
        }
        Ok(target)
    }

    /// Its answer becomes the browser's. `asked`: the path of the request there.
    pub(super) fn inbound(&self, asked: &str, headers: &mut HeaderMap) {
        self.answers.inbound(asked, headers);
    }
}
