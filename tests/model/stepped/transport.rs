//! The way to the provider, and what goes wrong on it.

use std::time::{Duration, SystemTime};

use http::{Request, Response};
use serde_json::Value;
use tower_token_refresh::{Transport, testing::StrictIssuer};

use super::{Way, presentations::Outcome, record::Set};

/// How the next refresh fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// 503: the provider has done nothing.
    Overloaded,
    /// The connection breaks before the provider has seen the request.
    RequestLost,
    /// The connection breaks after the provider has done its part.
    AnswerLost,
}

type Answer = std::io::Result<Response<bytes::Bytes>>;

impl Way {
    /// The way to the provider, with a stop before it has seen the request and one after it has
    /// answered.
    pub fn transport(&self, issuer: &StrictIssuer) -> Transport {
        let (way, issuer) = (self.clone(), issuer.clone());
        Transport::new(tower::service_fn(move |request: Request<bytes::Bytes>| {
            let (way, issuer) = (way.clone(), issuer.clone());
            async move {
                if way.is_dead() {
                    std::future::pending::<()>().await;
                }
                let answer = match form_field(&request, "refresh_token") {
                    Some(refresh) => way.refresh(&issuer, request, &refresh).await,
                    None => way.send(&issuer, request).await,
                };
                answer.map(|answer| answer.map(http_body_util::Full::new))
            }
        }))
    }

    async fn refresh(
        &self,
        issuer: &StrictIssuer,
        request: Request<bytes::Bytes>,
        refresh: &str,
    ) -> Answer {
        let place = self.judge_presentation(refresh);
        let mut under_way = UnderWay { way: self, refresh, place, answered: false };
        let sent_at = self.clock.clock().now();
        self.park("request").await;
        let failure = self.stage.take_failure();
        let broken = || std::io::Error::from(std::io::ErrorKind::ConnectionReset);
        let answer = match failure {
            Some(Failure::Overloaded) => {
                let overloaded = Response::builder().status(503).body(bytes::Bytes::new());
                Ok(overloaded.expect("a response"))
            }
            Some(Failure::RequestLost) => Err(broken()),
            Some(Failure::AnswerLost) => {
                self.stage.note_reached(refresh, place);
                let _unseen = issuer.exchange(request).await;
                Err(broken())
            }
            None => {
                self.stage.note_reached(refresh, place);
                issuer.exchange(request).await
            }
        };
        self.park("answer").await;
        if let Ok(answer) = &answer {
            let outcome = match answer.status().as_u16() {
                503 => Outcome::NotConsumed,
                200 => Outcome::Answered,
                _ => Outcome::Refused,
            };
            under_way.answered = true;
            self.stage.note_outcome(refresh, place, outcome);
            self.see_answer(refresh, answer.body(), sent_at);
        }
        answer
    }

    /// Everything but a refresh.
    async fn send(&self, issuer: &StrictIssuer, request: Request<bytes::Bytes>) -> Answer {
        let token = form_field(&request, "token");
        let mut revoking = Revoking { way: self, token: token.clone(), seen: false };
        self.park("request").await;
        let answer = issuer.exchange(request).await;
        revoking.seen = true;
        self.stage.state().revoked.extend(token);
        self.park("answer").await;
        answer
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
        let mut state = self.stage.state();
        let Some(before) = state.sets.get(presented) else {
            return;
        };
        let (key, generation) = (before.key, before.generation + 1);
        let subject = before.set.subject.clone();
        let expires_at = sent_at + Duration::from_secs(life);
        let set = Set { subject, access, refresh, expires_at };
        state.see(key, generation, set, self.life, None);
    }
}

/// A request that is given up for its time, or got no answer.
struct UnderWay<'a> {
    way: &'a Way,
    refresh: &'a str,
    place: usize,
    answered: bool,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        if self.answered {
            return;
        }
        let stage = &self.way.stage;
        stage.note_outcome(self.refresh, self.place, Outcome::InDoubt);
        let mut state = stage.state();
        let presented = state.presented.get(self.refresh).and_then(|all| all.get(self.place));
        // Without replays nothing makes up for a request that got lost.
        let lost = presented.is_some_and(|it| it.reached_the_provider) || !stage.settings.replay;
        let owner = state.sets.get(self.refresh).map(|seen| seen.set.subject.clone());
        state.lost.extend(owner.filter(|_| lost));
    }
}

struct Revoking<'a> {
    way: &'a Way,
    token: Option<String>,
    seen: bool,
}

impl Drop for Revoking<'_> {
    fn drop(&mut self) {
        let state = &mut *self.way.stage.state();
        if let Some(token) = self.token.as_ref().filter(|_| !self.seen) {
            let sets = state.sets.values();
            let mut sets = sets.filter(|it| it.set.refresh == *token || it.set.access == *token);
            state.revocation_lost.extend(sets.next().map(|seen| seen.set.subject.clone()));
        }
    }
}

fn form_field(request: &Request<bytes::Bytes>, name: &str) -> Option<String> {
    let mut fields = url::form_urlencoded::parse(request.body());
    fields.find(|(field, _)| field == name).map(|(_, value)| value.into_owned())
}
