//! What of the upstream's answer the browser gets.
//!
//! The browser takes an answer below `/api` for this application's own word about its whole origin.
//! So the upstream speaks for its resources only.

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use url::Url;

use super::{super::cookies::CookieNames, cookies, headers::keep_end_to_end};
use crate::app::settings::{BaseUrl, Upstream};

/// About the origin, and not about a resource of the upstream's: for how long it is https, what the
/// browser forgets of it, sends to it, reports about it and isolates it from, where else it is, who
/// is logged in there, and how far a service worker reaches. And what caches in between are told
/// past `Cache-Control`.
static NOT_THE_UPSTREAMS: [HeaderName; 19] = [
    HeaderName::from_static("accept-ch"),
    HeaderName::from_static("activate-storage-access"),
    header::ALT_SVC,
    HeaderName::from_static("clear-site-data"),
    HeaderName::from_static("critical-ch"),
    HeaderName::from_static("edge-control"),
    HeaderName::from_static("expect-ct"),
    HeaderName::from_static("nel"),
    HeaderName::from_static("origin-agent-cluster"),
    HeaderName::from_static("public-key-pins"),
    HeaderName::from_static("report-to"),
    HeaderName::from_static("reporting-endpoints"),
    HeaderName::from_static("service-worker-allowed"),
    HeaderName::from_static("set-cookie2"),
    HeaderName::from_static("set-login"),
    header::STRICT_TRANSPORT_SECURITY,
    HeaderName::from_static("surrogate-control"),
    HeaderName::from_static("timing-allow-origin"),
    HeaderName::from_static("use-as-dictionary"),
];

/// Orders for the server in front of us, which would take them for ours: nginx, Apache, lighttpd,
/// LiteSpeed.
const FOR_THE_SERVER_IN_FRONT: [&str; 5] =
    ["x-accel-", "x-sendfile", "x-lighttpd-", "x-litespeed-", "x-reproxy-"];

fn is_for_others(name: &str) -> bool {
    // Whoever may read this application's answers is for this application to say.
    name.starts_with("access-control-")
        || name.ends_with("-cache-control")
        || name.ends_with("-session-registration")
        || FOR_THE_SERVER_IN_FRONT.iter().any(|begin| name.starts_with(begin))
}

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
    /// The path of that.
    prefix: String,
    own: Url,
}

impl Answers {
    pub(super) fn new(upstream: &Upstream, base: &BaseUrl, names: CookieNames) -> Self {
        Self {
            names,
            upstream: Url::parse(&format!("{}://{}/", upstream.scheme, upstream.authority)).ok(),
            path: upstream.path.clone(),
            api: base.with_path(&upstream.prefix),
            prefix: upstream.prefix.clone(),
            own: base.as_url().clone(),
        }
    }

    /// The upstream's answer becomes the browser's.
    /// `asked`: the upstream's own path of the request.
    pub(super) fn inbound(&self, asked: &str, headers: &mut HeaderMap) {
        keep_end_to_end(headers, |name| {
            NOT_THE_UPSTREAMS.contains(name) || is_for_others(name.as_str())
        });
        drop_prompts(headers);
        cookies::drop_ours_set(self.names, headers);
        self.mend_location(asked, headers);
        keep_private(headers);
        let nosniff = HeaderValue::from_static("nosniff");
        headers.entry(header::X_CONTENT_TYPE_OPTIONS).or_insert(nosniff);
    }

    /// The browser knows no other address of the upstream's than ours. What lies beside the API
    /// cannot be reached from there at all, so that nothing is said of it.
    fn mend_location(&self, asked: &str, headers: &mut HeaderMap) {
        // Of several, nobody knows which one counts.
        if headers.get_all(header::LOCATION).iter().count() > 1 {
            headers.remove(header::LOCATION);
        }
        let Some(location) = headers.get(header::LOCATION) else { return };
        let Some(target) = self.internal(asked, location) else {
            if self.is_read_as_ours(location) {
                headers.remove(header::LOCATION);
            }
            return;
        };
        match self.seen_from_outside(&target) {
            Some(location) => headers.insert(header::LOCATION, location),
            None => headers.remove(header::LOCATION),
        };
    }

    /// Where a `Location` leads that names the upstream's host, or ours, which the upstream knows as
    /// `X-Forwarded-Host`, or none.
    fn internal(&self, asked: &str, location: &HeaderValue) -> Option<Url> {
        let mut base = self.upstream.clone()?;
        base.set_path(asked);
        let target = base.join(str::from_utf8(location.as_bytes()).ok()?.trim()).ok()?;
        // By any scheme: behind a proxy of its own, an upstream may be wrong about it.
        let host = |url: &Url| (url.host().map(|host| host.to_owned()), url.port());
        let (theirs, ours) = (host(&target) == host(&base), host(&target) == host(&self.own));
        let is_seen_from_outside =
            ours && target.path().starts_with(&*self.prefix) && !self.is_below(target.path());
        ((theirs || ours) && !is_seen_from_outside).then_some(target)
    }

    /// Whether a browser stays here with it, beside the API.
    fn is_read_as_ours(&self, location: &HeaderValue) -> bool {
        let location = str::from_utf8(location.as_bytes()).unwrap_or_default();
        self.own.join(location.trim()).is_ok_and(|read| {
            read.origin() == self.own.origin() && !read.path().starts_with(&*self.prefix)
        })
    }

    fn is_below(&self, path: &str) -> bool {
        let below = path.strip_prefix(&*self.path);
        !self.path.is_empty() && below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
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

/// The upstream got the request with `Authorization`, and no shared cache keeps an answer to such a
/// one unless it says that it may (RFC 9111, section 3.5). The browser's request has a cookie
/// instead, of which caches know nothing. So what holds for the one is said for the other.
fn keep_private(headers: &mut HeaderMap) {
    let said = headers.get_all(header::CACHE_CONTROL).iter();
    // What stands in quotes may look like another directive.
    let said = said.map(|line| line.as_bytes());
    let said: Vec<_> = said
        .map(|line| if line.contains(&b'"') { b"quoted" } else { line })
        .flat_map(|line| line.split(|byte| *byte == b','))
        .collect();
    let says = |name: &[u8]| {
        said.iter().any(|directive| {
            let directive = directive.split(|byte| *byte == b'=').next().unwrap_or_default();
            directive.trim_ascii().eq_ignore_ascii_case(name)
        })
    };
    if said.is_empty() {
        let nothing_kept = HeaderValue::from_static("private, no-store");
        headers.insert(header::CACHE_CONTROL, nothing_kept);
    } else if !says(b"public") && !says(b"s-maxage") {
        if !says(b"private") {
            headers.append(header::CACHE_CONTROL, HeaderValue::from_static("private"));
        }
        // The next user of this browser has another cookie.
        headers.append(header::VARY, HeaderValue::from_static("Cookie"));
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
