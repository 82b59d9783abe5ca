//! One attempt of a token request: credentials, mark, POST, and what the answer says.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use http::Uri;
use tokio::time::{Instant, sleep};
use tracing::{Instrument, field::Empty};

use super::{Provider, credentials::explain_proof};
use crate::{
    dpop::{DpopKey, ServerNonce},
    endpoint::{
        attempt::{Aborted, BeforeAttempt, RefreshFailure},
        auth::Credentials,
        authorization_grant::{AuthorizationGrant, Fields},
        discovery::Metadata,
        error::EndpointError,
        exchange::Answer,
        request,
        resilience::{HeldBack, Pass},
        response::{self, Granted},
    },
};

/// What a token request presents.
#[derive(Clone, Copy)]
pub(super) struct Presented<'a> {
    pub(super) grant: AuthorizationGrant<'a>,
    /// What it is bound to, or will be.
    pub(super) key: Option<&'a DpopKey>,
}

/// What the attempts of one request have in common.
#[derive(Default)]
pub(super) struct Attempts {
    /// One of them was sent.
    is_sent: bool,
    /// The provider's wish for another DPoP nonce was met. Once for all of them.
    has_obeyed: bool,
}

/// What came of a request.
struct Sent {
    outcome: Result<Granted, EndpointError>,
    /// What the answer says should be in the next proof.
    nonce: Option<Arc<str>>,
}

impl Sent {
    fn wants_nonce(&self) -> bool {
        self.outcome.as_ref().is_err_and(EndpointError::wants_nonce)
    }
}

impl Provider {
    /// Sends the grant once, and again if the provider wants another DPoP nonce: that is an answer,
    /// and has used nothing up (RFC 9449, section 8).
    pub(super) async fn attempt(
        &self,
        pass: Pass<'_>,
        presented: Presented<'_>,
        before: &mut dyn BeforeAttempt,
        last_start: Instant,
        attempts: &mut Attempts,
    ) -> Result<Granted, RefreshFailure> {
        let found = self.metadata_before(last_start).await;
        let metadata = match &found {
            Ok(metadata) => metadata,
            Err(error) => {
                pass.not_sent(error);
                return Err(error.clone().into());
            }
        };
        // Until it is recorded, a dropped pass tells the breaker nothing.
        let mut send = async |nonce: Option<&str>, attempts: &mut Attempts| {
            self.send_once(metadata, presented, before, last_start, nonce, attempts).await
        };
        let mut sent = send(None, attempts).await?;
        let wanted = sent.nonce.clone().filter(|_| sent.wants_nonce());
        if let Some(nonce) = wanted
            && !std::mem::replace(&mut attempts.has_obeyed, true)
        {
            sent = send(Some(&nonce), attempts).await?;
            sent.nonce.get_or_insert(nonce);
        }
        if let Some(nonce) = sent.nonce {
            self.dpop_nonce.set(nonce);
        }
        pass.record(&sent.outcome);
        Ok(sent.outcome?)
    }

    /// Sends the grant once, unless `before` calls it off or less than a whole request fits before
    /// the deadline.
    async fn send_once(
        &self,
        metadata: &Metadata,
        presented: Presented<'_>,
        before: &mut dyn BeforeAttempt,
        last_start: Instant,
        nonce: Option<&str>,
        attempts: &mut Attempts,
    ) -> Result<Sent, RefreshFailure> {
        let to = metadata.token_url(self.is_mtls());
        let credentials = self.credentials(metadata, to, last_start).await?;
        let fields = self.fields(&presented.grant, metadata, last_start).await?;
        if let Err(Aborted) = before.before_attempt().await {
            return Err(RefreshFailure::Aborted);
        }
        if sleep(Duration::ZERO).deadline() > last_start {
            return Err(self.held_back(HeldBack::NoTimeLeft.into_error(None)).into());
        }
        before.sending();
        if std::mem::replace(&mut attempts.is_sent, true) {
            self.meter.resent();
        }
        Ok(self.post(to, credentials, presented, &fields, nonce).await)
    }

    async fn post(
        &self,
        to: &Uri,
        credentials: Credentials<'_>,
        presented: Presented<'_>,
        fields: &Fields<'_>,
        nonce: Option<&str>,
    ) -> Sent {
        let (began, sent_at) = (self.clock.monotonic(), self.clock.now());
        let proof = presented.key.map(|key| self.proof(key, to, nonce, sent_at));
        // As OpenTelemetry names what an HTTP client does.
        let span = tracing::info_span!(
            "token_refresh.token_request",
            otel.kind = "client",
            http.request.method = "POST",
            server.address = to.host(),
            server.port = to.port_u16().or_else(|| default_port(to)),
            url.path = to.path(),
            http.response.status_code = Empty,
            error.type = Empty
        );
        let request = request::token(to, credentials, fields, proof);
        let sent = match self.send(request).instrument(span.clone()).await {
            Ok(answer) => {
                span.record("http.response.status_code", answer.status.as_u16());
                let nonce = presented.key.and_then(|_| ServerNonce::of(&answer.headers));
                Sent { outcome: self.read(answer, presented, sent_at), nonce }
            }
            Err(error) => Sent { outcome: Err(error), nonce: None },
        };
        let outcome = sent.outcome.as_ref().map_or_else(|error| error.kind().name(), |_| "granted");
        if sent.outcome.is_err() {
            span.record("error.type", outcome);
        }
        self.meter.answered(outcome, self.clock.monotonic().saturating_sub(began));
        sent
    }

    fn read(
        &self,
        answer: Answer,
        Presented { grant, key }: Presented<'_>,
        sent_at: SystemTime,
    ) -> Result<Granted, EndpointError> {
        if let Some(error) = self.classify.error(&answer) {
            return Err(error);
        }
        let date = response::date(&answer.headers);
        let granted = response::token_answer(answer, grant.presented(), key)
            .map_err(|error| self.auth.explain(error, Some(grant.grant_type())))
            .map_err(|error| if key.is_some() { explain_proof(error) } else { error })?;
        Ok(match granted {
            Granted::Tokens(tokens) => {
                let tokens = tokens.with_obtained_at(sent_at).with_provider_date(date, sent_at);
                Granted::Tokens(Box::new(tokens))
            }
            kept => kept,
        })
    }
}

fn default_port(url: &Uri) -> Option<u16> {
    match url.scheme_str()? {
        "https" => Some(443),
        "http" => Some(80),
        _ => None,
    }
}
