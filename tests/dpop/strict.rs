//! What the strict provider refuses, as a real one does (RFC 9449, section 4.3).

use bytes::Bytes;
use http::{Method, Request, StatusCode, Uri, header};
use serde_json::Value;
use tower_token_refresh::{
    DpopKey,
    testing::{ManualClock, StrictIssuer},
};

struct Asked {
    status: StatusCode,
    error: String,
    nonce: Option<String>,
}

fn refresh(issuer: &StrictIssuer, refresh_token: &str, proofs: &[&str]) -> Asked {
    let form = format!("grant_type=refresh_token&client_id=web&refresh_token={refresh_token}");
    let mut request = Request::post(issuer.token_url())
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
    for proof in proofs {
        request = request.header("dpop", *proof);
    }
    let answer = issuer.handle(request.body(Bytes::from(form)).expect("a request"));
    let body: Value = serde_json::from_slice(answer.body()).expect("JSON");
    Asked {
        status: answer.status(),
        error: body["error"].as_str().unwrap_or_default().to_owned(),
        nonce: answer.headers().get("dpop-nonce").map(|it| it.to_str().expect("ASCII").to_owned()),
    }
}

fn text(proof: &tower_token_refresh::DpopProof) -> String {
    proof.header().to_str().expect("ASCII").to_owned()
}

#[test]
fn a_proof_is_good_for_one_request_to_this_endpoint_by_this_method_and_now() {
    let issuer = StrictIssuer::builder().public_client("web").build();
    let key = DpopKey::generate();
    let tokens = issuer.log_in_bound_to("alice", &key);
    let token = tokens["refresh_token"].as_str().expect("a token");
    let here: Uri = issuer.token_url().parse().expect("a URL");
    let elsewhere: Uri = issuer.revocation_url().parse().expect("a URL");
    let good = || text(&key.proof(&Method::POST, &here));
    let unsigned = format!("{}A", good().rsplit_once('.').map(|(head, _)| head).expect("a JWT"));
    let with_ath = text(&key.proof(&Method::POST, &here).access_token("any"));
    for (what, proofs) in [
        ("another method", vec![text(&key.proof(&Method::GET, &here))]),
        ("another endpoint", vec![text(&key.proof(&Method::POST, &elsewhere))]),
        ("two", vec![good(), good()]),
        ("no signature", vec![unsigned]),
        ("no JWT", vec!["proof".to_owned()]),
        ("an access token's hash", vec![with_ath]),
    ] {
        let proofs: Vec<_> = proofs.iter().map(String::as_str).collect();
        let asked = refresh(&issuer, token, &proofs);
        assert_eq!(asked.status, StatusCode::BAD_REQUEST, "{what}");
        assert_eq!(asked.error, "invalid_dpop_proof", "{what}");
    }
    let thief = text(&DpopKey::generate().proof(&Method::POST, &here));
    for proofs in [vec![], vec![thief.as_str()]] {
        assert_eq!(refresh(&issuer, token, &proofs).error, "invalid_grant", "not its key");
    }
    let proof = good();
    assert_eq!(refresh(&issuer, token, &[&proof]).status, StatusCode::OK, "nothing was used up");
    let next = issuer.log_in_bound_to("alice", &key);
    let next = next["refresh_token"].as_str().expect("a token");
    assert_eq!(refresh(&issuer, next, &[&proof]).error, "invalid_dpop_proof", "it comes twice");
}

#[test]
fn an_old_proof_is_refused_and_so_is_one_from_the_future() {
    for ahead in [true, false] {
        let clock = ManualClock::new();
        let issuer = StrictIssuer::builder().public_client("web").clock(clock.clock());
        let issuer = issuer.requires_dpop().build();
        let here: Uri = issuer.token_url().parse().expect("a URL");
        let key = DpopKey::generate();
        let tokens = issuer.log_in_bound_to("alice", &key);
        let token = tokens["refresh_token"].as_str().expect("a token");
        assert_eq!(refresh(&issuer, token, &[]).error, "invalid_dpop_proof", "it is required");
        if ahead {
            clock.advance(std::time::Duration::from_secs(60));
        } else {
            clock.jump_wall(-60);
        }
        let proof = text(&key.proof(&Method::POST, &here));
        assert_eq!(refresh(&issuer, token, &[&proof]).error, "invalid_dpop_proof");
    }
}

#[test]
fn a_nonce_is_told_and_then_wanted_and_the_token_is_not_used_up_by_it() {
    let issuer = StrictIssuer::builder().public_client("web").dpop_nonces().build();
    let here: Uri = issuer.token_url().parse().expect("a URL");
    let key = DpopKey::generate();
    let tokens = issuer.log_in_bound_to("alice", &key);
    let token = tokens["refresh_token"].as_str().expect("a token");
    let first = refresh(&issuer, token, &[&text(&key.proof(&Method::POST, &here))]);
    assert_eq!((first.status, &*first.error), (StatusCode::BAD_REQUEST, "use_dpop_nonce"));
    let nonce = first.nonce.expect("a nonce");
    issuer.new_dpop_nonce();
    let proof = |nonce: &str| text(&key.proof(&Method::POST, &here).nonce(nonce));
    let second = refresh(&issuer, token, &[&proof(&nonce)]);
    assert_eq!(second.error, "use_dpop_nonce", "it is an old one by now");
    let third = refresh(&issuer, token, &[&proof(&second.nonce.expect("a nonce"))]);
    assert_eq!(third.status, StatusCode::OK);
}
