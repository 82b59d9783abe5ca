//! How this application proves to the provider who it is: by a secret, a key, a certificate or a
//! token of somebody else, which may all change while it runs.

mod algorithms;
mod assertions;
mod hidden;
mod keys;
mod settings;
mod sources;
mod strict;

use std::{
    io,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use http::{Request, header};
use http_body_util::Full;
use serde_json::Value;
use support::World;
use tower_sessions::session::Id;
use tower_token_refresh::{
    AccessToken, ClientAuth, RefreshError, TokenEndpoint, Transport,
    testing::{StrictIssuer, StrictIssuerBuilder},
    tower_sessions,
};

/// The forms and headers that the provider has got.
#[derive(Clone, Default)]
struct Sent(Arc<Mutex<Vec<Request<Bytes>>>>);

impl Sent {
    /// The way to the issuer. `change` is what somebody does to a request on it.
    fn transport(
        &self,
        issuer: &StrictIssuer,
        change: impl Fn(&mut Request<Bytes>) + Clone + Send + Sync + 'static,
    ) -> Transport {
        let (sent, issuer) = (self.clone(), issuer.clone());
        Transport::new(tower::service_fn(move |mut request: Request<Bytes>| {
            sent.0.lock().unwrap().push(request.clone());
            change(&mut request);
            let answer = issuer.handle(request).map(Full::new);
            async move {
                tokio::task::yield_now().await;
                Ok::<_, io::Error>(answer)
            }
        }))
    }

    fn requests(&self) -> Vec<Request<Bytes>> {
        self.0.lock().unwrap().clone()
    }

    /// A field of each form.
    fn fields(&self, name: &str) -> Vec<String> {
        self.requests().iter().filter_map(|request| field(request, name)).collect()
    }

    /// `Authorization` of each request.
    fn authorizations(&self) -> Vec<String> {
        let requests = self.requests();
        let values = requests.iter().filter_map(|it| it.headers().get(header::AUTHORIZATION));
        values.map(|value| value.to_str().unwrap().to_owned()).collect()
    }
}

fn field(request: &Request<Bytes>, name: &str) -> Option<String> {
    let mut fields = url::form_urlencoded::parse(request.body());
    fields.find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

/// A world whose provider knows the client as `register` says, and whose refresher authenticates by
/// `auth`.
fn world(
    register: impl FnOnce(StrictIssuerBuilder) -> StrictIssuerBuilder,
    auth: ClientAuth,
) -> (World, Sent) {
    changing(register, auth, |_| {})
}

/// The same, with somebody on the way to the provider.
fn changing(
    register: impl FnOnce(StrictIssuerBuilder) -> StrictIssuerBuilder,
    auth: ClientAuth,
    change: impl Fn(&mut Request<Bytes>) + Clone + Send + Sync + 'static,
) -> (World, Sent) {
    let (world, sent) = (World::configured(register, |builder| builder), Sent::default());
    let endpoint = TokenEndpoint::new(world.issuer.token_url(), auth)
        .issuer(world.issuer.issuer_url())
        .revocation_url(world.issuer.revocation_url())
        .transport(sent.transport(&world.issuer, change));
    (world.asking(endpoint), sent)
}

/// The client's secret is exchanged for the one that the provider knows: what was sent is seen in
/// [`Sent`].
fn with_the_right_secret(request: &mut Request<Bytes>) {
    let right = http::HeaderValue::from_static("Basic d2ViOnNlY3JldA==");
    request.headers_mut().insert(header::AUTHORIZATION, right);
}

/// The next token of a login whose last one has expired.
async fn refreshed(world: &World, id: Id) -> Result<AccessToken, RefreshError> {
    world.expire();
    world.refresher.valid_token(&world.session(id)).await
}

/// The claims of a JWT, unverified.
fn claims(jwt: &str) -> Value {
    use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
    let part = jwt.split('.').nth(1).expect("a JWT");
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}
