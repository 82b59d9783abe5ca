//! How long hyper waits for a request's head.
//!
//! hyper knows one limit, from the end of the last answer to the end of the next head. That limit
//! would be too long for a head that arrives byte by byte, or too short for a connection without a
//! request. So its timer waits in two steps: for the first byte, and then for the rest.

use std::{
    future::Future,
    pin::Pin,
    sync::atomic::{AtomicBool, Ordering},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use hyper::rt::{Sleep, Timer};
use tokio::time;

use super::{connection::Limits, socket::Heard};

/// The timer of one connection. hyper asks it for nothing but the wait for a head.
pub(super) struct HeadTimer {
    heard: Heard,
    limits: Limits,
    is_first: AtomicBool,
}

struct WaitForHead {
    sleep: Pin<Box<time::Sleep>>,
    heard: Heard,
    /// Set while not even the first byte is there: what the rest may take then.
    rest: Option<Duration>,
}

impl HeadTimer {
    pub(super) fn new(heard: Heard, limits: Limits) -> Self {
        Self { heard, limits, is_first: AtomicBool::new(true) }
    }
}

impl Timer for HeadTimer {
    fn sleep(&self, _: Duration) -> Pin<Box<dyn Sleep>> {
        // What was heard so far belongs to the request before.
        self.heard.take();
        let Limits { header, idle, .. } = self.limits;
        // Whoever connects has something to ask.
        let is_first = self.is_first.swap(false, Ordering::Relaxed);
        let (limit, rest) = if is_first { (header, None) } else { (idle, Some(header)) };
        Box::pin(WaitForHead {
            sleep: Box::pin(time::sleep(limit)),
            heard: self.heard.clone(),
            rest,
        })
    }

    fn sleep_until(&self, _: Instant) -> Pin<Box<dyn Sleep>> {
        self.sleep(self.limits.header)
    }
}

impl Sleep for WaitForHead {}

impl Future for WaitForHead {
    type Output = ();

    /// hyper polls this each time that it has read what there was.
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.rest.is_some() && self.heard.take() {
            let rest = self.rest.take().unwrap_or_default();
            self.sleep.set(time::sleep(rest));
        }
        self.sleep.as_mut().poll(cx)
    }
}
