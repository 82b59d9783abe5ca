//! The way to the provider, and what goes wrong on it.

use std::time::{Duration, SystemTime};

use serde_json::Value;
use tower_token_refresh::{Transport, testing::StrictIssuer};

use super::{Failure, Set, Stage};

/// How long the provider takes to answer when nothing stops on its own.
const TAKES: Duration = Duration::from_secs(2);

impl Stage {
    /// The way to the provider, with a stop before it has seen the request and one after it has answered.
    pub fn transport(&self, issuer: &StrictIssuer) -> Transport {
        let (stage, issuer) = (self.clone(), issuer.clone());
        Transport::new(tower::service_fn(move |request: http::Request<bytes::Bytes>| {
            let (stage, issuer) = (stage.clone(), issuer.clone());
            async move {
                let refresh = refresh_token(request.body());
                let mut under_way = UnderWay {
                    stage: stage.clone(),
                    refresh,
                    cut_off_as: Some(Failure::RequestLost),
                };
                let refresh = under_way.refresh.clone();
                if let Some(refresh) = &refresh {
                    stage.judge_request(refresh);
                }
                let sent_at = stage.clock.clock().now();
                stage.park("request").await;
                let failure = stage.state().next_failure.take().filter(|_| refresh.is_some());
                if let (Some(failure), Some(refresh)) = (failure, &refresh) {
                    stage.note_failure(failure, refresh);
                }
                let answer = match failure {
                    Some(Failure::Overloaded) => {
                        let overloaded =
                            http::Response::builder().status(503).body(bytes::Bytes::new());
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
                if let (Some(refresh), Ok(answer)) = (&refresh, &answer)
                    && answer.status() == 400
                    && issuer.presented(refresh) == 1
                {
                    // It was dead before: there is nothing to lose by it.
                    stage.state().again.push(refresh.clone());
                }
                stage.park("answer").await;
                if stage.state().passing {
                    tokio::time::sleep(TAKES).await;
                }
                under_way.cut_off_as = None;
                if let (Some(refresh), Ok(answer)) = (&refresh, &answer) {
                    stage.see_answer(refresh, answer.body(), sent_at);
                }
                answer.map(|answer| answer.map(http_body_util::Full::new))
            }
        }))
    }

    /// A refresh token without an answer is left alone while its access token is good by the application's clock: a provider that has
    /// used it up would punish it by ending that as well.
    fn judge_request(&self, refresh: &str) {
        let state = self.state();
        let doubted = state.in_doubt.iter().any(|doubted| doubted == refresh);
        let now = self.clock.clock().now();
        // A request that has been begun may be sent again although the clock has been set back since.
        let good = state.seen.get(refresh).is_some_and(|seen| now < seen.set.expires_at)
            && !state.jumped_back;
        let (replays, shut_down) = (state.replays, state.shut_down);
        drop(state);
        if doubted && good {
            self.note_broken(
                "a token in doubt was presented again while its access token was good".into(),
            );
        }
        if doubted && !replays {
            self.note_broken("a token in doubt was presented again".into());
        }
        if shut_down {
            self.note_broken("a refresh was begun after the shutdown".into());
        }
    }

    /// The application has got an answer to `presented`.
    fn see_answer(&self, presented: &str, answer: &[u8], sent_at: SystemTime) {
        let answer: Value = serde_json::from_slice(answer).unwrap_or_default();
        let text = |name: &str| answer[name].as_str().map(str::to_owned);
        let (Some(access), Some(refresh), Some(life)) =
            (text("access_token"), text("refresh_token"), answer["expires_in"].as_u64())
        else {
            return;
        };
        let owner = self.state().seen.get(presented).map(|seen| seen.set.subject.clone());
        if let Some(subject) = owner {
            let expires_at = sent_at + Duration::from_secs(life);
            self.see(Set { subject, access, refresh, expires_at }, false);
        }
    }

    fn note_failure(&self, failure: Failure, refresh: &str) {
        let mut state = self.state();
        let owner = state.seen.get(refresh).map(|seen| seen.set.subject.clone());
        match failure {
            Failure::Overloaded => state.again.push(refresh.to_owned()),
            Failure::RequestLost | Failure::AnswerLost => state.in_doubt.push(refresh.to_owned()),
        }
        // Without replays nothing makes up for a request that got lost.
        if failure == Failure::AnswerLost || (failure == Failure::RequestLost && !state.replays) {
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
        match (self.cut_off_as, &self.refresh) {
            (Some(failure), Some(refresh)) => self.stage.note_failure(failure, refresh),
            (Some(_), None) => self.stage.state().revocation_lost = true,
            (None, _) => {}
        }
    }
}

fn refresh_token(form: &[u8]) -> Option<String> {
    let mut fields = url::form_urlencoded::parse(form);
    fields.find(|(name, _)| name == "refresh_token").map(|(_, value)| value.into_owned())
}
