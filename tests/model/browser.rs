//! One browser with one cookie, its requests, and what has become of each of its logins.

mod asks;
mod logins;
mod process;
mod promises;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde_json::Value;
use tokio::task::JoinHandle;
use tower_token_refresh::{
    TokenRefresher,
    testing::{ManualClock, StrictIssuer},
    tower_sessions::{MemoryStore, Session, session::Id},
};

use crate::stepped::{Entry, KEY, Set, Stage, USER};

pub const LIFE: Duration = Duration::from_secs(20);
/// How long an expired token is served, where it is.
const SERVED_FOR: Duration = LIFE;

/// What differs from case to case.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    pub serve_expired: bool,
    pub replay: bool,
}

pub struct Browser {
    pub stage: Stage,
    pub issuer: StrictIssuer,
    settings: Settings,
    /// The provider's clock does not jump.
    providers_clock: ManualClock,
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
    /// It ended together with its session.
    deleted: bool,
    /// What else is in its session may have been carried into another.
    kept: bool,
    /// Ended or lost by something that tower-sessions alone would also have lost it by.
    excused: bool,
    /// Its tokens were taken out by something that is not ours: an old snapshot may then pass for the newest.
    wiped: bool,
    /// A record that it has left, or in which it has ended, still holds its tokens: the process that would have gone on trying to take
    /// them out has ended.
    unburied: bool,
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

    /// Whether it stood until now.
    fn excuse(&self, subject: &str) -> bool {
        let mut known = self.known();
        known
            .logins
            .get_mut(subject)
            .is_some_and(|login| !std::mem::replace(&mut login.excused, true))
    }
}

impl Browser {
    pub fn new(settings: Settings) -> Self {
        let (stage, providers_clock) = (Stage::new(settings.replay), ManualClock::new());
        let issuer = StrictIssuer::builder()
            .clock(providers_clock.clock())
            .access_token_lifetime(LIFE)
            .refresh_token_lifetime(Duration::from_secs(24 * 3600))
            .opaque_access_tokens(true)
            .opaque_refresh_tokens(true)
            .without_id_tokens()
            .build();
        let index = MemoryStore::default();
        let refresher = process::start(&stage, &issuer, &index, settings);
        let (requests, told, shared) = (Vec::new(), Vec::new(), Shared::default());
        Self { stage, issuer, settings, providers_clock, refresher, requests, told, index, shared }
    }

    pub fn pass(&self, time: Duration) {
        self.stage.clock.advance(time);
        self.providers_clock.advance(time);
    }

    /// The wall clock of this process jumps. By it, tokens may be good that are not.
    pub fn jump(&mut self, seconds: i64) {
        self.shared.known().jumped = true;
        if seconds < 0 {
            self.stage.note_jump_back();
        }
        self.stage.clock.jump_wall(seconds);
    }

    /// A request arrives with the browser's cookie.
    pub fn open(&mut self) {
        let session = Session::new(self.cookie(), Arc::new(self.refresher.session_store()), None);
        let mut request = Request { session, running: None, cycled: false, saw: Arc::default() };
        let (session, saw, shared) =
            (request.session.clone(), request.saw.clone(), self.shared.clone());
        request.running = Some(tokio::spawn(async move {
            let subject = subject(&session).await;
            if subject.is_none() {
                // A copy that the login has left: nothing tells whose it is, and this request may carry it on after the end.
                let user = session.get::<String>(USER).await.ok().flatten();
                user.filter(|user| shared.stands(user))
                    .into_iter()
                    .for_each(|user| shared.keep(&user));
            }
            *saw.lock().expect("not poisoned") = subject;
        }));
        self.requests.push(request);
    }

    fn start<F>(&mut self, pick: usize, work: impl FnOnce(&mut Request, Shared, Stage) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let idle: Vec<_> =
            (0..self.requests.len()).filter(|index| self.requests[*index].is_idle()).collect();
        if let Some(index) = idle.get(pick % idle.len().max(1)) {
            let request = &mut self.requests[*index];
            let task = work(request, self.shared.clone(), self.stage.clone());
            request.running = Some(tokio::spawn(task));
        }
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

    fn cookie(&self) -> Option<Id> {
        self.shared.known().cookie
    }

    pub fn requests(&self) -> usize {
        self.requests.len()
    }
}

impl Shared {
    fn keep(&self, subject: &str) {
        if let Some(login) = self.known().logins.get_mut(subject) {
            login.kept = true;
        }
    }

    /// Whether nobody has begun to end it.
    fn stands(&self, subject: &str) -> bool {
        self.known().logins.get(subject).is_some_and(|login| !login.excused)
    }

    fn is_logged_out(&self, subject: &str) -> bool {
        self.known().logins.get(subject).is_some_and(|login| login.logged_out && !login.unburied)
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
    shown(session).await.map(|set| set.subject)
}

async fn shown(session: &Session) -> Option<Set> {
    let value = session.get_value(KEY).await.ok()??;
    Entry::parse(value.as_str()?).into_set()
}

/// Something else each time, so that the session counts as modified.
fn rand_value() -> Value {
    Value::from(Id::default().to_string())
}
