//! Records that cannot be read: a typed error from each call, and they stay as they are.

use serde_json::{Value, json};
use tower_token_refresh::token_store::{RecordError, RecordKey, StoreError};

use crate::{
    homes::Home,
    on_every_home,
    records::{key, live, logout, presenting, text},
};

on_every_home! {
    async fn a_record_of_a_later_release_is_left_alone(home: &Home) {
        let mut later = text(1, 1);
        later["v"] = 2.into();
        later["state"] = "something new".into();
        let key = key();
        home.plant(key, later.to_string().into()).await;
        for error in every_call(home, key).await {
            let StoreError::Record(RecordError::NewerVersion { version: 2 }) = error else {
                panic!("{error:?}");
            };
        }
        assert_eq!(home.text(key).await, Some(later.to_string()));
    }

    async fn a_record_that_is_malformed_is_left_alone(home: &Home) {
        let mut without_tokens = text(1, 1);
        without_tokens.as_object_mut().unwrap().remove("tokens");
        for malformed in ["", "{", "[]", "{}", &without_tokens.to_string()] {
            let key = key();
            home.plant(key, malformed.into()).await;
            assert_malformed(home, key).await;
            assert_eq!(home.text(key).await.as_deref(), Some(malformed));
        }
    }

    async fn what_is_no_text_is_left_alone(home: &Home) {
        for value in [json!(5), json!(null), json!({ "v": 1 }), text(1, 1)] {
            let key = key();
            home.plant(key, value).await;
            assert_malformed(home, key).await;
        }
    }

    async fn a_session_in_the_place_of_a_record_is_left_alone(home: &Home) {
        let key = key();
        home.plant_session(key, "cart", Value::from("3 apples")).await;
        assert_malformed(home, key).await;
    }
}

async fn assert_malformed(home: &Home, key: RecordKey) {
    for error in every_call(home, key).await {
        let is_malformed = matches!(error, StoreError::Record(RecordError::Malformed { .. }));
        assert!(is_malformed, "{error:?}");
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains("at-1") && !shown.contains("apples"), "{shown}");
    }
}

/// What each call that reads the record says of it.
async fn every_call(home: &Home, key: RecordKey) -> [StoreError; 4] {
    use tower_token_refresh::token_store::TokenStore as _;
    let tokens = &home.tokens;
    [
        tokens.load(key).await.map(|_| ()).expect_err("unreadable"),
        tokens
            .swap(key, live(1, 1).version(), &presenting(1, 2))
            .await
            .map(|_| ())
            .expect_err("unreadable"),
        tokens.put_newer(key, &live(2, 2), &[]).await.map(|_| ()).expect_err("unreadable"),
        tokens.end(key, &logout(), None).await.map(|_| ()).expect_err("unreadable"),
    ]
}
