//! Real providers, reached as a browser and as a client would reach them. `tests/services/run`
//! starts them.

mod browser;
mod keycloak;

use std::{env, sync::Arc};

use reqwest::{Client, Method, RequestBuilder, StatusCode, redirect::Policy};
use serde_json::{Value, json};
use tower_token_refresh::{
    ClientAuth, DpopKey, DpopProof, TokenEndpoint,
    testing::{IssuerServer, StrictIssuer},
};
use url::Url;
use uuid::Uuid;

pub use self::{browser::Browser, keycloak::Admin};

pub const CLIENT_ID: &str = "web";
pub const CLIENT_SECRET: &str = "secret";
pub const REDIRECT_URI: &str = "http://127.0.0.1/auth/callback";

/// The value of an environment variable that `tests/services/run` sets.
pub fn service(variable: &str) -> String {
    env::var(variable).unwrap_or_else(|_| {
        panic!("{variable} is not set: start the servers with tests/services/run -- cargo test ...")
    })
}

/// A server with OpenID Connect, found by its discovery document.
#[derive(Clone)]
pub struct Provider {
    pub name: &'static str,
    pub issuer_url: String,
    client: (&'static str, Option<&'static str>),
    http: Client,
    document: Value,
    kind: Kind,
}

#[derive(Clone)]
enum Kind {
    Keycloak(Admin),
    OidcProvider,
    /// Ours, whose users need no account. Its browsers log in where we serve it.
    Strict(Option<Arc<IssuerServer>>),
}

/// Somebody who can log in; the password is the name.
#[derive(Clone, Debug)]
pub struct User {
    pub name: String,
    /// `sub` of the user's tokens.
    pub subject: String,
}

/// What the provider itself counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refreshes {
    pub granted: usize,
    pub refused: usize,
}

/// What an endpoint answered; `body` is null where it was no JSON.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    /// `WWW-Authenticate`, empty where there is none.
    pub challenge: String,
    /// `DPoP-Nonce`, where it gave one.
    pub dpop_nonce: Option<String>,
    pub body: Value,
}

impl Answer {
    /// A string of the body, empty where there is none.
    pub fn text(&self, field: &str) -> &str {
        self.body[field].as_str().unwrap_or_default()
    }
}

impl Provider {
    pub async fn keycloak() -> Self {
        let issuer_url = service("TEST_KEYCLOAK_URL");
        let admin = Admin::of(&issuer_url);
        Self::discover("Keycloak", issuer_url, Kind::Keycloak(admin)).await
    }

    pub async fn oidc_provider() -> Self {
        Self::discover("oidc-provider", service("TEST_OIDC_PROVIDER_URL"), Kind::OidcProvider).await
    }

    /// The same, reached by another port. Keycloak is whoever it is addressed as, so its issuer
    /// changes with that.
    pub async fn by_way_of(self, port: u16) -> Self {
        let Kind::Keycloak(_) = self.kind else { return self };
        let mut issuer_url: Url = self.issuer_url.parse().expect("a URL");
        issuer_url.set_port(Some(port)).expect("an http URL has a port");
        Self::discover(self.name, issuer_url.into(), self.kind).await
    }

    /// A strict issuer that somebody else serves.
    pub async fn strict(issuer_url: String) -> Self {
        Self::discover("StrictIssuer", issuer_url, Kind::Strict(None)).await
    }

    /// A strict issuer that is served as long as this lives.
    pub async fn serve(issuer: &StrictIssuer) -> Self {
        let server = issuer.serve().await.expect("a free port");
        let issuer_url = server.issuer_url();
        Self::discover("StrictIssuer", issuer_url, Kind::Strict(Some(Arc::new(server)))).await
    }

    /// The same for another of its clients; one without a secret is a public one.
    pub fn with_client(&self, id: &'static str, secret: Option<&'static str>) -> Self {
        Self { client: (id, secret), ..self.clone() }
    }

