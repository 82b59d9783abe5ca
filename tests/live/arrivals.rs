//! Who is in the application, and who has left it without an answer.

use std::sync::Arc;

use axum::{extract::Request, middleware::Next, response::Response};
use tokio::sync::watch;

/// Counts requests on their way in, and those whose client went away.
#[derive(Clone, Default)]
pub struct Arrivals {
    arrived: Arc<watch::Sender<usize>>,
    abandoned: Arc<watch::Sender<usize>>,
}

impl Arrivals {
    pub async fn count(self, request: Request, next: Next) -> Response {
        self.arrived.send_modify(|count| *count += 1);
        let mut under_way = UnderWay { arrivals: &self, answered: false };
        let response = next.run(request).await;
        under_way.answered = true;
        response
    }

    pub fn arrived_so_far(&self) -> usize {
        *self.arrived.borrow()
    }

    pub async fn until_arrived(&self, count: usize) {
        self.arrived.subscribe().wait_for(|arrived| *arrived >= count).await.expect("it counts");
    }

    pub async fn until_abandoned(&self, count: usize) {
        self.abandoned
            .subscribe()
            .wait_for(|abandoned| *abandoned >= count)
            .await
            .expect("it counts");
    }
}

struct UnderWay<'a> {
    arrivals: &'a Arrivals,
    answered: bool,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        if !self.answered {
            self.arrivals.abandoned.send_modify(|count| *count += 1);
        }
    }
}
