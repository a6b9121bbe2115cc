//! The one thread that looks at files on the data volume: lock files and pid files. A disk that hangs blocks it, and
//! not PID 1's loop.
//!
//! `notify` only hints; after each hint, and after each `lock_poll`, the files themselves are looked at.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use nix::libc;
use notify::event::{AccessKind, AccessMode, EventKind};
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc::UnboundedSender;

use super::eyes;
use crate::engine::pidfile::{self, PidFile, Status};
use crate::engine::recovery_conf::FILE;
use crate::supervisor::core::{Id, Lock, Run};
use crate::supervisor::prepare::protocol::FileStamp;

/// How soon a directory that cannot be watched is tried again, where no poll does it.
const WATCH_AGAIN: Duration = Duration::from_secs(1);
/// The first pause between looks at a pid file that is not ready yet; it doubles up to the last.
const PID_FILE_POLL: (Duration, Duration) = (Duration::from_millis(25), Duration::from_secs(1));

/// Files in the data directory that make an engine a standby, or a PolarDB node that only reads. The last one of engines
/// before 12 alone, where the end of a recovery renames it: beside a later one it is a word about its next start.
const STANDBY_FILES: [&str; 3] = ["replica.signal", "standby.signal", FILE];

/// What is watched for one program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) id: Id,
    pub(crate) lock_file: PathBuf,
    /// Zero: no poll.
    pub(crate) lock_poll: Duration,
    pub(crate) data_dir: PathBuf,
    /// The engine's user and group, whose eyes are used where our own see nothing.
    pub(crate) user: (u32, u32),
}

/// What the thread tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Seen {
    /// The lock file came or went.
    Lock(Id, Lock),
    /// Another pid file is there, which names this process; or none is there that names one.
    PidFile(Id, Option<i32>),
    /// The engine of this run says that it is ready.
    Ready(Id, Run),
    /// The engine of this run, which is ready, is a standby, or takes writes.
    Standby(Id, Run, bool),
    /// What people should know.
    Note(Id, String),
}

/// What the thread is told.
#[derive(Debug)]
enum Ask {
    Hint,
    Expect { id: Id, expected: Expected },
    Forget { id: Id },
    Targets(Vec<Target>),
}

/// The thread's handle.
#[derive(Debug, Clone)]
pub(crate) struct Watch(Sender<Ask>);

impl Watch {
    /// Starts the thread; its first word is the state of each lock file.
    ///
    /// # Errors
    /// The thread could not be made.
    pub(crate) fn start<T: From<Seen> + Send + 'static>(
        targets: Vec<Target>,
        tell: UnboundedSender<T>,
    ) -> std::io::Result<Self> {
        let (ask, asked) = channel();
        let hint = ask.clone();
        std::thread::Builder::new().name("watch".into()).stack_size(128 * 1024).spawn(move || {
            let mut looker = Looker::new(targets, hint, move |seen| tell.send(seen.into()).is_ok());
            while looker.turn(&asked) {}
        })?;
        Ok(Watch(ask))
    }

    /// Tell when the postmaster with this pid is ready; `stale` is the pid file that a dead one left, `old`: the engine
    /// reads `recovery.conf`.
    pub(crate) fn expect(&self, id: Id, run: Run, pid: i32, stale: Option<FileStamp>, old: bool) {
        let expected = Expected { run, pid, stale, old, pause: PID_FILE_POLL.0, look_at: Instant::now() };
        let _ = self.0.send(Ask::Expect { id, expected });
    }

    /// Nothing is expected of this program's pid file.
    pub(crate) fn forget(&self, id: Id) {
        let _ = self.0.send(Ask::Forget { id });
    }

    /// Watch these instead.
    pub(crate) fn targets(&self, targets: Vec<Target>) {
        let _ = self.0.send(Ask::Targets(targets));
    }
}

struct Looker<F> {
    watcher: Option<RecommendedWatcher>,
    hint: Sender<Ask>,
    hinted: Arc<AtomicBool>,
    /// The user whose eyes this thread has borrowed.
    eyes: Option<(u32, u32)>,
    targets: Vec<Watched>,
    tell: F,
}

