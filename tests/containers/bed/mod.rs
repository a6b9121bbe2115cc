//! Where a test has its containers: names of its own, at most a few at once, and nothing left behind.

mod container;
mod docker;
mod images;
mod sweep;

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tempfile::TempDir;

pub use container::{Container, Run};
pub use docker::{Done, compose, docker, run};
pub use images::{Images, context};
pub use sweep::PREFIX;

/// Deadline of what takes seconds on an idle machine; wide, since a first boot is among it and tests run beside each other.
pub const SOON: Duration = Duration::from_secs(90);

/// How many containers may run at once.
const ROOM: usize = 4;
static FREE: Mutex<usize> = Mutex::new(ROOM);
static FREED: Condvar = Condvar::new();
static COUNT: AtomicUsize = AtomicUsize::new(0);

/// The uid and gid of the user `postgres` in the images.
pub const POSTGRES: (u32, u32) = (999, 999);

/// The containers, volumes and folders of one test. What it has made is removed with it.
pub struct Bed {
    pub images: &'static Images,
    name: String,
    taken: usize,
    dir: TempDir,
    made: Mutex<Vec<String>>,
}

impl Bed {
    /// Waits until there is room for so many containers. None where no docker answers, which has been said then.
    pub fn take(containers: usize) -> Option<Self> {
        let images = images::ours()?;
        let mut free = FREE.lock().unwrap_or_else(PoisonError::into_inner);
        while *free < containers {
            free = FREED.wait(free).unwrap_or_else(PoisonError::into_inner);
        }
        *free -= containers;
        let name = format!("{PREFIX}{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let dir = TempDir::new().unwrap();
        // The users of a container go through it.
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        Some(Bed { images, name, taken: containers, dir, made: Mutex::default() })
    }

    /// A name that nothing else has, for a container, a volume, a network or an image.
    pub fn name(&self, what: &str) -> String {
        format!("{}-{what}", self.name)
    }

    /// A named volume; docker makes it at its first use, and the sweep removes it.
    pub fn volume(&self, what: &str) -> String {
        let name = self.name(what);
        docker(["volume", "create", &name]).success();
        name
    }

    /// A folder on the host, to be bound into a container.
    pub fn folder(&self, what: &str, owner: (u32, u32), mode: u32) -> PathBuf {
        let path = self.dir.path().join(what);
        fs::create_dir(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        chown(&path, Some(owner.0), Some(owner.1)).unwrap();
        path
    }

    /// A file on the host that everybody may read.
    pub fn file(&self, what: &str, content: &str) -> PathBuf {
        let path = self.dir.path().join(what);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    /// The folder of the test's own on the host.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// A container of the engine image.
    pub fn engine(&self, what: &str) -> Run<'_> {
        Run::new(self, what, &self.images.engine)
    }

    /// A container of the manager image.
    pub fn manager(&self, what: &str) -> Run<'_> {
        Run::new(self, what, &self.images.manager)
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for container in self.made.lock().unwrap_or_else(PoisonError::into_inner).iter() {
                let logs = docker(["logs", "--tail", "60", container]);
                eprintln!("--- {container}\n{}{}", logs.stdout, logs.stderr);
            }
        }
        sweep::all_of(&format!("{}-", self.name));
        *FREE.lock().unwrap_or_else(PoisonError::into_inner) += self.taken;
        FREED.notify_all();
    }
}

/// Looks every 100 ms until `look` has a value; panics with `what` at the deadline.
pub fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(value) = look() {
            return value;
        }
        assert!(begin.elapsed() < SOON, "waited {SOON:?} in vain: {what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// [`eventually`] for a condition without a value.
pub fn until(what: &str, mut look: impl FnMut() -> bool) {
    eventually(what, || look().then_some(()));
}
