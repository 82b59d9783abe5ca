//! Gates: a test holds one request at a known place, without sleeping.

use std::{collections::VecDeque, fmt, sync::Arc};

use tokio::sync::watch;

use super::{Endpoint, StrictIssuer, issuer::lock};

/// Holds the next request to an endpoint until the gate is opened or dropped.
///
/// [`StrictIssuer::gate_before`] and [`StrictIssuer::gate_after`] make one. Several gates at one
/// place hold one request each, in the order in which they were made. A gate that was opened before
/// a request came holds none.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use bytes::Bytes;
/// use tower_token_refresh::testing::{Endpoint, StrictIssuer};
///
/// let issuer = StrictIssuer::new();
/// let gate = issuer.gate_before(Endpoint::Jwks);
/// let request = http::Request::get(issuer.jwks_url()).body(Bytes::new()).unwrap();
/// let under_way = tokio::spawn({
///     let issuer = issuer.clone();
///     async move { issuer.exchange(request).await }
/// });
///
/// gate.reached().await;
/// assert_eq!(issuer.requests(Endpoint::Jwks), 0, "it stands before the issuer");
/// gate.open();
/// assert!(under_way.await.unwrap().is_ok());
/// # }
/// ```
#[must_use = "a dropped gate is open"]
pub struct Gate(Arc<Latches>);

struct Latches {
    reached: watch::Sender<bool>,
    open: watch::Sender<bool>,
}

impl Gate {
    /// Resolves when a request is at this gate, or has been there.
    pub async fn reached(&self) {
        wait_for(&self.0.reached).await;
    }

    /// Lets the request continue.
    pub fn open(&self) {
        self.0.open.send_replace(true);
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.open();
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate")
            .field("reached", &*self.0.reached.borrow())
            .field("open", &*self.0.open.borrow())
            .finish()
    }
}

async fn wait_for(latch: &watch::Sender<bool>) {
    // It cannot fail: the sender is borrowed while we wait.
    let _ = latch.subscribe().wait_for(|set| *set).await;
}

/// Where a gate is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Before(Endpoint),
    After(Endpoint),
}

/// The gates nobody has come to yet.
pub(super) type Gates = VecDeque<(Place, WaitingGate)>;

#[derive(Clone)]
pub(super) struct WaitingGate(Arc<Latches>);

impl StrictIssuer {
    /// Stops the next request to `endpoint` before the issuer has seen it.
    ///
    /// Gates work in memory and with [`serve`](Self::serve). [`handle`](Self::handle) and wiremock
    /// cannot wait. If the caller goes away meanwhile, the issuer has never seen the request. Over
    /// a socket, though, nobody knows when the server notices that.
    pub fn gate_before(&self, endpoint: Endpoint) -> Gate {
        self.add_gate(Place::Before(endpoint))
    }

    /// Stops the next request to `endpoint` after the issuer has done its work and before the
    /// answer leaves.
    ///
    /// If the caller goes away meanwhile, the request has had its effect: a refresh token is
    /// consumed.
    pub fn gate_after(&self, endpoint: Endpoint) -> Gate {
        self.add_gate(Place::After(endpoint))
    }

    fn add_gate(&self, place: Place) -> Gate {
        let latches = Arc::new(Latches {
            reached: watch::Sender::new(false),
            open: watch::Sender::new(false),
        });
        lock(&self.inner.gates).push_back((place, WaitingGate(latches.clone())));
        Gate(latches)
    }

    /// Stops at the first closed gate of this place, if there is one.
    pub(super) async fn pass(&self, place: Place) {
        let gate = {
            let mut gates = lock(&self.inner.gates);
            gates.retain(|(_, gate)| !*gate.0.open.borrow());
            let first = gates.iter().position(|(at, _)| *at == place);
            first.and_then(|index| gates.remove(index))
        };
        if let Some((_, WaitingGate(latches))) = gate {
            latches.reached.send_replace(true);
            wait_for(&latches.open).await;
        }
    }
}
