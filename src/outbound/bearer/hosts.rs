//! Which servers may see the token.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use http::{Uri, uri::Authority};

use crate::{error::ConfigError, loopback::is_loopback};

#[derive(Debug, Clone)]
pub(super) struct Hosts(Vec<Host>);

#[derive(Debug, Clone)]
struct Host {
    /// In lower case. An IPv6 address has its brackets.
    name: String,
    /// None: the default one of the scheme.
    port: Option<u16>,
    /// Also by plain http.
    by_http: bool,
    /// The log has said that it is not.
    warned: Arc<AtomicBool>,
}

impl Hosts {
    pub(super) fn parse(
        hosts: impl IntoIterator<Item = impl AsRef<str>>,
    ) -> Result<Self, ConfigError> {
        let hosts = hosts.into_iter().map(|host| Host::parse(host.as_ref()));
        let hosts: Vec<_> = hosts.collect::<Result<_, _>>()?;
        if hosts.is_empty() {
            return Err(wrong("[]", "at least one host must be named"));
        }
        Ok(Self(hosts))
    }

    /// With a port, to that one alone.
    pub(super) fn allow_http_to(&mut self, text: &str) -> Result<(), ConfigError> {
        let allowed = Host::parse(text)?;
        let is_meant = |host: &&mut Host| {
            host.name == allowed.name && (allowed.port.is_none() || allowed.port == host.port)
        };
        let mut is_known = false;
        for host in self.0.iter_mut().filter(is_meant) {
            (host.by_http, is_known) = (true, true);
        }
        is_known.then_some(()).ok_or_else(|| wrong(text, "it must be one of the hosts of the API"))
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The place of the host that `uri` leads to; none if it must not see the token.
    pub(super) fn find(&self, uri: &Uri) -> Option<usize> {
        let (default_port, is_plain) = match uri.scheme_str()? {
            "https" => (443, false),
            "http" => (80, true),
            _ => return None,
        };
        let server = uri.authority()?.as_str();
        let server = server.rsplit_once('@').map_or(server, |(_user, server)| server);
        let place = self.0.iter().position(|host| host.is(server, default_port))?;
        let host = &self.0[place];
        if is_plain && !host.by_http && !is_loopback(&host.name) {
            host.warn_of_plain_http();
            return None;
        }
        Some(place)
    }
}

impl Host {
    fn parse(text: &str) -> Result<Self, ConfigError> {
        let rule = "it must be a host such as api.example.com or 127.0.0.1:8080";
        let authority: Authority = text.parse().map_err(|_| wrong(text, rule))?;
        let name = authority.host();
        let is_host = |c: char| c.is_ascii_alphanumeric() || "-._:[]".contains(c);
        let is_name = !name.is_empty() && !name.ends_with('.') && text.chars().all(is_host);
        // A colon without a port behind it is refused, and so is an IPv6 address without brackets.
        let port = authority.port_u16().filter(|port| *port > 0);
        if !is_name || (port.is_none() && name.len() != text.len()) {
            return Err(wrong(text, rule));
        }
        Ok(Self { name: name.to_ascii_lowercase(), port, by_http: false, warned: Arc::default() })
    }

    /// Whether `server` is this host, and the port this one's: `api.example.com`, `[::1]:8080`.
    fn is(&self, server: &str, default_port: u16) -> bool {
        let Some((name, port)) = server.split_at_checked(self.name.len()) else { return false };
        let wanted = self.port.unwrap_or(default_port);
        name.eq_ignore_ascii_case(&self.name)
            && match port.strip_prefix(':') {
                None => port.is_empty() && wanted == default_port,
                // What is no number, the client may take for another port.
                Some(port) => {
                    port.bytes().all(|digit| digit.is_ascii_digit()) && port.parse() == Ok(wanted)
                }
            }
    }

    /// Once: each request would say the same.
    fn warn_of_plain_http(&self) {
        if !self.warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                host = self.name,
                "a request goes out without a token: by plain http everybody on the path could read \
                 it. Use https, or name the host in `ApiHosts::allow_http_to`"
            );
        }
    }
}

fn wrong(value: &str, rule: &'static str) -> ConfigError {
    // What stands before an `@` may be a password.
    let value = value.rsplit('@').next().unwrap_or_default().to_owned();
    ConfigError::Range { what: "a host of BearerLayer", value, rule }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_goes_to_the_named_hosts_by_https_or_to_this_machine() {
        let hosts =
            Hosts::parse(["API.example.com", "api.example.com:8443", "localhost:80", "[::1]:8080"])
                .unwrap();
        for (uri, found) in [
            ("https://api.example.com/orders", Some(0)),
            ("https://api.EXAMPLE.com:443/", Some(0)),
            ("https://api.example.com:8443/", Some(1)),
            ("http://localhost/", Some(2)),
            ("http://[::1]:8080/", Some(3)),
            ("http://api.example.com/", None),
            ("https://api.example.com:444/", None),
            ("https://example.com/", None),
            ("https://api.example.com.evil.example/", None),
            ("https://api.example.com@evil.example/", None),
            ("http://localhost:81/", None),
            ("ftp://localhost/", None),
            ("/orders", None),
            ("https://api.example.com:99999/", None),
            ("https://api.example.com:/", None),
            ("https://api.example.com:+443/", None),
            ("https://api.example.com:0443/", Some(0)),
            ("https://someone:s3cret@api.example.com/", Some(0)),
            ("https://api.example.com:8443@evil.example/", None),
        ] {
            assert_eq!(hosts.find(&uri.parse().unwrap()), found, "{uri}");
        }
    }

    #[test]
    fn plain_http_is_for_whom_it_was_allowed_to_by_name() {
        let mut hosts = Hosts::parse(["api:9000", "other:9000", "[fd00::1]"]).unwrap();
        hosts.allow_http_to("API").unwrap();
        hosts.allow_http_to("[fd00::1]").unwrap();
        for unknown in ["db", "api:9001", "fd00::1", "http://api", ""] {
            let error = hosts.allow_http_to(unknown).expect_err(unknown).to_string();
            assert!(error.starts_with(&format!("a host of BearerLayer is {unknown}")), "{error}");
        }
        for (uri, found) in [
            ("http://api:9000/", Some(0)),
            ("https://api:9000/", Some(0)),
            ("http://api:9001/", None),
            ("http://other:9000/", None),
            ("http://[fd00::1]/", Some(2)),
        ] {
            assert_eq!(hosts.find(&uri.parse().unwrap()), found, "{uri}");
        }
    }

    #[test]
    fn what_is_no_host_is_refused_by_name_and_without_a_password() {
        for text in [
            "",
            "https://api.example.com",
            "api.example.com/orders",
            "*.example.com",
            "api.example.com:",
            "api.example.com:99999",
            "user:s3cret@api.example.com",
            "two hosts",
            "a.example,b.example",
            "api.example.com.",
            "api.example.com:0",
            "api.example.com:+80",
        ] {
            let error = Hosts::parse([text]).unwrap_err();
            assert!(!error.to_string().contains("s3cret"), "{error}");
            let name = text.rsplit('@').next().unwrap();
            assert!(error.to_string().contains(name), "{error}");
        }
        assert!(Hosts::parse([""; 0]).is_err());
    }
}
