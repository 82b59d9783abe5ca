//! The revocation endpoint (RFC 7009).

use bytes::Bytes;
use http::{Request, Response, StatusCode};

use super::{
    StrictIssuer,
    addresses::Endpoint,
    issuer::lock,
    state::Revocation,
    wire::{OAuthError, parse_form, plain_response},
};

impl StrictIssuer {
    pub(super) fn revoke(&self, request: &Request<Bytes>) -> Result<Response<Bytes>, OAuthError> {
        let form = parse_form(request)?;
        self.authenticate(Endpoint::Revocation, request.headers(), &form)?;
        let token = form
            .get("token")
            .ok_or_else(|| OAuthError::invalid_request("Token parameter is missing"))?;
        match lock(&self.inner.state).revoke(token, self.inner.rules) {
            Revocation::Done => Ok(Response::new(Bytes::new())),
            Revocation::NotLive => {
                Ok(plain_response(StatusCode::OK, self.inner.rules.nothing_to_revoke))
            }
            Revocation::Unsupported => Err(OAuthError::new(
                StatusCode::BAD_REQUEST,
                "unsupported_token_type",
                "Unsupported token type",
            )),
        }
    }
}
