//! One browser with one cookie, its requests, and what has become of each of its logins.

mod logins;
mod promises;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde_json::Value;
use tokio::task::JoinHandle;
use tower_token_refresh::{
    ClientAuth, RefreshErrorKind, TokenEndpoint, TokenRefresher,
    testing::{ManualClock, StrictIssuer},
    tower_sessions::{MemoryStore, Session, session::Id},
};

use crate::stepped::{Entry, KEY, Stage};

pub const LIFE: Duration = Duration::from_secs(20);

pub struct Browser {
    pub stage: Stage,
    pub issuer: StrictIssuer,
    clock: ManualClock,
    /// The provider's clock does not jump.
    providers_clock: ManualClock,
    jumped: bool,
    refresher: TokenRefresher,
    requests: Vec<Request>,
    /// Logout tokens that the provider has posted.
    told: Vec<JoinHandle<()>>,
    index: MemoryStore,
    shared: Shared,
}

/// What the tasks of the requests tell the test.
#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Known>>);

#[derive(Default)]
struct Known {
    cookie: Option<Id>,
    logins: BTreeMap<String, Login>,
    jumped: bool,
    /// Something happened after which a grant may be between two records, or gone with one.
    moved: bool,
}

#[derive(Default, Clone)]
struct Login {
    first_access_token: String,
    reported: bool,
    logged_out: bool,
    /// Ended or lost by something that tower-sessions alone would also have lost it by.
    excused: bool,
    /// Its tokens were taken out by something that is not ours: an old snapshot may then pass for the newest.
    wiped: bool,
}

fn start(stage: &Stage, issuer: &StrictIssuer, clock: &ManualClock, index: &MemoryStore) -> TokenRefresher {
    let endpoint = TokenEndpoint::new(issuer.token_url(), ClientAuth::basic("web", "secret"))
        .issuer(issuer.issuer_url())
        .jwks_url(issuer.jwks_url())
        .revocation_url(issuer.revocation_url())
        .transport(stage.transport(issuer));
    let builder = TokenRefresher::builder(endpoint, stage.clone())
        .back_channel_logout(index.clone(), [7; 32])
        .clock(clock.clock());
    builder.build().expect("the settings agree")
}

struct Request {
    session: Session,
    running: Option<JoinHandle<()>>,
    cycled: bool,
    saw: Arc<Mutex<Option<String>>>,
}

impl Shared {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn excuse(&self, subject: &str) {
        if let Some(login) = self.known().logins.get_mut(subject) {
            login.excused = true;
        }
    }
}

impl Browser {
    pub fn new() -> Self {
        let (stage, clock, providers_clock) = (Stage::default(), ManualClock::new(), ManualClock::new());
        let issuer = StrictIssuer::builder()
            .clock(providers_clock.clock())
            .access_token_lifetime(LIFE)
            .refresh_token_lifetime(Duration::from_secs(24 * 3600))
            .opaque_access_tokens(true)
            .opaque_refresh_tokens(true)
            .without_id_tokens()
            .build();
        let index = MemoryStore::default();
        let refresher = start(&stage, &issuer, &clock, &index);
        let (requests, told, shared) = (Vec::new(), Vec::new(), Shared::default());
        Self {
            stage,
            issuer,
            clock,
            providers_clock,
            jumped: false,
            refresher,
            requests,
            told,
            index,
            shared,
        }
    }

    pub fn pass(&self, time: Duration) {
        self.clock.advance(time);
        self.providers_clock.advance(time);
    }

    /// The wall clock of this process jumps. By it, tokens may be good that are not.
    pub fn jump(&mut self, seconds: i64) {
        self.jumped = true;
        self.shared.known().jumped = true;
        self.stage.note_jump();
        self.clock.jump_wall(seconds);
    }

    /// The process ends as it should, and another takes its place.
    pub async fn restart(&mut self) {
        while !self.requests.is_empty() {
            self.drop_request(0);
        }
        self.stage.let_everything_pass(true);
        // A store that refuses keeps nothing from ending.
        let ended = self.refresher.shutdown(Duration::from_secs(120)).await;
        assert_eq!(ended, Ok(()));
        self.stage.let_everything_pass(false);
        self.stage.forget_doubts();
        self.refresher = start(&self.stage, &self.issuer, &self.clock, &self.index);
    }

    /// A request arrives with the browser's cookie.
    pub fn open(&mut self) {
        let cookie = self.shared.known().cookie;
        let session = Session::new(cookie, Arc::new(self.refresher.session_store()), None);
        let mut request = Request { session, running: None, cycled: false, saw: Arc::default() };
        let (session, saw) = (request.session.clone(), request.saw.clone());
        request.running = Some(tokio::spawn(async move {
            *saw.lock().expect("not poisoned") = subject(&session).await;
        }));
        self.requests.push(request);
    }

