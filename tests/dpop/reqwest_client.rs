//! The same through a client of reqwest-middleware, over a real connection.

use reqwest_middleware::ClientBuilder;
use support::World;
use tower_token_refresh::{
    ApiHosts, BearerMiddleware, ClientAuth, DpopKey, TokenEndpoint, TokenSet,
};

#[tokio::test]
async fn a_client_of_reqwest_proves_the_key_and_repeats_the_nonce() {
    let world = World::configured(|issuer| issuer.public_client("web").dpop_nonces(), |it| it);
    let server = world.issuer.serve().await.expect("a free port");
    let endpoint = TokenEndpoint::new(world.issuer.token_url(), ClientAuth::none("web"));
    let world = world.asking(endpoint);
    let key = DpopKey::generate();
    let response = world.issuer.log_in_bound_to("alice", &key);
    let set = TokenSet::from_response(response).expect("a token set").with_dpop_key(key);
    let tokens = world.refresher.tokens(&world.refresher.adopt(set).await.expect("adopted"));

    let url = world.issuer.userinfo_url();
    let host = url.split('/').nth(2).expect("a host");
    let api = ApiHosts::new([host]).expect("a host").clock(world.clock.clock());
    let client = ClientBuilder::new(reqwest::Client::new());
    let client = client.with(BearerMiddleware::new(tokens, &api)).build();
    for (calls, sent) in [(1, 2), (2, 3)] {
        let answer = client.get(format!("{url}?x=1")).send().await.expect("an answer");
        assert_eq!(answer.status().as_u16(), 200, "call {calls}");
        assert_eq!(world.issuer.requests(tower_token_refresh::testing::Endpoint::UserInfo), sent);
    }
    world.expire();
    let answer = client.get(&url).send().await.expect("an answer");
    assert_eq!((answer.status().as_u16(), world.issuer.refreshes()), (200, 1));
    drop(server);
}
