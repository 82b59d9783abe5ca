use super::*;

fn apply(auth: &ClientAuth) -> (Option<HeaderValue>, String) {
    let mut form = Serializer::new(String::new());
    let header = auth.apply(&mut form);
    (header, form.finish())
}

#[test]
fn basic_form_encodes_before_base64() {
    let (header, form) = apply(&ClientAuth::basic("my app:1", "p@ss +%\u{e4}"));
    let header = header.unwrap();
    assert!(header.is_sensitive() && form.is_empty());
    let encoded = header.to_str().unwrap().strip_prefix("Basic ").unwrap();
    let pair = String::from_utf8(STANDARD.decode(encoded).unwrap()).unwrap();
    assert_eq!(pair, "my+app%3A1:p%40ss+%2B%25%C3%A4");
}

#[test]
fn post_and_none_go_into_the_body() {
    let (header, form) = apply(&ClientAuth::post("app", String::from("s&c=t")));
    assert!(header.is_none());
    assert_eq!(form, "client_id=app&client_secret=s%26c%3Dt");

    let (header, form) = apply(&ClientAuth::none("app"));
    assert!(header.is_none());
    assert_eq!(form, "client_id=app");
}

#[test]
fn empty_credentials_are_a_config_error() {
    assert!(ClientAuth::none("").check().is_err());
    assert!(ClientAuth::basic("app", "").check().is_err());
    assert!(ClientAuth::post("app", "").check().is_err());
    assert!(ClientAuth::basic("app", "s").check().is_ok());
}

#[test]
fn debug_shows_no_secret() {
    for auth in [ClientAuth::basic("app", "hunter2"), ClientAuth::post("app", "hunter2")] {
        assert!(!format!("{auth:?}").contains("hunter2"));
        assert!(!format!("{:?}", apply(&auth).0).contains("hunter2"));
    }
}

#[test]
fn strings_of_every_kind_are_accepted() {
    let (id, secret) = (String::from("app"), String::from("s"));
    ClientAuth::none(&id);
    ClientAuth::basic(&id, &secret);
    ClientAuth::post(&id, &secret);
    ClientAuth::basic("app", secret.clone());
    ClientAuth::basic(id, secret);
}

#[test]
fn a_client_that_the_provider_does_not_accept_is_named_with_the_setting_to_change() {
    let rejected = |auth: ClientAuth, code| {
        auth.explain(EndpointError::new(EndpointErrorKind::Rejected { code })).to_string()
    };
    assert_eq!(
        rejected(ClientAuth::basic("app", "hunter2"), "invalid_client"),
        "the provider rejected the request: invalid_client; it does not accept the client \"app\": \
         check id and secret in `ClientAuth::basic`"
    );
    assert_eq!(
        rejected(ClientAuth::post("app", "hunter2"), "unauthorized_client"),
        "the provider rejected the request: unauthorized_client; it does not accept the client \
         \"app\": check id and secret in `ClientAuth::post`, and whether the client may use the \
         refresh_token grant"
    );
    assert!(rejected(ClientAuth::none("app"), "invalid_client").contains("needs a secret"));
    assert_eq!(
        rejected(ClientAuth::basic("app", "hunter2"), "invalid_scope"),
        "the provider rejected the request: invalid_scope"
    );
}
