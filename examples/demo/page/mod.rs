//! The page: press a button, and see what a number of requests do at the moment at which the token
//! has expired, with this crate and the naive way.
//!
//! | route | what it does |
//! |---|---|
//! | `GET /` | the page, with its style and its script in it |
//! | `POST /run` | begins a run of both ways; 409 while there is one |
//! | `GET /events` | what is measured in the run, again and again (server-sent events) |
//! | `GET /issuers` | what the providers of both ways counted in the last run, and until now |

mod board;
mod leaders;
mod run;
mod time;
mod way;

use std::{
    convert::Infallible,
    error::Error,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use aws_lc_rs::digest::{SHA256, digest};
use axum::{
    Json, Router,
    extract::State,
    http::{HeaderValue, StatusCode, header},
    middleware::map_response,
    response::{Html, IntoResponse, Response, Sse, sse::Event, sse::KeepAlive},
    routing::{get, post},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use futures_util::{Stream, stream};
use serde_json::{Value, json};
use tokio::{sync::watch, time::sleep};
use tower_token_refresh::{SameOriginLayer, serve::Server};

use self::{
    board::{Ask, Board},
    leaders::Leaders,
    run::Run,
    way::Way,
};

/// Stages of refreshes are drawn as on the page for operators.
const SCRIPT: &str = concat!(
    include_str!("../../../src/operate/inspect/timeline.js"),
    include_str!("draw.js"),
    include_str!("page.js")
);
const STYLE: &str =
    concat!(include_str!("../../../src/operate/inspect/style.css"), include_str!("style.css"));
const PAGE: &str = include_str!("page.html");

/// How often the page hears of a run.
const BETWEEN_EVENTS: Duration = Duration::from_millis(80);
const MOST_REQUESTS: usize = 1_000;

#[derive(Clone)]
struct Demo {
    leaders: Leaders,
    board: Arc<Mutex<Board>>,
    run: Arc<Mutex<Option<Arc<Run>>>>,
    changes: Arc<watch::Sender<()>>,
}

/// Serves until it is interrupted.
pub async fn serve() -> Result<(), Box<dyn Error>> {
    // Without waiting for those who listen to events: they would go on for ever.
    let server = Server::bind("127.0.0.1:0").await?.drain(Duration::ZERO);
    let origin = format!("http://{}", server.local_addr()?);
    let demo = Demo {
        leaders: Leaders::watch(),
        board: Arc::default(),
        run: Arc::default(),
        changes: Arc::new(watch::Sender::new(())),
    };
    let app = Router::new()
        .route("/", get(page))
        .route("/run", post(begin))
        .route("/events", get(events))
        .route("/issuers", get(issuers))
        .with_state(demo)
        .layer(SameOriginLayer::new(&*origin)?)
        .layer(map_response(guarded));
    println!("\nSee it happen: open {origin} (ctrl-c ends this)");
    let interrupted = async {
        // If nobody can interrupt it, it is killed.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    server.serve(app, interrupted).await;
    Ok(())
}

async fn guarded(mut response: Response) -> Response {
    let headers = [
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    for (name, value) in headers {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

async fn page() -> impl IntoResponse {
    let hash = |text: &str| BASE64_STANDARD.encode(digest(&SHA256, text.as_bytes()));
    let policy = format!(
        "default-src 'none'; script-src 'sha256-{}'; style-src 'sha256-{}'; connect-src 'self'; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        hash(SCRIPT),
        hash(STYLE)
    );
    let page = PAGE.replace("{style}", STYLE).replace("{script}", SCRIPT);
    ([(header::CONTENT_SECURITY_POLICY, policy)], Html(page))
}

async fn begin(State(demo): State<Demo>, Json(ask): Json<Ask>) -> Response {
    if !(1..=MOST_REQUESTS).contains(&ask.requests) {
        return (StatusCode::BAD_REQUEST, "1 to 1000 requests\n").into_response();
    }
    let number = {
        let mut board = demo.board();
        if board.running {
            return (StatusCode::CONFLICT, "a run is under way\n").into_response();
        }
        let provider_ms = run::provider_takes(&ask).as_secs_f64() * 1000.0;
        let run = board.run + 1;
        *board = Board { run, running: true, asked: Some(ask), provider_ms, ..Board::default() };
        run
    };
    tokio::spawn(async move {
        if let Err(panicked) = tokio::spawn(demo.clone().run(ask)).await {
            let mut board = demo.board();
            (board.running, board.error) = (false, Some(panicked.to_string()));
            demo.changes.send_replace(());
        }
    });
    (StatusCode::ACCEPTED, Json(json!({ "run": number }))).into_response()
}

async fn events(State(demo): State<Demo>) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let changes = demo.changes.subscribe();
    let events = stream::unfold((demo, changes, true), |(demo, mut changes, first)| async move {
        if !first {
            // An error would say that the demo is gone, which this holds.
            changes.changed().await.ok()?;
            sleep(BETWEEN_EVENTS).await;
        }
        changes.mark_unchanged();
        let event = Event::default().json_data(demo.see()).ok()?;
        Some((Ok(event), (demo, changes, false)))
    });
    Sse::new(events).keep_alive(KeepAlive::default())
}

async fn issuers(State(demo): State<Demo>) -> Json<Value> {
    let run = demo.run.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let counts = |way: &Way| json!({ "run": way.recorder.side().provider, "now": way.counts() });
    Json(match run {
        Some(run) => json!({ "ours": counts(&run.ours), "naive": counts(&run.naive) }),
        None => Value::Null,
    })
}

impl Demo {
    fn board(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The board with what the run under way has come to.
    fn see(&self) -> Board {
        let board = self.board().clone();
        let run = self.run.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(run) = run.filter(|_| board.running) else { return board };
        let mut board = board;
        // The naive way has not begun before ours is over.
        let ours = run::see(&run.ours, &self.leaders);
        board.naive = (ours.logged_in.is_some()).then(|| run::see(&run.naive, &self.leaders));
        board.ours = Some(ours);
        board
    }

    async fn run(self, ask: Ask) {
        let running = async {
            let run = Arc::new(Run::new(ask)?);
            *self.run.lock().unwrap_or_else(PoisonError::into_inner) = Some(run.clone());
            run::storm(&run.ours, ask, &self.leaders).await?;
            run::storm(&run.naive, ask, &self.leaders).await
        };
        let ticking = async {
            loop {
                self.changes.send_replace(());
                sleep(BETWEEN_EVENTS).await;
            }
        };
        let ended = tokio::select! {
            ended = running => ended,
            () = ticking => return,
        };
        let mut board = self.see();
        board.running = false;
        board.error = ended.err().map(|error| error.to_string());
        *self.board() = board;
        self.changes.send_replace(());
    }
}
