//! [`File`]: a file that somebody else changes, such as Kubernetes, which swaps a symbolic link.
//!
//! It is read whole each time: it is small, and neither a time stamp nor a watch would see every
//! swap. It is parsed only if its content is new.

use std::{
    fmt, fs,
    io::{self, Read as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use secrecy::zeroize::Zeroizing;
use tokio::time::{sleep, timeout_at};

use super::SourceError;

const MAX_BYTES: u64 = 64 * 1024;
/// How long a request waits for the file.
const PATIENCE: Duration = Duration::from_secs(1);

type Parse<T> = dyn Fn(&[u8]) -> Result<T, String> + Send + Sync;

pub(super) struct File<T> {
    path: PathBuf,
    parse: Box<Parse<T>>,
    last: Mutex<Last<T>>,
    /// Whoever reads it has this.
    reading: Arc<tokio::sync::Mutex<()>>,
}

struct Last<T> {
    good: Option<Good<T>>,
    /// Whether the last attempt to read it failed, so that the log has one line for a long outage.
    failing: bool,
}

pub(super) struct Read<T> {
    value: Result<Arc<T>, SourceError>,
    news: Option<News>,
}

/// What the log has not heard yet.
enum News {
    Failed(FileError),
    Back,
}

struct Good<T> {
    text: Zeroizing<Vec<u8>>,
    value: Arc<T>,
}

/// Why the content of a file cannot be used. It shows nothing of the content.
#[derive(Debug, Clone)]
pub(crate) enum FileError {
    Io(io::ErrorKind),
    TooLong,
    Content(String),
}

impl<T> File<T> {
    pub(super) fn new(
        path: PathBuf,
        parse: impl Fn(&[u8]) -> Result<T, String> + Send + Sync + 'static,
    ) -> Self {
        let last = Mutex::new(Last { good: None, failing: false });
        Self { path, parse: Box::new(parse), last, reading: Arc::default() }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// What is in the file now, else what was in it last. Blocks this thread, and logs nothing: it may
    /// be a thread that knows nothing of the request.
    pub(super) fn read(&self) -> Read<T> {
        let text = self.text();
        // Not while the file is read: somebody else's read may hang.
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let read = match (text, &last.good) {
            (Ok(text), Some(good)) if *good.text == *text => Ok(Arc::clone(&good.value)),
            (Ok(text), _) => (self.parse)(&text).map_err(FileError::Content).map(|value| {
                let value = Arc::new(value);
                last.good = Some(Good { text, value: Arc::clone(&value) });
                value
            }),
            (Err(rule), _) => Err(rule),
        };
        let was_failing = std::mem::replace(&mut last.failing, read.is_err());
        match (read, &last.good) {
            (Ok(value), _) => Read { value: Ok(value), news: was_failing.then_some(News::Back) },
            (Err(rule), Some(good)) => Read {
                value: Ok(Arc::clone(&good.value)),
                news: (!was_failing).then_some(News::Failed(rule)),
            },
            (Err(rule), None) => {
                let path = self.path.clone();
                Read { value: Err(SourceError::File { path, rule }), news: None }
            }
        }
    }

    /// What is in the file now, as far as that can be told soon. A file may lie on a network: one
    /// thread reads it at a time, and while that hangs what was in it last is used.
    pub(super) async fn latest(self: &Arc<Self>) -> Result<Arc<T>, SourceError>
    where
        T: Send + Sync + 'static,
    {
        let deadline = sleep(PATIENCE).deadline();
        let Ok(turn) = timeout_at(deadline, self.reading.clone().lock_owned()).await else {
            return self.last_good();
        };
        let reader = Arc::clone(self);
        let reading = tokio::task::spawn_blocking(move || {
            let read = reader.read();
            drop(turn);
            read
        });
        match timeout_at(deadline, reading).await {
            Ok(read) => self.told(read.map_err(|_| SourceError::Interrupted)?),
            Err(_elapsed) => self.last_good(),
        }
    }

    fn last_good(&self) -> Result<Arc<T>, SourceError> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let good = last.good.as_ref().map(|good| Arc::clone(&good.value));
        good.ok_or_else(|| {
            let (path, rule) = (self.path.clone(), FileError::Io(io::ErrorKind::TimedOut));
            SourceError::File { path, rule }
        })
    }

    /// What was read, after the news is in the log.
    pub(super) fn told(&self, read: Read<T>) -> Result<Arc<T>, SourceError> {
        match read.news {
            Some(News::Failed(rule)) => tracing::warn!(
                path = ?self.path,
                %rule,
                "the file of a secret or key cannot be used: its last good content is used on"
            ),
            Some(News::Back) => {
                tracing::info!(path = ?self.path, "the file of a secret or key can be used again");
            }
            None => {}
        }
        read.value
    }

    fn text(&self) -> Result<Zeroizing<Vec<u8>>, FileError> {
        let mut text = Zeroizing::new(Vec::new());
        let read = fs::File::open(&self.path)
            .and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut text));
        match read {
            Err(error) => Err(FileError::Io(error.kind())),
            Ok(_) if text.len() as u64 > MAX_BYTES => Err(FileError::TooLong),
            Ok(_) => Ok(text),
        }
    }
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(kind) => kind.fmt(f),
            Self::TooLong => f.write_str("it is longer than 64 KiB"),
            Self::Content(rule) => f.write_str(rule),
        }
    }
}
