//! What the tests of the endpoint share, such as an in-memory provider and a clock that stands
//! still.

pub(crate) mod foreign_json;
pub(crate) mod signing;

use std::{
    error::Error as StdError,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use secrecy::SecretString;
use serde_json::{Value, json};

use super::{
    AlwaysSend, ClientAuth, EndpointError, Granted, Provider, RefreshFailure, TokenEndpoint,
    Transport, transport::BoxError,
};
use crate::{TimeSource, TokenSet};

pub(crate) const SECRET: &str = "hunter2hunter2";

/// An in-memory provider. It records the requests and answers as the test says.
#[derive(Clone, Default)]
pub(crate) struct Script {
    seen: Arc<Mutex<Vec<Request<Bytes>>>>,
}

impl Script {
    pub(crate) fn answering(
        &self,
        answer: impl Fn(&Request<Bytes>, usize) -> Response<Full<Bytes>> + Send + Sync + 'static,
    ) -> Transport {
        let (seen, answer) = (Arc::clone(&self.seen), Arc::new(answer));
        Transport::new(tower::service_fn(move |request: Request<Bytes>| {
            let (seen, answer) = (Arc::clone(&seen), Arc::clone(&answer));
            async move {
                let turn = seen.lock().unwrap().len();
                let response = answer(&request, turn);
                seen.lock().unwrap().push(request);
                // Yields once, so that concurrent callers meet.
                tokio::task::yield_now().await;
                Ok::<_, BoxError>(response)
            }
        }))
    }

    pub(crate) fn sent(&self) -> Vec<Request<Bytes>> {
        self.seen.lock().unwrap().clone()
    }
}

/// A clock that stands still until a test moves it.
#[derive(Clone, Default)]
pub(crate) struct Hand(Arc<Mutex<Duration>>);

impl Hand {
    pub(crate) fn advance(&self, by: Duration) {
        *self.0.lock().unwrap() += by;
    }
}

impl TimeSource for Hand {
    fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + self.monotonic()
    }

    fn monotonic(&self) -> Duration {
        *self.0.lock().unwrap()
    }
}

pub(crate) fn answer(status: u16, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    Response::builder().status(status).body(Full::new(body.into())).unwrap()
}

pub(crate) fn tokens() -> Value {
    json!({"access_token": SECRET, "token_type": "Bearer", "expires_in": 300, "refresh_token": SECRET})
}

/// Everything that printing an error can show.
pub(crate) fn everything_printed(error: &(dyn StdError + 'static)) -> String {
    let rest = error.source().map(everything_printed).unwrap_or_default();
    format!("{error} {error:?} {error:#?} {rest}")
}

pub(crate) fn refresh_token() -> SecretString {
    SECRET.into()
}

pub(crate) fn endpoint(transport: Transport) -> TokenEndpoint {
    TokenEndpoint::new("https://id.example/token?tenant=1", ClientAuth::basic("app", SECRET))
        .transport(transport)
}

pub(crate) async fn refresh_error(transport: Transport) -> EndpointError {
    endpoint(transport).validate().unwrap().refresh_always(&refresh_token()).await.unwrap_err()
}

#[expect(clippy::disallowed_methods, reason = "tokio's own paused clock is what is measured")]
pub(crate) fn tokio_now() -> tokio::time::Instant {
    tokio::time::Instant::now()
}

impl Provider {
    /// A refresh that nobody calls off.
    pub(crate) async fn refresh_always(
        &self,
        token: &SecretString,
    ) -> Result<TokenSet, EndpointError> {
        match self.refresh(token, None, &mut AlwaysSend).await {
            Ok(Granted::Tokens(tokens)) => Ok(*tokens),
            Ok(Granted::RefreshTokenOnly(_, error)) | Err(RefreshFailure::Endpoint(error)) => {
                Err(error)
            }
            Err(RefreshFailure::Aborted) => unreachable!("nobody calls it off"),
        }
    }
}
