//! What a request of a [`Provider`] says of its client and presents, and to which of two addresses it
//! goes.

use std::time::SystemTime;

use http::{HeaderValue, Method, Uri};
use tokio::time::{Instant, timeout_at};

use super::{Addresses, Provider};
use crate::dpop::DpopKey;
use crate::endpoint::{
    auth::{Credentials, Recipient},
    authorization_grant::{AuthorizationGrant, Fields},
    discovery::Metadata,
    error::{EndpointError, EndpointErrorKind as Kind},
};

impl Provider {
    /// What the next request, which goes `to` an endpoint, says of this client.
    pub(super) async fn credentials(
        &self,
        metadata: &Metadata,
        to: &Uri,
        deadline: Instant,
    ) -> Result<Credentials<'_>, EndpointError> {
        let recipient = Recipient {
            endpoint: to,
            token_endpoint: &metadata.token,
            issuer: self.issuer(),
            now: self.clock.now(),
        };
        Ok(in_time(deadline, self.auth.credentials(&recipient)).await??)
    }

    /// What the next request presents.
    pub(super) async fn fields<'a>(
        &'a self,
        grant: &AuthorizationGrant<'a>,
        metadata: &Metadata,
        deadline: Instant,
    ) -> Result<Fields<'a>, EndpointError> {
        let fields = grant.fields(&metadata.token, &self.refresh_params, &self.clock);
        in_time(deadline, fields).await?
    }

    /// Shows that this client has `key`. Without a `nonce`, the provider's last one is repeated.
    pub(super) fn proof(
        &self,
        key: &DpopKey,
        to: &Uri,
        nonce: Option<&str>,
        now: SystemTime,
    ) -> HeaderValue {
        self.dpop_nonce.sign(key.proof(&Method::POST, to), nonce, now)
    }

    /// Whether this client has a certificate, as far as the settings tell.
    pub(super) fn is_mtls(&self) -> bool {
        matches!(&self.addresses, Addresses::Discovered { overrides, .. } if overrides.mtls)
    }
}

/// Explains an error that may mean that the provider does not accept the proof of a key. Keycloak 26.4
/// says `invalid_request` for it. Such an answer says nothing about the refresh token, and nothing to
/// others: each proof is of another key.
pub(super) fn explain_proof(error: EndpointError) -> EndpointError {
    match error.kind() {
        Kind::Rejected { code: "invalid_dpop_proof" | "invalid_request" } => {
            error.of_one_request().with_hint(
                "if it does not accept the DPoP proof, check this machine's clock, and whether the \
             provider knows its token endpoint by the URL that this client uses",
            )
        }
        _ => error,
    }
}

/// A secret or a key may come from the application's own code, which may hang.
async fn in_time<T>(deadline: Instant, work: impl Future<Output = T>) -> Result<T, EndpointError> {
    let ended = timeout_at(deadline, work).await;
    ended.map_err(|elapsed| EndpointError::new(Kind::NoCredentials).with_source(elapsed))
}
