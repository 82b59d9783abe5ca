//! Verifies what the provider has signed: ID tokens, access tokens and logout tokens.
//!
//! [`Keys`] fetches the provider's public keys and caches them, `jwks` parses them, and `verify`
//! has the rules for a token.

mod jwks;
mod keys;
mod verify;

#[cfg(fuzzing)]
pub(super) use jwks::KeySet;
pub(crate) use keys::{Keys, KeysError};
#[cfg(fuzzing)]
pub(super) use verify::Jwt;
pub(crate) use verify::{Expected, JwtClaims, LEEWAY, VerifyError};
