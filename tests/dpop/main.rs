//! Tokens that are bound to a key (DPoP; RFC 9449): at a provider and an API that check each proof.

mod calls;
mod connections;
mod hosts;
mod logins;
mod nonces;
mod once;
mod refusals;
mod reqwest_client;
mod resent;
mod services;
mod strict;

use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode, header};
use http_body_util::Full;
use serde_json::Value;
use support::World;
use tower::{BoxError, Layer, ServiceExt, service_fn};
use tower_token_refresh::{
    ApiHosts, BearerLayer, ClientAuth, DpopKey, LoginTokens, TokenEndpoint, TokenSet, TokenSource,
    testing::{StrictIssuer, StrictIssuerBuilder},
};

/// A public client: its refresh tokens are bound as well.
fn world(configure: impl FnOnce(StrictIssuerBuilder) -> StrictIssuerBuilder) -> World {
    let world = World::configured(|issuer| configure(issuer.public_client("web")), |it| it);
    let endpoint = endpoint(&world.issuer);
    world.asking(endpoint)
}

fn endpoint(issuer: &StrictIssuer) -> TokenEndpoint {
    TokenEndpoint::new(issuer.token_url(), ClientAuth::none("web"))
        .issuer(issuer.issuer_url())
        .revocation_url(issuer.revocation_url())
        .transport(issuer.transport())
}

fn bound_set(world: &World, key: &DpopKey) -> TokenSet {
    let response = world.issuer.log_in_bound_to("alice", key);
    assert_eq!(response["token_type"], "DPoP");
    TokenSet::from_response(response).expect("a token set").with_dpop_key(key.clone())
}

/// Alice is logged in, and her tokens are bound to a key.
async fn log_in(world: &World) -> LoginTokens {
    let set = bound_set(world, &DpopKey::generate());
    world.refresher.tokens(&world.refresher.adopt(set).await.expect("adopted"))
}

/// An API that checks what it gets: the issuer's own userinfo.
struct Api {
    issuer: StrictIssuer,
    hosts: ApiHosts,
    calls: Arc<Mutex<Vec<HeaderMap>>>,
}

impl Api {
    fn of(world: &World) -> Self {
        let hosts = ApiHosts::new(["id.example.test"]).expect("a host");
        let hosts = hosts.clock(world.clock.clock());
        Self { issuer: world.issuer.clone(), hosts, calls: Arc::default() }
    }

    async fn call(&self, tokens: &(impl TokenSource + Clone)) -> Response<Bytes> {
        self.call_with(tokens, Full::<Bytes>::default()).await.expect("an answer")
    }

    async fn status(&self, tokens: &(impl TokenSource + Clone)) -> StatusCode {
        self.call(tokens).await.status()
    }

    async fn call_with<B: Send + 'static>(
        &self,
        tokens: &(impl TokenSource + Clone),
        body: B,
    ) -> Result<Response<Bytes>, BoxError> {
        let (issuer, calls) = (self.issuer.clone(), self.calls.clone());
        let api = service_fn(move |request: Request<B>| {
            calls.lock().unwrap().push(request.headers().clone());
            let answer = issuer.handle(request.map(|_| Bytes::new()));
            async move { Ok::<_, Infallible>(answer) }
        });
        let client = BearerLayer::new(tokens.clone(), &self.hosts).layer(api);
        let url = format!("{}?page=2", self.issuer.userinfo_url());
        client.oneshot(Request::get(url).body(body).expect("a request")).await
    }

    fn calls(&self) -> Vec<HeaderMap> {
        self.calls.lock().unwrap().clone()
    }
}

/// The provider ends this access token alone.
fn revoke(issuer: &StrictIssuer, access_token: &str) {
    let request = Request::post(issuer.revocation_url())
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
    let form = format!("client_id=web&token={access_token}");
    let answer = issuer.handle(request.body(form.into()).expect("a request"));
    assert_eq!(answer.status(), StatusCode::OK);
    assert!(!issuer.is_access_token_live(access_token));
}

/// What a proof says.
fn claims(headers: &HeaderMap) -> Value {
    let proof = headers["dpop"].to_str().expect("ASCII");
    let payload = proof.split('.').nth(1).expect("a JWT");
    let payload = BASE64_URL_SAFE_NO_PAD.decode(payload).expect("base64url");
    serde_json::from_slice(&payload).expect("JSON")
}

fn scheme(headers: &HeaderMap) -> &str {
    let value = headers[header::AUTHORIZATION].to_str().expect("ASCII");
    value.split(' ').next().expect("a scheme")
}
