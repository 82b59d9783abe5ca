//! One browser with one cookie, its requests to every process, and what has become of each of its
//! logins.

mod asks;
mod logins;
mod passing;
mod process;
mod promises;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use support::KEY;
use tokio::task::JoinHandle;
use tower_token_refresh::{
    testing::StrictIssuer,
    token_store::RecordKey,
    tower_sessions::{Expiry, Session, session::Id},
};

use self::process::Process;
use crate::{
    LIFE, Settings,
    stepped::{BASKET, Stage, pointer_of},
};

pub struct Browser {
    pub stage: Stage,
    pub issuer: StrictIssuer,
    processes: Vec<Process>,
    requests: Vec<Request>,
    /// Logout tokens that the provider has posted.
    told: Vec<Told>,
    shared: Shared,
    /// Processes that have ended. Nothing of them moves.
    ended: Vec<Process>,
}

/// Something that a process was told.
struct Told {
    process: usize,
    running: JoinHandle<()>,
}

/// What the tasks of the requests tell the test.
#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Known>>);

#[derive(Default)]
struct Known {
    cookie: Option<Id>,
    /// By the user, who has one login each.
    logins: BTreeMap<String, Login>,
    basket: u64,
}

#[derive(Default)]
struct Login {
    first_access_token: String,
    /// How the login ended, if it has.
    reported: Option<bool>,
    /// Something has begun to end it.
    excused: bool,
    /// In these lives it has ended.
    ended_in: Vec<usize>,
    /// A logout has begun in this life.
    log_out_begun: Option<usize>,
}

struct Request {
    process: usize,
    session: Session,
    running: Option<JoinHandle<()>>,
    /// What the application changed in it, if it did.
    touched: bool,
    /// What the store had in the basket when a token was first asked for, and how often the
    /// application had lost that.
    basket: Option<(u64, usize)>,
}

impl Shared {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, subject: &str, change: impl FnOnce(&mut Login)) {
        if let Some(login) = self.known().logins.get_mut(subject) {
            change(login);
        }
    }

    fn has_ended_in(&self, subject: &str, life: usize) -> bool {
        self.known().logins.get(subject).is_some_and(|login| login.ended_in.contains(&life))
    }

    /// Whether the login was reported and nobody has begun to end it.
    fn stands(&self, subject: &str) -> bool {
        let known = self.known();
        let login = known.logins.get(subject);
        login.is_some_and(|login| login.reported == Some(true) && !login.excused)
    }
}

impl Browser {
    pub fn new(settings: Settings) -> Self {
        let stage = Stage::new(settings);
        let issuer = StrictIssuer::builder()
            .clock(stage.clock.clock())
            .access_token_lifetime(LIFE)
            .refresh_token_lifetime(Duration::from_secs(24 * 3600))
            .opaque_access_tokens(true)
            .opaque_refresh_tokens(true)
            .without_id_tokens()
            .build();
        let processes = (0..settings.scene.processes())
            .map(|process| Process::start(&stage, &issuer, process))
            .collect();
        let (requests, told, shared) = (Vec::new(), Vec::new(), Shared::default());
        Self { stage, issuer, processes, requests, told, shared, ended: Vec::new() }
    }

    /// A request arrives at one of the processes, mostly with the browser's cookie.
    pub fn open(&mut self, pick: usize) {
        let process = pick % self.processes.len();
        let sessions = self.stage.sessions();
        let with_another = pick % 7 == 6 && !sessions.is_empty();
        let id = if with_another {
            Some(sessions[pick % sessions.len()])
        } else {
            self.shared.known().cookie
        };
        let session = self.session(process, id);
        let mut request = Request { process, session, running: None, touched: false, basket: None };
        let (session, shared) = (request.session.clone(), self.shared.clone());
        let way = self.processes[process].way.clone();
        let runtime = &self.processes[process].runtime;
        request.running = Some(runtime.spawn(async move {
            let Some(key) = pointer(&session).await else {
                return;
            };
            let Some(subject) = way.stage.owner(key) else {
                return;
            };
            // An ending that another process wrote is known once the store is asked again.
            let ending = way.stage.ending(key).filter(|ending| ending.by == way.life);
            let ended = ending.is_some_and(|ending| ending.with_session);
            if ended && shared.has_ended_in(&subject, way.life) {
                way.stage.note_broken("a session was shown after it had ended with its login");
            }
        }));
        self.requests.push(request);
    }

