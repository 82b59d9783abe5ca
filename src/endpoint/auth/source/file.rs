//! [`File`]: a file that somebody else changes, such as Kubernetes, which swaps a symbolic link.
//!
//! It is read whole each time: it is small, and neither a time stamp nor a watch would see every
//! swap. It is parsed only if its content is new.

use std::{
    fmt, fs,
    io::{self, Read as _},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
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
    /// Why the last attempt to read it failed. One that takes too long counts as failed.
    failed: Option<FileError>,
    /// How many attempts have ended.
    ended: u64,
    /// The last word of the log is that it fails: one line for a long outage.
    is_told: bool,
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
        let last = Mutex::new(Last { good: None, failed: None, ended: 0, is_told: false });
        Self { path, parse: Box::new(parse), last, reading: Arc::default() }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// What is in the file now, else what was in it last. Blocks this thread.
    pub(super) fn read(&self) -> Result<Arc<T>, SourceError> {
        let read = self.read_untold();
        self.tell();
        read
    }

    /// Logs nothing: it may be on a thread that knows nothing of the request.
    fn read_untold(&self) -> Result<Arc<T>, SourceError> {
        let text = self.text();
        // Not while the file is read: somebody else's read may hang.
        let mut last = self.last();
        let read = match (text, &last.good) {
            (Ok(text), Some(good)) if *good.text == *text => Ok(Arc::clone(&good.value)),
            (Ok(text), _) => (self.parse)(&text).map_err(FileError::Content).map(|value| {
                let value = Arc::new(value);
                last.good = Some(Good { text, value: Arc::clone(&value) });
                value
            }),
            (Err(rule), _) => Err(rule),
        };
        last.failed = read.as_ref().err().cloned();
        last.ended += 1;
        read.or_else(|rule| self.last_good(&last, rule))
    }

    /// What is in the file now, as far as that can be told soon. A file may lie on a network: one
    /// thread reads it at a time, and while that hangs what was in it last is used.
    pub(super) async fn latest(self: &Arc<Self>) -> Result<Arc<T>, SourceError>
    where
        T: Send + Sync + 'static,
    {
        let ended = self.last().ended;
        let read = match self.read_soon().await {
            Some(read) => read,
            None => {
                let late = FileError::Io(io::ErrorKind::TimedOut);
                let mut last = self.last();
                // Where others have read it meanwhile, this was only not its turn.
                if last.ended == ended {
                    last.failed = Some(late.clone());
                }
                self.last_good(&last, late)
            }
        };
        self.tell();
        read
    }

    /// None if it takes too long.
    async fn read_soon(self: &Arc<Self>) -> Option<Result<Arc<T>, SourceError>>
    where
        T: Send + Sync + 'static,
    {
        let deadline = sleep(PATIENCE).deadline();
        let turn = timeout_at(deadline, self.reading.clone().lock_owned()).await.ok()?;
        let reader = Arc::clone(self);
        let reading = tokio::task::spawn_blocking(move || {
            let read = reader.read_untold();
            drop(turn);
            read
        });
        let read = timeout_at(deadline, reading).await.ok()?;
        Some(read.unwrap_or(Err(SourceError::Interrupted)))
    }

    fn last(&self) -> MutexGuard<'_, Last<T>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `rule`: why it cannot be read now.
    fn last_good(&self, last: &Last<T>, rule: FileError) -> Result<Arc<T>, SourceError> {
        let good = last.good.as_ref().map(|good| Arc::clone(&good.value));
        good.ok_or_else(|| SourceError::File { path: self.path.clone(), rule })
    }

    /// Tells the log what it has not heard yet, also what a read has found that nobody waited for.
    fn tell(&self) {
        let failed = {
            let mut last = self.last();
            // Without a good one to use on, the error is for the caller.
            let is_failing = last.failed.is_some() && last.good.is_some();
            if std::mem::replace(&mut last.is_told, is_failing) == is_failing {
                return;
            }
            last.failed.clone()
        };
        match failed {
            Some(rule) => tracing::warn!(
                path = ?self.path,
                %rule,
                "the file of a secret or key cannot be used: its last good content is used on"
            ),
            None => {
                tracing::info!(path = ?self.path, "the file of a secret or key can be used again");
            }
        }
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
