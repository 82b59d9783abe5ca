//! The way to the provider, and what goes wrong on it.

use tower_token_refresh::{Transport, testing::StrictIssuer};

use super::{Failure, Stage};

impl Stage {
    /// The way to the provider, with a stop before it has seen the request and one after it has answered.
    pub fn transport(&self, issuer: &StrictIssuer) -> Transport {
        let (stage, issuer) = (self.clone(), issuer.clone());
        Transport::new(tower::service_fn(move |request: http::Request<bytes::Bytes>| {
            let (stage, issuer) = (stage.clone(), issuer.clone());
            async move {
                let refresh = refresh_token(request.body());
                let mut under_way =
                    UnderWay { stage: stage.clone(), refresh, cut_off_as: Some(Failure::RequestLost) };
                stage.park("request").await;
                let refresh = under_way.refresh.clone();
                let failure = stage.state().next_failure.take().filter(|_| refresh.is_some());
                if let Some(refresh) = &refresh {
                    stage.judge_request(refresh, &issuer);
                }
                if let (Some(failure), Some(refresh)) = (failure, &refresh) {
                    stage.note_failure(failure, refresh);
                }
                let answer = match failure {
                    Some(Failure::Overloaded) => {
                        let overloaded = http::Response::builder().status(503).body(bytes::Bytes::new());
                        Ok(overloaded.expect("a response"))
                    }
                    Some(Failure::RequestLost) => Err(std::io::ErrorKind::ConnectionReset.into()),
                    Some(Failure::AnswerLost) => {
                        let _unseen = issuer.exchange(request).await;
                        Err(std::io::ErrorKind::ConnectionReset.into())
                    }
                    None => {
                        under_way.cut_off_as = Some(Failure::AnswerLost);
                        issuer.exchange(request).await
                    }
                };
                stage.park("answer").await;
                under_way.cut_off_as = None;
                answer.map(|answer| answer.map(http_body_util::Full::new))
            }
        }))
    }

    /// A refresh token without an answer is left alone while its access token is good: a provider that has used it up would punish
    /// it by ending that as well.
    fn judge_request(&self, refresh: &str, issuer: &StrictIssuer) {
        let state = self.state();
        let doubted = state.in_doubt.iter().any(|doubted| doubted == refresh);
        let access =
            state.stored.iter().find(|(_, _, stored)| stored == refresh).map(|(_, access, _)| access);
        let harmful =
            doubted && !state.jumped && access.is_some_and(|access| issuer.is_access_token_live(access));
        drop(state);
        if harmful {
            self.note_broken("a token in doubt was presented again while its access token was good".into());
        }
    }

    fn note_failure(&self, failure: Failure, refresh: &str) {
        let mut state = self.state();
        let owner =
            state.stored.iter().find(|(_, _, stored)| stored == refresh).map(|(owner, _, _)| owner.clone());
        match failure {
            Failure::Overloaded => state.again.push(refresh.to_owned()),
            Failure::RequestLost | Failure::AnswerLost => state.in_doubt.push(refresh.to_owned()),
        }
        if failure == Failure::AnswerLost {
            state.lost.extend(owner);
        }
    }
}

/// A request that is given up for its time fails as one that got lost.
struct UnderWay {
    stage: Stage,
    refresh: Option<String>,
    cut_off_as: Option<Failure>,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        if let (Some(failure), Some(refresh)) = (self.cut_off_as, &self.refresh) {
            self.stage.note_failure(failure, refresh);
        }
    }
}

fn refresh_token(form: &[u8]) -> Option<String> {
    let mut fields = url::form_urlencoded::parse(form);
    fields.find(|(name, _)| name == "refresh_token").map(|(_, value)| value.into_owned())
}
