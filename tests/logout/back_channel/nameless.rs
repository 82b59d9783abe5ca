//! Logins whose tokens do not say what the provider could end them by.

use serde_json::json;
use support::log::Log;

use super::world::Told;

fn lines_about_names(log: &Log) -> Vec<String> {
    log.lines_at("WARN").into_iter().filter(|line| line.contains("`sid`")).collect()
}

#[tokio::test]
async fn a_login_that_the_provider_cannot_end_is_made_and_said_once() {
    let told = Told::on_memory();
    let log = Log::of_this_thread();
    for _ in 0..2 {
        let nameless =
            json!({ "access_token": "opaque", "token_type": "Bearer", "expires_in": 60 });
        let id = told.log_in_with(nameless).await;
        assert_eq!(told.stored_tokens(id).await.generation(), Some(1));
    }
    let lines = lines_about_names(&log);
    assert_eq!(lines.len(), 1, "{lines:?}");
}

#[tokio::test]
async fn nothing_is_said_of_a_login_with_either_name() {
    let told = Told::on_memory();
    let log = Log::of_this_thread();
    for claims in [json!({ "sid": "one of theirs" }), json!({ "sub": "alice" })] {
        let id_token = told.issuer.sign_jwt(json!({}), &claims);
        let named = json!({
            "access_token": "opaque",
            "token_type": "Bearer",
            "expires_in": 60,
            "id_token": id_token,
        });
        let id = told.log_in_with(named).await;
        assert_eq!(told.stored_tokens(id).await.generation(), Some(1));
    }
    assert_eq!(lines_about_names(&log), [""; 0]);
}
