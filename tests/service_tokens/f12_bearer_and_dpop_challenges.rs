//! BIN = outbound. RED.
//! docs: "401 `use_dpop_nonce` to a token that is bound to a key". To a bearer token, an API that takes both kinds says
//! `Bearer error="invalid_token"` beside its DPoP challenge, and the layer passes the 401 on.
//! Cause: src/outbound/bearer/challenge.rs:37-39: the challenge of a scheme that was not presented counts as well.
use std::{convert::Infallible, time::Duration};
use http::{HeaderValue, Request, Response, StatusCode, header};
use support::World;
use tower::{Layer, ServiceExt, service_fn};
use tower_token_refresh::{ApiHosts, BearerLayer};

#[tokio::test]
async fn what_is_said_of_dpop_does_not_keep_a_bearer_token_from_being_renewed() {
    for dpop in ["DPoP error=\"use_dpop_nonce\", algs=\"ES256\"", "DPoP error=\"invalid_dpop_proof\", algs=\"ES256\""] {
        let world = World::on_swapping();
        let tokens = world.refresher.tokens(&world.refresher.adopt(world.token_set("alice")).await.unwrap());
        let old = format!("Bearer {}", tokens.token().await.unwrap().secret());
        let api = ApiHosts::new(["api.example.com"]).unwrap().clock(world.clock.clock());
        world.clock.advance(Duration::from_secs(15));
        let client = service_fn(move |request: Request<()>| {
            let mut answer = Response::new(());
            if request.headers()["authorization"] == old {
                *answer.status_mut() = StatusCode::UNAUTHORIZED;
                for challenge in ["Bearer error=\"invalid_token\"", dpop] {
                    answer.headers_mut().append(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
                }
            }
            async move { Ok::<_, Infallible>(answer) }
        });
        let client = BearerLayer::new(tokens, &api).layer(client);
        let answer = client.oneshot(Request::get("https://api.example.com/").body(()).unwrap()).await.unwrap();
        assert_eq!((answer.status().as_u16(), world.issuer.refreshes()), (200, 1), "{dpop}");
    }
}
