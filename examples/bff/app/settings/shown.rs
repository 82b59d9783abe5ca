//! The settings as they count, without what is secret in them.

use super::{Params, Sessions, Settings, masked_url, table::REFRESH};

const SECRET: &str = "(set)";
const NONE: &str = "(none)";

impl Settings {
    /// Name and value of each, those included that nobody has set.
    pub fn shown(&self) -> Vec<(&'static str, String)> {
        let secret = |is_set: bool| if is_set { SECRET } else { NONE }.to_owned();
        let (redis, database) = match &self.sessions {
            Sessions::Memory => (None, None),
            Sessions::Redis(url) => (Some(url), None),
            Sessions::Postgres(url) | Sessions::Sqlite(url) => (None, Some(url)),
        };
        let url = |url: Option<&String>| match url {
            None => NONE.to_owned(),
            Some(url) => masked_url(url).unwrap_or_else(|| SECRET.to_owned()),
        };
        let or_none = |text: &str| if text.is_empty() { NONE } else { text }.to_owned();
        let dir = self.static_dir.as_ref().map(|dir| dir.display().to_string());
        let (for_all, others): (Vec<_>, Vec<_>) =
            self.upstreams.iter().partition(|upstream| upstream.prefix == "/api");
        let all = for_all
            .into_iter()
            .map(|all| format!("{}://{}{}", all.scheme, all.authority, all.path));
        let others = others
            .into_iter()
            .map(|one| format!("{}={}://{}{}", one.prefix, one.scheme, one.authority, one.path));
        vec![
            ("ISSUER_URL", self.issuer.clone()),
            ("ALLOW_HTTP_ISSUER", u8::from(self.http_to.is_some()).to_string()),
            ("ACCEPT_ISSUERS", list(&self.accept_issuers)),
            ("CLIENT_ID", self.client_id.clone()),
            ("CLIENT_SECRET", secret(self.client_secret.is_some())),
            ("UPSTREAM_URL", list(&all.collect::<Vec<_>>())),
            ("UPSTREAMS", list(&others.collect::<Vec<_>>())),
            ("BASE_URL", self.base.origin()),
            ("LISTEN", self.listen.clone()),
            ("SCOPES", list(&self.scopes)),
            ("LOGIN_PARAMS", names(&self.login_params)),
            ("REFRESH_PARAMS", names(&self.refresh_params)),
            ("REDIS_URL", url(redis)),
            ("DATABASE_URL", url(database)),
            ("TOKEN_KEYS", secret(self.token_keys.is_some())),
            ("INDEX_KEY", secret(self.index_key.is_some())),
            ("STATIC_DIR", dir.unwrap_or_else(|| NONE.to_owned())),
            ("AUDIT_KEY", secret(self.audit_key.is_some())),
            ("METRICS_LISTEN", or_none(self.metrics_listen.as_deref().unwrap_or_default())),
            (REFRESH, or_none(&self.refresh_as_set)),
        ]
    }
}

fn list(words: &[String]) -> String {
    if words.is_empty() { NONE.to_owned() } else { words.join(" ") }
}

/// Nobody knows what lies in the values.
fn names(params: &Params) -> String {
    list(&params.iter().map(|(name, _)| format!("{name}=…")).collect::<Vec<_>>())
}
