//! What the benches share: tokens of a realistic size, and ratios that survive a noisy machine.
#![allow(dead_code, unreachable_pub, reason = "each bench uses its own part")]

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::{Value, json};

pub const ACCESS_TOKEN_BYTES: usize = 800;
pub const ID_TOKEN_BYTES: usize = 900;
pub const REFRESH_TOKEN_BYTES: usize = 700;

/// A token response of Keycloak's shape and size.
pub fn token_response(user: &str) -> Value {
    json!({
        "access_token": jwt(&access_claims(user), ACCESS_TOKEN_BYTES),
        "expires_in": 300,
        "refresh_token": jwt(&json!({ "typ": "Refresh", "sub": user }), REFRESH_TOKEN_BYTES),
        "refresh_expires_in": 1800,
        "id_token": jwt(&json!({ "typ": "ID", "sub": user, "sid": "7f1d" }), ID_TOKEN_BYTES),
        "token_type": "Bearer",
        "scope": "openid profile email",
    })
}

/// Fourteen claims, as an access token of Keycloak has them.
fn access_claims(user: &str) -> Value {
    json!({
        "iss": "https://id.example.test/realms/shop",
        "sub": user,
        "aud": "account",
        "exp": 4_102_444_800_u64,
        "iat": 1_763_000_000_u64,
        "jti": "0a4a2c9e-6f0f-4a6f-9a51-2c1f0b8d7c11",
        "azp": "shop-web",
        "sid": "7f1d2f0e-5f2b-4c36",
        "scope": "openid profile email",
        "preferred_username": "alice",
        "email": "alice@example.test",
        "name": "Alice Example",
        "realm_access": { "roles": ["offline_access", "user"] },
        "resource_access": { "shop-api": { "roles": ["reader", "admin"] } },
    })
}

/// A JWT with these claims; the signature is noise that brings it to `bytes`.
fn jwt(claims: &Value, bytes: usize) -> String {
    let header =
        json!({ "alg": "RS256", "typ": "JWT", "kid": "QmFzZTY0IGtleSBpZCBvZiB0aGUgcmVhbG0" });
    let segment = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}.", segment(&header), segment(claims));
    let signature = bytes.checked_sub(signed.len()).expect("the claims leave room for a signature");
    format!("{signed}{}", "A".repeat(signature))
}

/// Two threads, however many processors there are.
pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime starts")
}

/// Samples of one way of doing something, one per round.
#[derive(Default, Clone)]
pub struct Samples(pub Vec<f64>);

impl Samples {
    pub fn median(&self) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        match sorted.len() {
            0 => f64::NAN,
            n if n % 2 == 1 => sorted[n / 2],
            n => f64::midpoint(sorted[n / 2 - 1], sorted[n / 2]),
        }
    }

    /// This against `other`, round by round. What disturbs the machine disturbs both halves of a
    /// round alike.
    pub fn per_round(&self, other: &Self) -> Self {
        Self(self.0.iter().zip(&other.0).map(|(mine, theirs)| mine / theirs).collect())
    }

    /// The tenth and the ninetieth percentile.
    pub fn spread(&self) -> (f64, f64) {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let at = |part: usize| sorted.get((sorted.len().saturating_sub(1)) * part / 10).copied();
        (at(1).unwrap_or(f64::NAN), at(9).unwrap_or(f64::NAN))
    }
}

/// Prints one ratio with the goal beside it.
pub fn print_goal(what: &str, ratio: f64, spread: Option<(f64, f64)>, goal: f64) {
    let spread =
        spread.map_or(String::new(), |(low, high)| format!(" (p10-p90 {low:.2}-{high:.2})"));
    println!("{what}: {ratio:.2}{spread}, goal <= {goal:.2}: {}", verdict(ratio <= goal));
}

pub fn verdict(met: bool) -> &'static str {
    if met { "met" } else { "MISSED" }
}
