//! Looks that may block, each by a thread of its own, and what they saw for a moment. However many ask, one look is
//! under way at a time; one that hangs (a stopped supervisor, a frozen disk) holds that thread and nothing else.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::control::client::Client;
use crate::control::protocol::{Engine, Op, Status, Supervisor};
use crate::engine::greeting::{Greeting, greet};

/// How old an answer may be.
const FRESH: Duration = Duration::from_millis(200);
/// The limit of one wait for the supervisor. Callers wait for less; this ends the thread.
const SUPERVISOR_WITHIN: Duration = Duration::from_secs(5);
/// The limit of a look at an engine.
const ENGINE_WITHIN: Duration = Duration::from_millis(1500);

/// What the supervisor says.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Answer {
    /// Its programs.
    pub(super) programs: Vec<Status>,
    /// Itself.
    pub(super) supervisor: Supervisor,
}

/// What the supervisor says, or why it says nothing, in words.
pub(super) type Seen = Result<Answer, String>;

/// Asks the supervisor.
pub(super) fn at_supervisor(socket: &Path) -> Seen {
    let ask = || {
        let mut client = Client::connect(socket, SUPERVISOR_WITHIN)?;
        let programs = client.ask(&Op::Status { program: None })?;
        let supervisor = client.ask(&Op::Supervisor {})?;
        Ok(Answer { programs, supervisor })
    };
    ask().map_err(|trouble: crate::control::client::Trouble| trouble.to_string())
}

/// Connects to an engine; why it takes no connection, in words.
pub(super) fn at_engine(engine: &Engine) -> Result<(), String> {
    let folders: Vec<PathBuf> = engine.socket_dir.iter().map(PathBuf::from).collect();
    match greet(Path::new(&engine.data_dir), &folders, engine.port, ENGINE_WITHIN)? {
        greeting if greeting.takes_connections() => Ok(()),
        Greeting::Refusal { message, .. } => Err(message),
        Greeting::Welcome => Ok(()),
    }
}

/// A look under way, or what it saw and when.
#[derive(Debug)]
struct Flight<T> {
    begun: Instant,
    seen: watch::Receiver<Option<(Instant, Arc<T>)>>,
}

impl<T> Clone for Flight<T> {
    fn clone(&self) -> Self {
        Flight { begun: self.begun, seen: self.seen.clone() }
    }
}

/// One thing that is looked at.
pub(super) struct Look<T> {
    look: Arc<dyn Fn() -> T + Send + Sync>,
    last: Mutex<Option<Flight<T>>>,
}

impl<T> std::fmt::Debug for Look<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Look").finish_non_exhaustive()
    }
}

impl<T: Send + Sync + 'static> Look<T> {
    /// Looks by this function, which may block.
    pub(super) fn new(look: impl Fn() -> T + Send + Sync + 'static) -> Self {
        Look { look: Arc::new(look), last: Mutex::new(None) }
    }

    /// What is seen; `None`: a look has been under way for `within` and nothing is seen. It goes on then, and no other
    /// one begins before its end: who asks meanwhile does not wait.
    pub(super) async fn see(&self, within: Duration, until: Instant) -> Option<Arc<T>> {
        let mut flight = self.flight();
        let until = until.min(flight.begun + within);
        let arrived = tokio::time::timeout_at(until.into(), flight.seen.wait_for(Option::is_some));
        let seen = arrived.await.ok()?.ok()?;
        seen.as_ref().map(|(_, seen)| Arc::clone(seen))
    }

    /// Begins a look unless one is under way or has just ended.
    pub(super) fn begin(&self) {
        self.flight();
    }

    fn flight(&self) -> Flight<T> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(flight) = last.as_ref() {
            let usable = match flight.seen.borrow().as_ref() {
                Some((at, _)) => at.elapsed() < FRESH,
                // Its thread may have died of a fault.
                None => flight.seen.has_changed().is_ok(),
            };
            if usable {
                return flight.clone();
            }
        }
        let (tell, seen) = watch::channel(None);
        let look = Arc::clone(&self.look);
        tokio::task::spawn_blocking(move || {
            let seen = look();
            // Whoever asked may have gone.
            let _ = tell.send(Some((Instant::now(), Arc::new(seen))));
        });
        let flight = Flight { begun: Instant::now(), seen };
        *last = Some(flight.clone());
        flight
    }
}
