//! Checks the settings of a [`TokenEndpoint`], and makes a [`Provider`] of them.

use std::{ops::RangeInclusive, sync::Arc, time::Duration};

use http::Uri;

use super::{Location, TokenEndpoint};
use crate::{
    Clock, ConfigError,
    dpop::ServerNonce,
    endpoint::{
        auth,
        discovery::{Authorization, Discovery, Metadata, MtlsAliases, document_url},
        exchange::Exchange,
        issuers::{self, Issuers},
        provider::{Addresses, Overrides, Provider},
        resilience::Admission,
        transport::Transport,
    },
    metrics::{Owner, ProviderMeter},
    policy::A_DAY,
};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
const MAX_ANSWER_RANGE: RangeInclusive<usize> = 4 * 1024..=64 * 1024 * 1024;

impl TokenEndpoint {
    /// Checks all settings and makes a provider with a transport, a breaker and a queue of its own.
    /// Sends nothing.
    pub(crate) fn validate(&self) -> Result<Provider, ConfigError> {
        self.auth.check()?;
        self.check_timeouts()?;
        self.limits.check()?;
        self.check_max_answer()?;
        let extras = self.extras.check()?;
        if self.issuer.as_deref() == Some("") {
            return Err(ConfigError::Range {
                what: "the issuer",
                value: "empty".into(),
                rule: "must not be empty",
            });
        }
        let optional = |what, url: &Option<String>| {
            url.as_deref().map(|url| self.rule.check(what, url)).transpose()
        };
        let overrides = Overrides {
            revocation: optional("the revocation URL", &self.revocation_url)?,
            end_session: optional("the end session URL", &self.end_session_url)?,
            jwks: optional("the JWKS URL", &self.jwks_url)?,
            authorization: optional("the authorization URL", &self.authorization_url)?,
            mtls: self.auth.is_mutual_tls() || self.client_certificate.is_some(),
        };
        let located = self.locate(overrides)?;
        let issuer = self.issuer.clone().or(located.discovered_issuer);
        self.check_certificate(issuer.as_deref())?;
        issuers::check(&self.accepted_issuers, issuer.as_deref())?;
        let clock = Clock::system();
        let issuers = issuer.as_deref().map(|own| Issuers::new(own, &self.accepted_issuers));
        let issuer_id = issuer.unwrap_or(located.fallback_id);
        let meter = ProviderMeter::new(Owner::new(&issuer_id, self.auth.client_id()));
        Ok(Provider {
            issuers,
            issuer_id: issuer_id.into(),
            auth: self.auth.clone(),
            exchange: Exchange {
                transport: self.make_transport(&located.first_request)?,
                limit: self.request_timeout,
                max_answer: self.max_answer,
                headers: extras.headers,
            },
            addresses: located.addresses,
            admission: Arc::new(Admission::new(&self.limits, clock.clone(), meter.clone())),
            meter,
            limits: self.limits.clone(),
            longest_wait: self.request_timeout,
            refresh_params: extras.params,
            classify: self.classify.clone(),
            clock,
            dpop_nonce: ServerNonce::default(),
        })
    }

    fn locate(&self, overrides: Overrides) -> Result<Located, ConfigError> {
        match &self.location {
            Location::TokenUrl(url) => {
                let token = self.rule.check("the token URL", url)?;
                let Overrides { revocation, end_session, jwks, authorization, .. } = overrides;
                let metadata = Metadata {
                    token: token.clone(),
                    revocation,
                    end_session,
                    jwks,
                    authorization: Authorization { endpoint: authorization, ..Default::default() },
                    mtls: MtlsAliases::default(),
                };
                Ok(Located {
                    // The id is printed and stored, so it must not hold the query of the URL. The
                    // rule has refused a user name, a password and a fragment.
                    fallback_id: url.split('?').next().unwrap_or_default().to_owned(),
                    discovered_issuer: None,
                    first_request: token,
                    addresses: Addresses::Configured(Arc::new(metadata)),
                })
            }
            Location::Discovered { issuer, document } => {
                let url = document_url(issuer, &self.rule)?;
                let (rule, known) = (self.rule.clone(), document.clone());
                let issuers = Issuers::new(issuer, &self.accepted_issuers);
                let discovery = Discovery::new(issuers, url.clone(), rule, known);
                Ok(Located {
                    fallback_id: issuer.clone(),
                    discovered_issuer: Some(issuer.clone()),
                    first_request: url,
                    addresses: Addresses::Discovered { discovery, overrides: Arc::new(overrides) },
                })
            }
        }
    }

    /// What the method of authentication needs beside its own values.
    fn check_certificate(&self, issuer: Option<&str>) -> Result<(), ConfigError> {
        if self.auth.needs_issuer() && issuer.is_none() {
            return Err(ConfigError::Range {
                what: "assertion_audience",
                value: "the issuer".into(),
                rule: "needs `issuer` or discovery",
            });
        }
        match (&self.client_certificate, &self.transport) {
            (Some(_), Some(_)) => {
                Err(auth::broken_certificate("a transport of your own brings its own certificate"))
            }
            (Some(certificate), None) => certificate.check(),
            (None, None) if self.auth.is_mutual_tls() => Err(auth::broken_certificate(
                "mutual TLS needs `client_certificate`, or a transport of your own that has one",
            )),
            (None, _) => Ok(()),
        }
    }

    fn check_max_answer(&self) -> Result<(), ConfigError> {
        if MAX_ANSWER_RANGE.contains(&self.max_answer) {
            return Ok(());
        }
        Err(ConfigError::Range {
            what: "max_answer_bytes",
            value: self.max_answer.to_string(),
            rule: "must be 4 KiB to 64 MiB",
        })
    }

    fn check_timeouts(&self) -> Result<(), ConfigError> {
        let connect = self.connect_timeout.unwrap_or(CONNECT_TIMEOUT);
        for (what, limit) in
            [("request_timeout", self.request_timeout), ("connect_timeout", connect)]
        {
            if limit.is_zero() {
                return Err(ConfigError::Range {
                    what,
                    value: format!("{limit:?}"),
                    rule: "must be above 0",
                });
            }
        }
        if self.request_timeout > A_DAY {
            return Err(ConfigError::Range {
                what: "request_timeout",
                value: format!("{:?}", self.request_timeout),
                rule: "must be at most 1 day",
            });
        }
        match self.connect_timeout {
            Some(connect) if connect > self.request_timeout => Err(ConfigError::Clash {
                left: "connect_timeout",
                left_value: format!("{connect:?}"),
                rule: "at most",
                right: "request_timeout",
                right_value: format!("{:?}", self.request_timeout),
            }),
            _ => Ok(()),
        }
    }

    fn make_transport(&self, first_request: &Uri) -> Result<Transport, ConfigError> {
        if let Some(transport) = &self.transport {
            return Ok(transport.clone());
        }
        if !cfg!(feature = "rustls") && first_request.scheme() == Some(&http::uri::Scheme::HTTPS) {
            let rule = "https needs the feature `rustls`, or a transport of your own".into();
            return Err(ConfigError::Transport { rule });
        }
        let default = CONNECT_TIMEOUT.min(self.request_timeout);
        let certificate = self.client_certificate.as_ref();
        Transport::reqwest(self.connect_timeout.unwrap_or(default), certificate)
    }
}

/// What the location of the endpoint decides.
struct Located {
    /// Identifies the provider where no issuer is known.
    fallback_id: String,
    discovered_issuer: Option<String>,
    /// Where the first request goes.
    first_request: Uri,
    addresses: Addresses,
}
