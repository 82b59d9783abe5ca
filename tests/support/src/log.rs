//! What is traced, as text.
//!
//! One subscriber for the whole process writes each thread's lines into a log of that thread: a
//! subscriber of one thread would miss what another thread has met first.

use std::{
    cell::RefCell,
    io,
    sync::{Arc, Mutex, Once, PoisonError},
};

use tracing_subscriber::{filter::LevelFilter, fmt::format::FmtSpan};

thread_local! {
    static OF_THIS_THREAD: RefCell<Option<Log>> = const { RefCell::new(None) };
}

#[derive(Clone, Default)]
pub struct Log(Arc<Mutex<Vec<u8>>>);

struct ToThisThread;

/// Who logged in, or how a login ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditLine {
    pub event: String,
    pub user: Option<String>,
    pub issuer: String,
}

impl Log {
    /// Everything that this test's thread logs from now on, spans included.
    pub fn of_this_thread() -> Self {
        static ONCE: Once = Once::new();
        ONCE.call_once(|| {
            tracing_subscriber::fmt()
                .with_max_level(LevelFilter::TRACE)
                .with_span_events(FmtSpan::FULL)
                .with_ansi(false)
                .with_writer(|| ToThisThread)
                .init();
        });
        let log = Self::default();
        OF_THIS_THREAD.set(Some(log.clone()));
        log
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }

    /// The audit lines, in this order.
    pub fn audit(&self) -> Vec<AuditLine> {
        let text = self.text();
        let lines = text.lines().filter(|line| line.contains("tower_token_refresh::audit"));
        lines
            .map(|line| {
                let field = |name: &str| {
                    let (_, after) = line.split_once(&format!(" {name}=\""))?;
                    after.split('"').next().map(str::to_owned)
                };
                let always = |name| field(name).unwrap_or_else(|| panic!("no {name}: {line}"));
                AuditLine { event: always("event"), user: field("user"), issuer: always("issuer") }
            })
            .collect()
    }

    /// The events of the audit lines, in this order.
    pub fn audit_events(&self) -> Vec<String> {
        self.audit().into_iter().map(|line| line.event).collect()
    }

    /// The lines of this crate at `level` and above, such as "WARN".
    pub fn lines_at(&self, level: &str) -> Vec<String> {
        const LEVELS: [&str; 5] = ["ERROR", "WARN", "INFO", "DEBUG", "TRACE"];
        let most = LEVELS.iter().position(|known| *known == level).expect("a level");
        let is_meant = |line: &&str| LEVELS[..=most].iter().any(|level| line.contains(level));
        let text = self.text();
        let ours = text.lines().filter(|line| line.contains("tower_token_refresh"));
        ours.filter(is_meant).map(str::to_owned).collect()
    }
}

impl io::Write for ToThisThread {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        OF_THIS_THREAD.with_borrow(|log| {
            if let Some(log) = log {
                log.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
            }
        });
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
