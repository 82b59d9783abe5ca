//! The provider's token endpoint.

mod transport;

pub use transport::{BoxError, Transport, TransportBody};
