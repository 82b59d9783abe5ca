//! JSON that no provider should send, with a secret in its strings.

use proptest::{collection::vec, prelude::*};
use serde_json::{Map, Value, json};

use super::SECRET;

/// Free text that always contains the secret.
fn text() -> impl Strategy<Value = String> {
    ("\\PC{0,20}", "\\PC{0,20}").prop_map(|(before, after)| format!("{before}{SECRET}{after}"))
}

/// JSON of any shape, with secrets in its strings and names.
pub(crate) fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        Just(json!(1e308)),
        Just(json!("")),
        Just(json!("Bearer")),
        Just(json!(SECRET)),
        text().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            vec((text(), inner), 0..4)
                .prop_map(|fields| Value::Object(fields.into_iter().collect::<Map<_, _>>())),
        ]
    })
}
