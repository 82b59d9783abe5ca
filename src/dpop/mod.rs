//! DPoP: tokens that are worth nothing without a key (RFC 9449).
//!
//! ```text
//! key     the key of a login, and its thumbprint
//! proof   a JWT for one request, which shows that its sender has the key
//! nonce   what a server wants to see in the next proof
//! ```

mod key;
mod nonce;
mod proof;

pub use self::{key::DpopKey, proof::DpopProof};
pub(crate) use self::{
    nonce::ServerNonce,
    proof::{DPOP, USE_DPOP_NONCE},
};