    fn session(&self, process: usize, id: Option<Id>) -> Session {
        let store = Arc::new(self.processes[process].refresher.session_store());
        let slides = self.stage.settings.on_inactivity;
        let expiry = slides.then(|| Expiry::OnInactivity(time::Duration::days(1)));
        Session::new(id, store, expiry)
    }

    fn start<F>(&mut self, pick: usize, work: impl FnOnce(&mut Request, &Process, Shared) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let idle: Vec<_> =
            (0..self.requests.len()).filter(|index| self.requests[*index].is_idle()).collect();
        if let Some(index) = idle.get(pick % idle.len().max(1)) {
            let request = &mut self.requests[*index];
            let process = &self.processes[request.process];
            let task = work(request, process, self.shared.clone());
            request.running = Some(process.runtime.spawn(task));
        }
    }

    /// A handler changes something of its own in the session: the response will save the whole record.
    pub fn modify(&mut self, pick: usize) {
        self.start(pick, |request, _, shared| {
            request.touched = true;
            let session = request.session.clone();
            let basket = {
                let mut known = shared.known();
                known.basket += 1;
                known.basket
            };
            async move {
                let _ = session.insert(BASKET, basket).await;
            }
        });
    }

    pub fn cycle(&mut self, pick: usize) {
        self.start(pick, |request, _, _| {
            request.touched = true;
            let session = request.session.clone();
            async move {
                let _ = session.cycle_id().await;
            }
        });
    }

    /// The application takes everything out of the session.
    pub fn clear(&mut self, pick: usize) {
        self.start(pick, |request, _, _| {
            request.touched = true;
            let session = request.session.clone();
            async move { session.clear().await }
        });
    }

    /// The application ends the session without a logout.
    pub fn flush(&mut self, pick: usize) {
        self.start(pick, |request, _, _| {
            request.touched = true;
            let session = request.session.clone();
            async move {
                let _ = session.flush().await;
            }
        });
    }

    /// The handler is done: what tower-sessions does with the response.
    pub fn finish(&mut self, pick: usize) {
        self.start(pick, |request, process, shared| {
            let (session, way) = (request.session.clone(), process.way.clone());
            let (touched, basket) = (request.touched, request.basket);
            async move {
                if session.is_empty().await {
                    shared.known().cookie = None;
                } else if session.is_modified() {
                    // One that ended with its login is empty.
                    let is_whole = pointer(&session).await.is_some();
                    let saved = session.get::<u64>(BASKET).await.ok().flatten().unwrap_or_default();
                    let is_old = basket.is_some_and(|(stored, losses)| {
                        saved < stored && way.stage.basket_losses() == losses
                    });
                    if is_whole && !touched && is_old {
                        way.stage.note_broken("a refresh saved an old snapshot of a session");
                    }
                    if session.save().await.is_ok() {
                        shared.known().cookie = session.id();
                    }
                }
            }
        });
    }

    /// The client goes away.
    pub fn drop_request(&mut self, pick: usize) {
        if self.requests.is_empty() {
            return;
        }
        let request = self.requests.remove(pick % self.requests.len());
        if let Some(running) = request.running {
            running.abort();
        }
    }

    /// Whether anything is under way in a process that does not stand still.
    pub fn is_busy(&self) -> bool {
        let moves = |process: usize| !self.stage.is_frozen(self.processes[process].way.life);
        self.requests.iter().any(|request| !request.is_idle() && moves(request.process))
            || self.told.iter().any(|told| !told.running.is_finished() && moves(told.process))
    }

    pub fn finish_everything(&mut self) {
        for index in 0..self.requests.len() {
            self.finish(index);
        }
    }

    pub fn processes(&self) -> usize {
        self.processes.len()
    }

    pub fn requests(&self) -> usize {
        self.requests.len()
    }
}

impl Request {
    fn is_idle(&self) -> bool {
        self.running.as_ref().is_none_or(JoinHandle::is_finished)
    }
}

/// The login that a session points to.
async fn pointer(session: &Session) -> Option<RecordKey> {
    pointer_of(&session.get_value(KEY).await.ok()??)
}
