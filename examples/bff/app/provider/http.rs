//! The HTTP client for `openidconnect`, which speaks an older reqwest by itself.

use std::{future::Future, pin::Pin, time::Duration};

use openidconnect::{AsyncHttpClient, HttpRequest, HttpResponse};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(15);

pub(super) struct Http(reqwest::Client);

#[derive(Debug, thiserror::Error)]
pub(super) enum HttpError {
    #[error("no answer")]
    NoAnswer(#[source] reqwest::Error),
    #[error("not a request")]
    NotARequest,
}

impl Http {
    pub(super) fn new() -> Result<Self, String> {
        reqwest::Client::builder()
            // A redirect would carry the code or the secret to wherever it points.
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(REQUEST_TIMEOUT)
            .build()
            .map(Self)
            .map_err(|error| format!("the HTTP client cannot be made: {error}"))
    }
}

impl<'c> AsyncHttpClient<'c> for Http {
    type Error = HttpError;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, HttpError>> + Send + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(async move {
            let request =
                reqwest::Request::try_from(request).map_err(|_| HttpError::NotARequest)?;
            let mut answer = self.0.execute(request).await.map_err(HttpError::no_answer)?;
            let mut response = HttpResponse::new(Vec::new());
            *response.status_mut() = answer.status();
            *response.headers_mut() = std::mem::take(answer.headers_mut());
            *response.body_mut() = answer.bytes().await.map_err(HttpError::no_answer)?.into();
            Ok(response)
        })
    }
}

impl HttpError {
    fn no_answer(error: reqwest::Error) -> Self {
        Self::NoAnswer(error.without_url())
    }
}
