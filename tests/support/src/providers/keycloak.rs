//! What only an administrator of Keycloak can see and do.

use reqwest::{Client, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

use super::CLIENT_SECRET;

const KEY_PROVIDER: &str = "org.keycloak.keys.KeyProvider";

/// The administrator of one realm.
#[derive(Clone)]
pub struct Admin {
    http: Client,
    server: String,
    realm: String,
}

impl Admin {
    pub fn of(issuer_url: &str) -> Self {
        let (server, realm) = issuer_url.split_once("/realms/").expect("a realm's URL");
        Self { http: Client::new(), server: server.to_owned(), realm: realm.to_owned() }
    }

    /// Makes a user whose password is the name; gives the subject.
    pub async fn create_user(&self, name: &str) -> String {
        let user = json!({
            "username": name,
            "enabled": true,
            "email": format!("{name}@example.test"),
            "emailVerified": true,
            "firstName": "Some",
            "lastName": "Body",
            "credentials": [{ "type": "password", "value": name, "temporary": false }],
        });
        let request = self.http.post(self.url("users")).json(&user);
        let answer = self.authorized(request).await.send().await.expect("an answer");
        assert_eq!(answer.status(), StatusCode::CREATED);
        let location = answer.headers()["location"].to_str().expect("ASCII");
        location.rsplit('/').next().expect("an id").to_owned()
    }

    /// Makes a client like `web`, with `url` for the logout tokens of sessions, or of users alone;
    /// gives its id. Its access tokens live for ten minutes, so that no refresh plays a part in
    /// what a test sees.
    pub async fn create_back_channel_client(&self, url: &str, by_session: bool) -> String {
        let id = format!("back-channel-{}", Uuid::new_v4().simple());
        self.create_client(&json!({
            "clientId": id,
            "enabled": true,
            "secret": CLIENT_SECRET,
            "clientAuthenticatorType": "client-secret",
            "standardFlowEnabled": true,
            "redirectUris": ["*"],
            "attributes": {
                "access.token.lifespan": "600",
                "backchannel.logout.url": url,
                "backchannel.logout.session.required": by_session.to_string(),
            },
        }))
        .await;
        id
    }

    /// Makes a client of its representation.
    pub async fn create_client(&self, client: &Value) {
        let request = self.http.post(self.url("clients")).json(client);
        let answer = self.authorized(request).await.send().await.expect("an answer");
        assert_eq!(answer.status(), StatusCode::CREATED);
    }

    /// Ends one browser session.
    pub async fn end_session(&self, sid: &str) {
        self.delete(&format!("sessions/{sid}")).await;
    }

    /// Ends all sessions of a user.
    pub async fn log_user_out(&self, subject: &str) {
        let request = self.http.post(self.url(&format!("users/{subject}/logout")));
        let answer = self.authorized(request).await.send().await.expect("an answer");
        assert_eq!(answer.status(), StatusCode::NO_CONTENT);
    }

    async fn delete(&self, path: &str) {
        let request = self.http.delete(self.url(path));
        let answer = self.authorized(request).await.send().await.expect("an answer");
        assert_eq!(answer.status(), StatusCode::NO_CONTENT);
    }

    pub async fn disable(&self, subject: &str) {
        let request =
            self.http.put(self.url(&format!("users/{subject}"))).json(&json!({ "enabled": false }));
        let answer = self.authorized(request).await.send().await.expect("an answer");
        assert_eq!(answer.status(), StatusCode::NO_CONTENT);
    }

    /// From now on the client has this secret.
    pub async fn set_secret(&self, client_id: &str, secret: &str) {
        self.change_client(client_id, |client| client["secret"] = json!(secret)).await;
    }

    /// From now on the client is what `change` makes of its representation.
    pub async fn change_client(&self, client_id: &str, change: impl FnOnce(&mut Value)) {
        let request = self.http.get(self.url("clients")).query(&[("clientId", client_id)]);
        let clients: Value = self
            .authorized(request)
            .await
            .send()
            .await
            .expect("an answer")
            .json()
            .await
            .expect("JSON");
        let mut client = clients[0].clone();
        change(&mut client);
        let id = client["id"].as_str().expect("a client with an id").to_owned();
        let request = self.http.put(self.url(&format!("clients/{id}"))).json(&client);
        let answer = self.authorized(request).await.send().await.expect("an answer");
        assert_eq!(answer.status(), StatusCode::NO_CONTENT);
    }

    /// Events of a kind such as `REFRESH_TOKEN`. A refused refresh names no user, but whose token
    /// it was.
    pub async fn count_events(&self, kind: &str, subject: &str) -> usize {
        let request = self.http.get(self.url("events")).query(&[("type", kind), ("max", "100000")]);
        let events: Vec<Value> = self
            .authorized(request)
            .await
            .send()
            .await
            .expect("an answer")
            .json()
            .await
            .expect("JSON");
        let is_ours = |event: &&Value| {
            event["userId"] == subject || event["details"]["refresh_token_sub"] == subject
        };
        events.iter().filter(is_ours).count()
    }

    /// Gives the realm a new signing key, which takes over from the one it had; that one is still
    /// shown.
    pub async fn rotate_keys(&self) {
        let realm = self.http.get(format!("{}/admin/realms/{}", self.server, self.realm));
        let realm: Value = self
            .authorized(realm)
            .await
            .send()
            .await
            .expect("an answer")
            .json()
            .await
            .expect("JSON");
        let keys = self.http.get(self.url("components")).query(&[("type", KEY_PROVIDER)]);
        let keys: Vec<Value> = self
            .authorized(keys)
            .await
            .send()
            .await
            .expect("an answer")
            .json()
            .await
            .expect("JSON");
        // The highest priority signs. Keycloak's own keys have 100.
        let priority = 1000 + keys.len();
        let key = json!({
            "name": format!("rsa-{priority}"),
            "providerId": "rsa-generated",
            "providerType": KEY_PROVIDER,
            "parentId": realm["id"],
            "config": {
                "priority": [priority.to_string()],
                "enabled": ["true"],
                "active": ["true"],
                "algorithm": ["RS256"],
                "keySize": ["2048"],
            },
        });
        let request = self.http.post(self.url("components")).json(&key);
        let answer = self.authorized(request).await.send().await.expect("an answer");
        assert_eq!(answer.status(), StatusCode::CREATED);
    }

    fn url(&self, path: &str) -> String {
        format!("{}/admin/realms/{}/{path}", self.server, self.realm)
    }

    /// With a token of its own: an administrator's token lives for a minute only.
    async fn authorized(&self, request: RequestBuilder) -> RequestBuilder {
        let form = [
            ("grant_type", "password"),
            ("client_id", "admin-cli"),
            ("username", "admin"),
            ("password", "admin"),
        ];
        let url = format!("{}/realms/master/protocol/openid-connect/token", self.server);
        let answer: Value = self
            .http
            .post(url)
            .form(&form)
            .send()
            .await
            .expect("an answer")
            .json()
            .await
            .expect("JSON");
        request.bearer_auth(answer["access_token"].as_str().expect("an administrator's token"))
    }
}
