//! The session's cookie on its way to the session layer and back: one name, read as one name.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http::{
    HeaderMap, HeaderValue, Request, Response,
    header::{self, Entry},
};
use tower::{Layer, Service};

use crate::{cookies, error::ConfigError};

/// Goes around the session layer, and lets it read the session's cookie as the browser means it.
///
/// tower-sessions 0.14 percent-decodes the *names* of cookies. So beside `__Host-session=alice`, a
/// sibling domain that plants `%5F_Host-session=mallory` has the user act in mallory's session, or
/// in none at all: no browser sees the prefix `__Host-` in that name. The layer answers this, on
/// the request:
///
/// | cookie | what the layer does |
/// |---|---|
/// | a name that is the session's once it is [decoded](cookies::decoded_name), but not as it is sent | dropped |
/// | the session's own name, more than once | all dropped: none of them is known to be the user's |
/// | the session's own name, in a line with bytes that are not ASCII | gets a line of its own, as tower-sessions does not read a line that is not UTF-8 |
/// | all others | stay, byte for byte and in order |
///
/// A request of which nothing has to change is left as it is, and nothing is allocated unless a
/// cookie has an escape in its name.
///
/// On the response: tower-sessions removes its cookie without `Secure`, and a browser ignores a
/// line without it about a name with the prefix `__Host-` or `__Secure-` (RFC 6265bis, section
/// 4.1.3). The layer adds it, for names with these prefixes.
///
/// Without such a prefix, whoever can plant a second cookie of the session's name can still log the
/// user out. Over https, so name it `__Host-…`.
///
/// ```
/// # fn app(refresher: tower_token_refresh::TokenRefresher) -> Result<(), tower_token_refresh::ConfigError> {
/// use tower::ServiceBuilder;
/// use tower_token_refresh::SessionCookieLayer;
///
/// let sessions = ServiceBuilder::new()
///     .layer(SessionCookieLayer::new("__Host-session")?) // outside
///     .layer(refresher.session_layer().with_name("__Host-session"));
/// # let _ = sessions;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct SessionCookieLayer(Name);

/// A service inside a [`SessionCookieLayer`].
#[derive(Clone, Debug)]
pub struct SessionCookieService<S> {
    inner: S,
    name: Name,
}

#[derive(Clone, Debug)]
struct Name(Arc<str>);

/// What a pair is to the session.
#[derive(PartialEq)]
enum Kind {
    Own,
    Impostor,
    Other,
}

impl SessionCookieLayer {
    /// For the session cookie `name`, the one that the session layer has: `id`, unless you gave it
    /// another `with_name`.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Range`] if `name` is no token (RFC 6265, section 4.1.1; RFC 9110, section
    /// 5.6.2), or has a `%`, which tower-sessions would not read back.
    pub fn new(name: impl Into<String>) -> Result<Self, ConfigError> {
        let name = name.into();
        let is_in_token =
            |byte: u8| byte.is_ascii_alphanumeric() || b"!#$&'*+-.^_`|~".contains(&byte);
        if !name.is_empty() && name.bytes().all(is_in_token) {
            return Ok(Self(Name(name.into())));
        }
        Err(ConfigError::Range {
            what: "the name of the session cookie",
            value: format!("{name:?}"),
            rule: "it must be a token (RFC 6265, section 4.1.1) and have no `%`",
        })
    }
}

impl<S> Layer<S> for SessionCookieLayer {
    type Service = SessionCookieService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        SessionCookieService { inner, name: self.0.clone() }
    }
}

impl<S, ReqBody, ResBody> Service<Request<ReqBody>> for SessionCookieService<S>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<ReqBody>) -> Self::Future {
        self.name.clear_up(request.headers_mut());
        let answer = self.inner.call(request);
        if !self.name.demands_secure() {
            return Box::pin(answer);
        }
        let name = self.name.clone();
        Box::pin(async move {
            let mut response = answer.await?;
            name.secure(response.headers_mut());
            Ok(response)
        })
    }
}

impl Name {
    fn kind(&self, part: &[u8]) -> Kind {
        let (name, _) = cookies::name_and_value(part);
        if name == self.0.as_bytes() {
            Kind::Own
        } else if *cookies::decoded_name(name) == *self.0.as_bytes() {
            Kind::Impostor
        } else {
            Kind::Other
        }
    }

    fn clear_up(&self, headers: &mut HeaderMap) {
        let (mut own, mut impostors, mut hidden) = (0, false, false);
        for line in headers.get_all(header::COOKIE) {
            for part in cookies::parts(line.as_bytes()) {
                match self.kind(part) {
                    Kind::Own => {
                        own += 1;
                        hidden |= !line.as_bytes().is_ascii();
                    }
                    Kind::Impostor => impostors = true,
                    Kind::Other => {}
                }
            }
        }
        if own > 1 || impostors || hidden {
            tracing::debug!(own, impostors, "the cookies of a request were cleared up");
            self.rewrite(headers, own == 1);
        }
    }

    fn rewrite(&self, headers: &mut HeaderMap, keep_own: bool) {
        let Entry::Occupied(lines) = headers.entry(header::COOKIE) else { return };
        let (_, lines) = lines.remove_entry_mult();
        for line in lines.collect::<Vec<_>>() {
            let parts = || cookies::parts(line.as_bytes());
            if parts().all(|part| self.kind(part) == Kind::Other) {
                headers.append(header::COOKIE, line);
                continue;
            }
            let others: Vec<_> = parts().filter(|part| self.kind(part) == Kind::Other).collect();
            let own = parts().find(|part| keep_own && self.kind(part) == Kind::Own);
            let others = (!others.is_empty()).then(|| others.join(&b"; "[..]));
            for kept in others.into_iter().chain(own.map(<[u8]>::to_vec)) {
                // It is made of a header value, so it is one.
                if let Ok(mut value) = HeaderValue::try_from(kept) {
                    value.set_sensitive(line.is_sensitive());
                    headers.append(header::COOKIE, value);
                }
            }
        }
    }

    /// Browsers compare these prefixes without regard to case (RFC 6265bis, section 5.7).
    fn demands_secure(&self) -> bool {
        ["__Host-", "__Secure-"].iter().any(|prefix| {
            self.0.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
        })
    }

    fn secure(&self, headers: &mut HeaderMap) {
        let Entry::Occupied(mut lines) = headers.entry(header::SET_COOKIE) else { return };
        for line in lines.iter_mut() {
            if !self.is_insecure(line.as_bytes()) {
                continue;
            }
            if let Ok(secure) = HeaderValue::try_from([line.as_bytes(), b"; Secure"].concat()) {
                *line = secure;
            }
        }
    }

    fn is_insecure(&self, line: &[u8]) -> bool {
        let mut parts = cookies::parts(line);
        parts.next().is_some_and(|pair| self.kind(pair) == Kind::Own)
            && !parts.any(|attribute| attribute.eq_ignore_ascii_case(b"Secure"))
    }
}
