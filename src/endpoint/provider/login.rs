//! A login at the provider: where it begins, and what its code stands for.

use bytes::Bytes;
use serde::Deserialize;
use tokio::time::sleep;

use super::{Provider, addresses::Addresses};
use crate::{
    dpop::DpopKey,
    endpoint::{
        authorization_grant::{AuthorizationCode, AuthorizationGrant},
        discovery::Metadata,
        error::{EndpointError, EndpointErrorKind as Kind},
        request,
        resilience::Fingerprint,
        response,
    },
    tokens::TokenSet,
};

/// The longest `request_uri` that a browser is sent with.
const LONGEST_URI: usize = 1024;

/// The fields of an authorization request (RFC 6749, section 4.1.1), in order.
pub(crate) type AuthorizationRequest = Vec<(String, String)>;

impl Provider {
    /// Whether it is known, or may be discovered, where a browser logs in.
    pub(crate) fn can_log_in(&self) -> bool {
        match &self.addresses {
            Addresses::Configured(metadata) => metadata.authorization.endpoint.is_some(),
            Addresses::Discovered { .. } => true,
        }
    }

    /// The tokens that `code` stands for (RFC 6749, section 4.1.3). It is sent again as a refresh
    /// is: only if the provider has certainly not acted on it.
    pub(crate) async fn redeem(
        &self,
        code: AuthorizationCode<'_>,
        key: Option<&DpopKey>,
    ) -> Result<TokenSet, EndpointError> {
        self.obtain(AuthorizationGrant::AuthorizationCode(code), key).await
    }

    /// Sends an authorization request to the provider itself and gives the `request_uri` that
    /// stands for it (RFC 9126, section 2).
    pub(crate) async fn push(
        &self,
        metadata: &Metadata,
        asked: &AuthorizationRequest,
    ) -> Result<String, EndpointError> {
        let Some(to) = metadata.pushed_url(self.is_mtls()) else {
            let hint = "its discovery document names no pushed_authorization_request_endpoint";
            return Err(EndpointError::new(Kind::Misconfigured).with_hint(hint));
        };
        let state = asked.iter().find(|(name, _)| name == "state");
        let fingerprint = Fingerprint::of(state.map_or("", |(_, state)| state));
        let now = std::time::Duration::ZERO;
        let pass = self.admission.admit(fingerprint, now, self.longest_wait).await?;
        let deadline = sleep(self.exchange.limit).deadline();
        let sent = async {
            let credentials = self.credentials(metadata, to, deadline).await?;
            let answer = self.send(request::pushed(to, credentials, asked)).await?;
            let pushed = response::pushed_answer(answer);
            request_uri(&pushed.map_err(|error| self.auth.explain(error, None))?)
        };
        let outcome = sent.await;
        pass.record(&outcome);
        outcome
    }
}

fn request_uri(body: &Bytes) -> Result<String, EndpointError> {
    #[derive(Deserialize)]
    struct Pushed {
        request_uri: String,
    }
    // Deliberately without serde_json's message, which would quote the answer.
    let pushed = serde_json::from_slice(body).ok().map(|Pushed { request_uri }| request_uri);
    pushed
        .filter(|uri| !uri.is_empty() && uri.len() <= LONGEST_URI)
        .ok_or_else(|| EndpointError::new(Kind::InvalidResponse { rule: "names no request_uri" }))
}
