//! Listens to a server that tells what happens, and begins again when the connection is lost.

use std::{
    future::Future,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

/// How long a connection without a message is trusted.
#[cfg(any(feature = "postgres", feature = "redis"))]
pub(crate) const QUIET: Duration = Duration::from_secs(10);
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Calls `listen` until it returns without an error: then the server cannot tell. Between two calls
/// it pauses for 50 ms, 100 ms and so on up to 2 s.
///
/// `is_subscribed` is true while the server tells; whoever listens sets it, and it is reset here. `say`
/// is called when the telling ends, or does not begin, and not again until it has begun in between.
pub(crate) async fn keep_listening<E, L>(
    is_subscribed: &AtomicBool,
    mut listen: impl FnMut() -> L,
    say: impl Fn(&E),
) where
    L: Future<Output = Result<(), E>>,
{
    let (mut pause, mut is_silent) = (FIRST_PAUSE, false);
    while let Err(error) = listen().await {
        if is_subscribed.swap(false, Ordering::Relaxed) {
            (pause, is_silent) = (FIRST_PAUSE, false);
        }
        if !std::mem::replace(&mut is_silent, true) {
            say(&error);
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}