    fn start<F>(&mut self, pick: usize, work: impl FnOnce(&mut Request, Shared, Stage) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let idle: Vec<_> = (0..self.requests.len()).filter(|index| self.requests[*index].is_idle()).collect();
        if let Some(index) = idle.get(pick % idle.len().max(1)) {
            let request = &mut self.requests[*index];
            let task = work(request, self.shared.clone(), self.stage.clone());
            request.running = Some(tokio::spawn(task));
        }
    }

    /// A handler asks for a token.
    pub fn ask(&mut self, pick: usize) {
        let (refresher, issuer) = (self.refresher.clone(), self.issuer.clone());
        self.start(pick, |request, shared, stage| {
            let session = request.session.clone();
            let out: Vec<_> = shared.logged_out();
            async move {
                match refresher.valid_token(&session).await {
                    Ok(token) => {
                        let subject = token.subject().expect("the test gave one").to_owned();
                        if out.contains(&subject) {
                            stage.note_broken("a token was given out after its log out".into());
                        }
                        let (ended, moved) = shared.ended_or_moved(&subject);
                        let ended = ended || stage.has_lost(&subject);
                        let jumped = shared.known().jumped;
                        if !ended && !jumped && !issuer.is_access_token_live(token.secret()) {
                            stage.note_broken(
                                "a token was given out that the provider does not accept".into(),
                            );
                        }
                        let unwritten = stage.refused_ever() || stage.was_slow();
                        if !ended && !moved && !unwritten && !stage.was_stored(token.secret()) {
                            stage.note_broken("a token was given out before the store had it".into());
                        }
                    }
                    Err(error) => match error.kind() {
                        RefreshErrorKind::Internal
                        | RefreshErrorKind::Misconfigured
                        | RefreshErrorKind::InvalidResponse => {
                            stage.note_broken(format!("an ask failed with {error:?}"));
                        }
                        _ => {}
                    },
                }
            }
        });
    }

    /// A handler changes something of its own in the session: the response will save the whole record.
    pub fn modify(&mut self, pick: usize) {
        self.start(pick, |request, _, _| {
            let session = request.session.clone();
            async move {
                let _ = session.insert("basket", rand_value()).await;
            }
        });
    }

    pub fn cycle(&mut self, pick: usize) {
        self.start(pick, |request, shared, _| {
            request.cycled = true;
            shared.known().moved = true;
            let session = request.session.clone();
            async move {
                let _ = session.cycle_id().await;
            }
        });
    }

    /// The handler is done: what tower-sessions does with the response.
    pub fn finish(&mut self, pick: usize) {
        self.start(pick, |request, shared, _| {
            let session = request.session.clone();
            async move {
                if session.is_empty().await {
                    shared.known().cookie = None;
                } else if session.is_modified() && session.save().await.is_ok() {
                    shared.known().cookie = session.id();
                }
            }
        });
    }

    /// The client goes away.
    pub fn drop_request(&mut self, pick: usize) {
        if self.requests.is_empty() {
            return;
        }
        let index = pick % self.requests.len();
        let request = self.requests.remove(index);
        if request.cycled
            && let Some(subject) = request.saw.lock().expect("not poisoned").as_deref()
        {
            // Between `cycle_id` and the response nobody but the dropped request holds the record.
            self.shared.excuse(subject);
        }
        if request.cycled {
            self.shared
                .known()
                .logins
                .values_mut()
                .filter(|login| !login.reported)
                .for_each(|login| login.excused = true);
        }
        if let Some(running) = request.running {
            running.abort();
        }
    }

    /// From here on a token that is given out must have been in the store, until something moves the session.
    pub fn begin(&self) {
        self.shared.known().moved = false;
    }

    pub fn is_busy(&self) -> bool {
        self.requests.iter().any(|request| !request.is_idle())
            || self.told.iter().any(|told| !told.is_finished())
    }

    pub fn finish_everything(&mut self) {
        for index in 0..self.requests.len() {
            self.finish(index);
        }
    }

    pub fn requests(&self) -> usize {
        self.requests.len()
    }
}

impl Shared {
    fn logged_out(&self) -> Vec<String> {
        let known = self.known();
        known
            .logins
            .iter()
            .filter(|(_, login)| login.logged_out)
            .map(|(subject, _)| subject.clone())
            .collect()
    }

    fn ended_or_moved(&self, subject: &str) -> (bool, bool) {
        let known = self.known();
        (known.logins.get(subject).is_none_or(|login| login.excused), known.moved)
    }
}

impl Request {
    fn is_idle(&self) -> bool {
        self.running.as_ref().is_none_or(JoinHandle::is_finished)
    }
}

/// Whose tokens a session shows.
async fn subject(session: &Session) -> Option<String> {
    let value = session.get_value(KEY).await.ok()??;
    match Entry::parse(value.as_str()?) {
        Entry::Live { subject, .. } => Some(subject),
        _ => None,
    }
}

/// Something else each time, so that the session counts as modified.
fn rand_value() -> Value {
    Value::from(Id::default().to_string())
}
