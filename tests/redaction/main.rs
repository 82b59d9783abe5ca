//! Nothing secret is ever printed: no token, no secret or key, and no id by which somebody could
//! take a login over or find its record.

mod errors;
mod printed;
mod traced;

use std::{error::Error, fmt::Debug};

use base64::{Engine, prelude::BASE64_STANDARD};
use support::{World, tokens::key_of};
use tower_sessions::session::Id;
use tower_token_refresh::{
    ClientAuth, TokenEndpoint, TokenRefresher, TokenRefresherBuilder, Transport,
    testing::StrictIssuer, token_store::SealKeys, tower_sessions,
};

const CLIENT_SECRET: &str = "client-secret-that-nobody-sees";
const FREE_TEXT: &str = "the-providers-free-text-quotes-a-token";
const SEAL_KEY: &[u8; 32] = b"seal-key-that-nobody-ever-sees!!";
const INDEX_KEY: &str = "index-key-that-nobody-ever-sees!";

/// Everything that must not be seen.
struct Secrets(Vec<String>);

impl Secrets {
    fn of(issuer: &StrictIssuer) -> Self {
        let mut secrets = issuer.every_secret();
        assert!(secrets.len() >= 3, "there are tokens to look for");
        secrets.extend([CLIENT_SECRET, FREE_TEXT, INDEX_KEY].map(str::to_owned));
        secrets.push(BASE64_STANDARD.encode(SEAL_KEY));
        secrets.push(String::from_utf8_lossy(SEAL_KEY).into_owned());
        secrets.push(format!("{SEAL_KEY:?}"));
        Self(secrets)
    }

    /// The id of a session, of the login that it points to, and of that login's token record.
    async fn and_ids(mut self, world: &World, session: Id) -> Self {
        let grant = world.pointer(session).await.expect("logged in");
        let key = key_of(&grant).to_bytes();
        let in_hex: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
        for id in [session, Id(i128::from_be_bytes(key))] {
            self.0.extend([id.to_string(), id.0.to_string()]);
        }
        // Nor the beginning of the key, which a log might take for a short name.
        self.0.extend([grant, in_hex[..8].to_owned(), in_hex, format!("{key:?}")]);
        self
    }

    #[track_caller]
    fn assert_absent_in(&self, what: &str, text: &str) {
        for secret in &self.0 {
            // Of a JWT the payload alone is bad enough.
            for part in secret.split('.').filter(|part| part.len() > 16).chain([secret.as_str()]) {
                assert!(!text.contains(part), "{what} shows a secret: {text}");
            }
        }
    }

    #[track_caller]
    fn assert_absent_in_debug(&self, what: &str, value: &impl Debug) {
        self.assert_absent_in(what, &format!("{value:?} {value:#?}"));
    }

    #[track_caller]
    fn assert_absent_in_error(&self, error: &(dyn Error + 'static)) {
        let mut next = Some(error);
        while let Some(error) = next {
            self.assert_absent_in("an error", &format!("{error} {error:?} {error:#?}"));
            next = error.source();
        }
    }
}

/// A world whose client has a secret.
fn world() -> World {
    let world = World::configured(|issuer| issuer.client("web", CLIENT_SECRET), |builder| builder);
    let refresher = refresher(&world, Some(world.issuer.transport()), |builder| builder);
    World { refresher, ..world }
}

/// A refresher with a secret, by `transport` or over a socket.
fn refresher(
    world: &World,
    transport: Option<Transport>,
    configure: impl FnOnce(TokenRefresherBuilder) -> TokenRefresherBuilder,
) -> TokenRefresher {
    let auth = ClientAuth::basic("web", CLIENT_SECRET);
    let endpoint = TokenEndpoint::new(world.issuer.token_url(), auth)
        .issuer(world.issuer.issuer_url())
        .revocation_url(world.issuer.revocation_url())
        .jwks_url(world.issuer.jwks_url());
    let endpoint = match transport {
        Some(transport) => endpoint.transport(transport),
        None => endpoint,
    };
    let builder = TokenRefresher::builder(endpoint, world.sessions.clone())
        .token_store(world.tokens.clone())
        .clock(world.clock.clock());
    configure(builder).build().expect("the settings agree")
}

/// With every key there is.
fn with_keys(builder: TokenRefresherBuilder) -> TokenRefresherBuilder {
    builder.seal_with(SealKeys::new(*SEAL_KEY)).back_channel_logout(INDEX_KEY)
}