struct Watched {
    target: Target,
    lock: Lock,
    folders: Vec<Folder>,
    /// Process and start time of the pid file that was told of last.
    pid_file: Option<(i32, i64)>,
    expected: Option<Expected>,
    /// The engine that is ready.
    served: Option<Served>,
    noted: Option<String>,
}

struct Folder {
    path: PathBuf,
    /// Device and inode of what is watched; a folder that was replaced must be watched anew.
    identity: Option<(u64, u64)>,
}

struct Served {
    run: Run,
    pid: i32,
    /// Whether it reads `recovery.conf`.
    old: bool,
    /// Whether it is a standby, as was told of last.
    standby: Option<bool>,
}

#[derive(Debug)]
struct Expected {
    run: Run,
    pid: i32,
    stale: Option<FileStamp>,
    old: bool,
    pause: Duration,
    look_at: Instant,
}

impl<F: Fn(Seen) -> bool> Looker<F> {
    fn new(targets: Vec<Target>, hint: Sender<Ask>, tell: F) -> Self {
        let hinted = Arc::new(AtomicBool::new(false));
        let mut looker = Looker { watcher: None, hint, hinted, eyes: None, targets: Vec::new(), tell };
        looker.set_targets(targets);
        looker.look();
        looker
    }

    /// Asks the kernel for notifications, at each look until it gives them.
    fn listen(&mut self) {
        if self.watcher.is_some() {
            return;
        }
        let (hint, hinted) = (self.hint.clone(), Arc::clone(&self.hinted));
        self.watcher = eyes::watcher(move |event: notify::Result<notify::Event>| {
            let looked_only = matches!(&event, Ok(event) if is_a_look(event.kind));
            // One hint is enough, however long we hang at a disk meanwhile.
            if !looked_only && !hinted.swap(true, Ordering::SeqCst) {
                let _ = hint.send(Ask::Hint);
            }
        });
    }

    /// Looks as the engine's user from here on where root itself is shut out: without CAP_DAC_OVERRIDE, and on a file
    /// system that makes root nobody (NFS).
    fn borrow_eyes(&mut self) {
        if self.eyes.is_some() {
            return;
        }
        let shut_out = |watched: &&Watched| {
            [&watched.target.lock_file, &watched.target.data_dir.join("postmaster.pid")].into_iter().any(
                |path| matches!(fs::symlink_metadata(path), Err(error) if error.kind() == ErrorKind::PermissionDenied),
            )
        };
        let Some(user) = self.targets.iter().find(shut_out).map(|watched| watched.target.user) else {
            return;
        };
        if eyes::borrow(user) {
            self.eyes = Some(user);
            // The thread of the notifications must have these eyes too: it gets them from us when it is made.
            self.watcher = None;
            self.targets
                .iter_mut()
                .flat_map(|watched| &mut watched.folders)
                .for_each(|folder| folder.identity = None);
        }
    }

    fn set_targets(&mut self, targets: Vec<Target>) {
        let mut old = std::mem::take(&mut self.targets);
        for target in targets {
            if let Some(place) = old.iter().position(|known| known.target == target) {
                self.targets.push(old.swap_remove(place));
                continue;
            }
            let lock_folder = target.lock_file.parent().unwrap_or(Path::new("/")).to_owned();
            let mut paths = vec![lock_folder];
            if !paths.contains(&target.data_dir) {
                paths.push(target.data_dir.clone());
            }
            let folders = paths.into_iter().map(|path| Folder { path, identity: None }).collect();
            // A program whose keys have changed is the same program: what is known and awaited of it stays so.
            let mut same = old.iter_mut().find(|known| known.target.id == target.id);
            let (same_lock, same_data) = same.as_ref().map_or((false, false), |known| {
                (known.target.lock_file == target.lock_file, known.target.data_dir == target.data_dir)
            });
            self.targets.push(Watched {
                lock: same.as_ref().filter(|_| same_lock).map_or(Lock::Unknown, |known| known.lock),
                pid_file: same.as_ref().filter(|_| same_data).and_then(|known| known.pid_file),
                expected: same.as_mut().and_then(|known| known.expected.take()),
                served: same.and_then(|known| known.served.take()),
                target,
                folders,
                noted: None,
            });
        }
        for folder in old.iter().flat_map(|gone| &gone.folders).filter(|folder| folder.identity.is_some()) {
            if let Some(watcher) = self.watcher.as_mut() {
                let _ = watcher.unwatch(&folder.path);
            }
        }
        // Two programs may share a folder: what was unwatched for one is watched again for the other.
        for folder in self.targets.iter_mut().flat_map(|watched| &mut watched.folders) {
            folder.identity = None;
        }
    }

