//! What of the upstream's answer the browser gets.
//!
//! The browser takes an answer below `/api` for this application's own word about its whole origin.
//! So the upstream speaks for its resources only.

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use url::Url;

use super::{super::cookies::CookieNames, cookies, headers::remove_hop_by_hop};
use crate::app::settings::{BaseUrl, Upstream};

/// About the origin, and not about a resource of the upstream's: for how long it is https, what the
/// browser forgets of it, where else it is, and how far a service worker reaches.
const NOT_THE_UPSTREAMS: [HeaderName; 4] = [
    header::ALT_SVC,
    HeaderName::from_static("clear-site-data"),
    HeaderName::from_static("service-worker-allowed"),
    header::STRICT_TRANSPORT_SECURITY,
];

/// Challenges for which a browser asks the user, who would type a password for this application.
const ASK_THE_USER: [&[u8]; 4] = [b"Basic", b"Digest", b"Negotiate", b"NTLM"];

/// How an answer of the upstream becomes ours.
pub(super) struct Answers {
    names: CookieNames,
    upstream: Option<Url>,
    /// Of the upstream, without a slash at its end.
    path: String,
    /// The URL that stands for it here.
    api: String,
}

impl Answers {
    pub(super) fn new(upstream: &Upstream, base: &BaseUrl, names: CookieNames) -> Self {
        Self {
            names,
            upstream: Url::parse(&format!("{}://{}/", upstream.scheme, upstream.authority)).ok(),
            path: upstream.path.clone(),
            api: base.with_path(&upstream.prefix),
        }
    }

    /// The upstream's answer becomes the browser's.
    pub(super) fn inbound(&self, headers: &mut HeaderMap) {
        remove_hop_by_hop(headers);
        for name in &NOT_THE_UPSTREAMS {
            headers.remove(name);
        }
        // Whoever may read this application's answers is for this application to say.
        remove_all(headers, |name| name.starts_with("access-control-"));
        drop_prompts(headers);
        cookies::drop_ours_set(self.names, headers);
        self.mend_location(headers);
        // They are a user's, and a cache in between would not know whose.
        let private = HeaderValue::from_static("private, no-store");
        headers.entry(header::CACHE_CONTROL).or_insert(private);
        let nosniff = HeaderValue::from_static("nosniff");
        headers.entry(header::X_CONTENT_TYPE_OPTIONS).or_insert(nosniff);
    }

    /// The browser knows no other address of the upstream's than ours. What lies beside the API
    /// cannot be reached from there at all, so that nothing is said of it.
    fn mend_location(&self, headers: &mut HeaderMap) {
        let Some(target) = headers.get(header::LOCATION).and_then(|to| self.internal(to)) else {
            return;
        };
        match self.seen_from_outside(&target) {
            Some(location) => headers.insert(header::LOCATION, location),
            None => headers.remove(header::LOCATION),
        };
    }

    /// Where a `Location` leads that names the upstream's host. A path alone is the browser's own
    /// to resolve.
    fn internal(&self, location: &HeaderValue) -> Option<Url> {
        let upstream = self.upstream.as_ref()?;
        let location = str::from_utf8(location.as_bytes()).ok()?.trim();
        let slash = |byte: Option<&u8>| matches!(byte, Some(b'/' | b'\\'));
        let names_a_host = slash(location.as_bytes().first()) && slash(location.as_bytes().get(1));
        let target = if names_a_host { upstream.join(location) } else { Url::parse(location) };
        target.ok().filter(|target| target.origin() == upstream.origin())
    }

    fn seen_from_outside(&self, target: &Url) -> Option<HeaderValue> {
        let below = match target.path().strip_prefix(&self.path)? {
            "" => "/",
            below => below,
        };
        let query = target.query().map(|query| format!("?{query}")).unwrap_or_default();
        let fragment = target.fragment().map(|part| format!("#{part}")).unwrap_or_default();
        let is_below = below.starts_with('/');
        is_below.then(|| format!("{}{below}{query}{fragment}", self.api).try_into().ok()).flatten()
    }
}

/// A line goes if any of its challenges is one of these.
fn drop_prompts(headers: &mut HeaderMap) {
    let header::Entry::Occupied(lines) = headers.entry(header::WWW_AUTHENTICATE) else { return };
    let (_, lines) = lines.remove_entry_mult();
    for line in lines.collect::<Vec<_>>() {
        let mut schemes = line.as_bytes().split(|byte| *byte == b',').map(|challenge| {
            let challenge = challenge.trim_ascii();
            challenge.split(u8::is_ascii_whitespace).next().unwrap_or_default()
        });
        let prompts =
            schemes.any(|scheme| ASK_THE_USER.iter().any(|ask| scheme.eq_ignore_ascii_case(ask)));
        if !prompts {
            headers.append(header::WWW_AUTHENTICATE, line);
        }
    }
}

pub(super) fn remove_all(headers: &mut HeaderMap, goes: impl Fn(&str) -> bool) {
    let names: Vec<_> = headers.keys().filter(|name| goes(name.as_str())).cloned().collect();
    for name in names {
        headers.remove(name);
    }
}
