//! What this crate does to a session: it holds a [pointer] to its login, and the [guard] keeps
//! deleted sessions deleted. No token is in a session.

mod guard;
mod pointer;

pub(crate) use guard::EndedSessions;
pub use guard::GuardedStore;
pub(crate) use pointer::{Pointer, PointerError};
