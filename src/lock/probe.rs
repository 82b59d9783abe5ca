//! Whether a server gives keys.

use std::{sync::Arc, time::Duration};

use aws_lc_rs::rand;

use super::{
    LockError, LockKey,
    leases::{Owner, Server, Taken},
};

/// Takes a lease of `key`, which nobody uses, and gives it back. That is no lock of the
/// application's, so it is not [measured](super::measured) as one.
pub(super) async fn probe(
    server: Arc<dyn Server>,
    key: LockKey,
    lease: Duration,
) -> Result<(), LockError> {
    // In a task: a caller that goes away leaves no lease behind.
    let asking = tokio::spawn(async move {
        let mut owner = Owner::default();
        rand::fill(&mut owner).map_err(|_| LockError::Internal)?;
        let taken = server.take(key, owner, lease).await;
        // An answer that got lost may have given it.
        let released = server.release(key, owner).await;
        match taken? {
            Taken::Yes if released? => Ok(()),
            Taken::Yes => Err(LockError::Lost),
            Taken::No { .. } => {
                Err(LockError::unavailable("somebody holds a key that was made up just now"))
            }
        }
    });
    asking.await.unwrap_or(Err(LockError::Internal))
}