    /// Waits for a hint or for the time to look; `false` when PID 1's loop has ended.
    fn turn(&mut self, asked: &Receiver<Ask>) -> bool {
        let first = match self.wait() {
            None => asked.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(pause) => asked.recv_timeout(pause),
        };
        match first {
            Ok(ask) => self.apply(ask),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return false,
        }
        // A burst of hints is one look.
        while let Ok(ask) = asked.try_recv() {
            self.apply(ask);
        }
        self.look()
    }

    fn apply(&mut self, ask: Ask) {
        match ask {
            // Cleared before the look: what comes during it is worth another one.
            Ask::Hint => self.hinted.store(false, Ordering::SeqCst),
            Ask::Expect { id, expected } => self.set_expected(id, Some(expected)),
            Ask::Forget { id } => self.set_expected(id, None),
            Ask::Targets(targets) => self.set_targets(targets),
        }
    }

    fn set_expected(&mut self, id: Id, expected: Option<Expected>) {
        if let Some(watched) = self.targets.iter_mut().find(|watched| watched.target.id == id) {
            watched.expected = expected;
            watched.served = None;
        }
    }

    /// How long until the files must be looked at although nothing hints.
    fn wait(&self) -> Option<Duration> {
        let polls = self.targets.iter().filter_map(|watched| {
            let poll = watched.target.lock_poll;
            let unwatched = watched.folders.iter().any(|folder| folder.identity.is_none());
            match (poll.is_zero(), unwatched) {
                (false, _) => Some(poll),
                (true, true) => Some(WATCH_AGAIN),
                (true, false) => None,
            }
        });
        let at = Instant::now();
        let pid_files = self.targets.iter().filter_map(|watched| watched.expected.as_ref());
        polls.chain(pid_files.map(|expected| expected.look_at.saturating_duration_since(at))).min()
    }

    /// Looks at everything; `false` when nobody listens any more.
    fn look(&mut self) -> bool {
        self.borrow_eyes();
        self.listen();
        let Looker { watcher, targets, tell, .. } = self;
        targets.iter_mut().all(|watched| {
            watched.watch(watcher.as_mut(), tell);
            watched.look_at_lock(tell) && watched.look_at_pid_file(tell)
        })
    }
}

/// Somebody has opened, read, or closed without writing: nothing has changed, and our own looks are such.
fn is_a_look(kind: EventKind) -> bool {
    matches!(kind, EventKind::Access(kind) if kind != AccessKind::Close(AccessMode::Write))
}

impl Watched {
    /// Watches the folders that are not watched, or are others than they were. Comes before the look itself, so that
    /// nothing is missed in between.
    fn watch(&mut self, watcher: Option<&mut RecommendedWatcher>, tell: &impl Fn(Seen) -> bool) {
        let Some(watcher) = watcher else {
            return self.note(
                "no notifications to be had from the kernel (inotify); the lock file is polled".into(),
                tell,
            );
        };
        let mut trouble = None;
        for folder in &mut self.folders {
            let identity = fs::metadata(&folder.path).ok().map(|meta| (meta.dev(), meta.ino()));
            if identity.is_some() && identity == folder.identity {
                continue;
            }
            if folder.identity.take().is_some() {
                let _ = watcher.unwatch(&folder.path);
            }
            if identity.is_some() {
                match watcher.watch(&folder.path, RecursiveMode::NonRecursive) {
                    Ok(()) => folder.identity = identity,
                    Err(error) => {
                        trouble = Some(format!("{} cannot be watched ({error})", folder.path.display()))
                    }
                }
            }
        }
        if let Some(trouble) = trouble {
            self.note(format!("{trouble}; it is polled"), tell);
        }
    }