    pub fn client_id(&self) -> &'static str {
        self.client.0
    }

    pub fn client_secret(&self) -> &'static str {
        self.client.1.expect("it has one")
    }

    fn strict_issuer(&self) -> Option<&StrictIssuer> {
        match &self.kind {
            Kind::Strict(server) => server.as_deref().map(IssuerServer::issuer),
            Kind::Keycloak(_) | Kind::OidcProvider => None,
        }
    }

    async fn discover(name: &'static str, issuer_url: String, kind: Kind) -> Self {
        let http = Client::builder().redirect(Policy::none()).build().expect("a client");
        let url = format!("{issuer_url}/.well-known/openid-configuration");
        let document =
            http.get(url).send().await.expect("the provider answers").json().await.expect("JSON");
        Self { name, issuer_url, client: (CLIENT_ID, Some(CLIENT_SECRET)), http, document, kind }
    }

    /// The address that the provider's document names, such as `token_endpoint`.
    pub fn url(&self, name: &str) -> Url {
        self.document[name]
            .as_str()
            .and_then(|url| url.parse().ok())
            .unwrap_or_else(|| panic!("no {name}"))
    }

    /// How an application reaches it.
    pub async fn endpoint(&self) -> TokenEndpoint {
        let auth = match self.client {
            (id, Some(secret)) => ClientAuth::basic(id, secret),
            (id, None) => ClientAuth::none(id),
        };
        TokenEndpoint::discover(&self.issuer_url, auth).await.expect("the provider is found")
    }

    /// A user whom no other test knows.
    pub async fn new_user(&self) -> User {
        let name = format!("user-{}", Uuid::new_v4().simple());
        let subject = match &self.kind {
            Kind::Keycloak(admin) => admin.create_user(&name).await,
            Kind::OidcProvider => name.clone(),
            Kind::Strict(_) => format!("f:test:{name}"),
        };
        User { name, subject }
    }

    /// The same for a new client, which is told at `url` of each session that ends.
    pub async fn with_back_channel_client(&self, url: &str) -> Self {
        match &self.kind {
            Kind::Keycloak(admin) => {
                let id = admin.create_back_channel_client(url, true).await;
                self.with_client(id.leak(), Some(CLIENT_SECRET))
            }
            Kind::OidcProvider => self.with_registered_client(url).await,
            Kind::Strict(_) => panic!("a strict issuer calls nobody"),
        }
    }

    async fn with_registered_client(&self, url: &str) -> Self {
        let metadata = json!({
            "application_type": "native",
            "grant_types": ["authorization_code", "refresh_token"],
            "response_types": ["code"],
            "redirect_uris": [REDIRECT_URI],
            "backchannel_logout_uri": url,
            "backchannel_logout_session_required": true,
        });
        let request = self.http.post(self.url("registration_endpoint")).json(&metadata);
        let answer = request.send().await.expect("an answer");
        assert_eq!(answer.status(), StatusCode::CREATED);
        let client: Value = answer.json().await.expect("JSON");
        let text =
            |name: &str| -> &'static str { client[name].as_str().expect("text").to_owned().leak() };
        self.with_client(text("client_id"), Some(text("client_secret")))
    }

    /// Signs tokens with a new key from now on.
    pub async fn rotate_keys(&self) {
        match &self.kind {
            Kind::Keycloak(admin) => admin.rotate_keys().await,
            Kind::Strict(Some(server)) => server.issuer().rotate_keys(),
            Kind::OidcProvider | Kind::Strict(None) => panic!("{} cannot do that", self.name),
        }
    }

    /// The administrator, who can end sessions.
    pub fn admin(&self) -> &Admin {
        match &self.kind {
            Kind::Keycloak(admin) => admin,
            Kind::OidcProvider | Kind::Strict(_) => panic!("only Keycloak has an administrator"),
        }
    }

    /// The provider's own count of this user's refreshes.
    pub async fn refreshes(&self, user: &User) -> Refreshes {
        match &self.kind {
            Kind::Keycloak(admin) => Refreshes {
                granted: admin.count_events("REFRESH_TOKEN", &user.subject).await,
                refused: admin.count_events("REFRESH_TOKEN_ERROR", &user.subject).await,
            },
            Kind::OidcProvider => {
                let url = format!("{}/control/accounts/{}", self.issuer_url, user.name);
                let counts: Value =
                    self.http.get(url).send().await.expect("an answer").json().await.expect("JSON");
                let count = |name: &str| counts[name].as_u64().expect("a number") as usize;
                Refreshes { granted: count("granted"), refused: count("refused") }
            }
            Kind::Strict(_) => panic!("a strict issuer counts itself"),
        }
    }

    /// The token endpoint, as our client.
    pub async fn grant(&self, form: &[(&str, &str)]) -> Answer {
        self.post("token_endpoint", form).await
    }

    /// The token endpoint, with a proof of `key`; again with the nonce that the provider wants.
    pub async fn grant_bound_to(&self, key: &DpopKey, form: &[(&str, &str)]) -> Answer {
        let url = self.url("token_endpoint");
        let proof = key.proof(&Method::POST, &url.as_str().parse().expect("a URI"));
        let send = |proof: DpopProof| async move {
            let request = self.http.post(self.url("token_endpoint"));
            self.authenticated(request.header("dpop", proof.header()), form).await
        };
        let answer = send(proof.clone()).await;
        match &answer.dpop_nonce {
            Some(nonce) if answer.text("error") == "use_dpop_nonce" => {
                send(proof.nonce(nonce)).await
            }
            _ => answer,
        }
    }

    pub async fn refresh(&self, refresh_token: &str) -> Answer {
        self.grant(&[("grant_type", "refresh_token"), ("refresh_token", refresh_token)]).await
    }

    pub async fn revoke(&self, token: &str, hint: &str) -> Answer {
        self.post("revocation_endpoint", &[("token", token), ("token_type_hint", hint)]).await
    }

    /// Whether the userinfo endpoint takes this access token.
    pub async fn is_live(&self, access_token: &str) -> bool {
        let url = self.url("userinfo_endpoint");
        let answer = self.http.get(url).bearer_auth(access_token).send().await.expect("an answer");
        match answer.status() {
            StatusCode::OK => true,
            StatusCode::UNAUTHORIZED => false,
            status => panic!("userinfo answered {status}"),
        }
    }

    async fn post(&self, endpoint: &str, form: &[(&str, &str)]) -> Answer {
        self.authenticated(self.http.post(self.url(endpoint)), form).await
    }

    /// With the client's id, and its secret if it has one.
    async fn authenticated(&self, request: RequestBuilder, form: &[(&str, &str)]) -> Answer {
        match self.client {
            (id, Some(secret)) => self.send(request.basic_auth(id, Some(secret)).form(form)).await,
            (id, None) => self.send(request.form(&[form, &[("client_id", id)]].concat())).await,
        }
    }

    /// A request of the caller's own making, at the address that the document names.
    pub async fn ask(
        &self,
        method: Method,
        endpoint: &str,
        make: impl FnOnce(RequestBuilder) -> RequestBuilder,
    ) -> Answer {
        self.send(make(self.http.request(method, self.url(endpoint)))).await
    }

    async fn send(&self, request: RequestBuilder) -> Answer {
        let answer = request.send().await.expect("an answer");
        let status = answer.status();
        let header = |name| {
            let value = answer.headers().get(name)?;
            Some(value.to_str().expect("ASCII").to_owned())
        };
        let challenge = header("www-authenticate").unwrap_or_default();
        let dpop_nonce = header("dpop-nonce");
        let body = answer.bytes().await.expect("a body");
        Answer {
            status,
            challenge,
            dpop_nonce,
            body: serde_json::from_slice(&body).unwrap_or(json!(null)),
        }
    }
}