    fn look_at_lock(&mut self, tell: &impl Fn(Seen) -> bool) -> bool {
        let file = &self.target.lock_file;
        let lock = match fs::symlink_metadata(file) {
            Ok(_) => Lock::Present,
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                Lock::Absent
            }
            Err(error) => {
                let text = format!(
                    "cannot look at the lock file {} ({error}): its last state stands, and a lock that comes meanwhile is \
                     not seen; give PID 1 the capability DAC_OVERRIDE, or set lock_file to a place that it can reach",
                    file.display()
                );
                self.note(text, tell);
                // At the very first look there is no last state. Shut out we rely on the prepare child, which looks as the
                // engine's user; a disk that fails is looked at again, and nothing starts meanwhile.
                let shut_out = error.kind() == ErrorKind::PermissionDenied;
                if self.lock == Lock::Unknown && shut_out { Lock::Absent } else { self.lock }
            }
        };
        if lock == self.lock {
            return true;
        }
        self.lock = lock;
        tell(Seen::Lock(self.target.id, lock))
    }

    fn look_at_pid_file(&mut self, tell: &impl Fn(Seen) -> bool) -> bool {
        let found = read_pid_file(&self.target.data_dir.join("postmaster.pid"));
        // What cannot be read is no news.
        if let Ok(found) = &found {
            let names = found.as_ref().map(|(file, _)| file).filter(|file| !file.standalone);
            let names = names.map(|file| (file.pid, file.started));
            if names != self.pid_file {
                self.pid_file = names;
                if !tell(Seen::PidFile(self.target.id, names.map(|(pid, _)| pid))) {
                    return false;
                }
            }
        }
        let found = found.ok().flatten();
        let status = found.as_ref().and_then(|(file, _)| Some((file.pid, file.status?)));
        let Some(expected) = self.expected.as_mut() else { return self.look_at_standby(status, tell) };
        if found.is_some_and(|(file, stamp)| expected.ready(&file, stamp)) {
            let (run, pid, old) = (expected.run, expected.pid, expected.old);
            self.expected = None;
            self.served = Some(Served { run, pid, old, standby: None });
            return tell(Seen::Ready(self.target.id, run)) && self.look_at_standby(status, tell);
        }
        let at = Instant::now();
        if expected.look_at <= at {
            expected.look_at = at + expected.pause;
            expected.pause = (expected.pause * 2).min(PID_FILE_POLL.1);
        }
        true
    }

    /// A hot standby says `ready` as well, so the file tells that makes it one; a promotion removes that.
    fn look_at_standby(&mut self, status: Option<(i32, Status)>, tell: &impl Fn(Seen) -> bool) -> bool {
        let Some(served) = self.served.as_mut() else { return true };
        let cold = match status {
            Some((pid, Status::Standby)) if pid == served.pid => true,
            Some((pid, Status::Ready)) if pid == served.pid => false,
            _ => return true,
        };
        let mut standby = cold;
        let files = STANDBY_FILES.iter().filter(|name| served.old || **name != FILE);
        for name in files {
            match fs::symlink_metadata(self.target.data_dir.join(name)) {
                Ok(_) => standby = true,
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                // What cannot be read is no news.
                Err(_) => return true,
            }
        }
        if served.standby == Some(standby) {
            return true;
        }
        served.standby = Some(standby);
        tell(Seen::Standby(self.target.id, served.run, standby))
    }

    fn note(&mut self, text: String, tell: &impl Fn(Seen) -> bool) {
        if self.noted.as_ref() != Some(&text) {
            tell(Seen::Note(self.target.id, text.clone()));
            self.noted = Some(text);
        }
    }
}

impl Expected {
    /// Whether the pid file names this postmaster and says that it is ready. A postmaster makes a file of its own in the
    /// place of a stale one.
    fn ready(&self, file: &PidFile, stamp: FileStamp) -> bool {
        file.pid == self.pid
            && Some(stamp) != self.stale
            && matches!(file.status, Some(Status::Ready | Status::Standby))
    }
}

/// The pid file, if one is there that names a process. A user of the data directory could have put a FIFO or a link in
/// its place: neither is followed or waited for.
fn read_pid_file(path: &Path) -> std::io::Result<Option<(PidFile, FileStamp)>> {
    const LONGEST: u64 = 8192;
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    let file = match OpenOptions::new().read(true).custom_flags(flags).open(path) {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        file => file?,
    };
    let found = file.metadata()?;
    if !found.is_file() {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    file.take(LONGEST).read_to_end(&mut bytes)?;
    Ok(pidfile::parse(&bytes).ok().map(|file| (file, FileStamp::of(&found))))
}
