//! The lock file of an instance, and what it does to the engine.

use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::command::{as_user, finish};
use super::instance::Instance;
use super::machine::{pg_bin, postgres_user};
use super::wait::{BOOT, SOON, until};

/// How long a state has to last to be called lasting: several times what a start takes.
const LASTING: Duration = Duration::from_millis(700);
/// How long PID 1 may take to see a lock.
const SETTLED: Duration = Duration::from_millis(800);

impl Instance {
    /// The lock file: where `supervisor.toml` puts it, else in the data directory.
    pub fn lock(&self) -> PathBuf {
        let configured = || {
            let engine = self.spec.config.as_ref()?.get("program")?.get("engine")?;
            Some(PathBuf::from(engine.get("lock_file")?.as_str()?))
        };
        configured().unwrap_or_else(|| self.path("data/ins_lock"))
    }

    /// What `touch` of the lock file does.
    pub fn set_lock(&self) {
        fs::write(self.lock(), "").unwrap_or_else(|error| panic!("lock: {error}"));
    }

    /// What `rm` of the lock file does; that it is there shows that PID 1 has not removed it.
    pub fn remove_lock(&self) {
        fs::remove_file(self.lock()).unwrap_or_else(|error| panic!("unlock: {error}"));
    }

    /// Whether anything has the lock file's name.
    pub fn is_locked(&self) -> bool {
        match fs::symlink_metadata(self.lock()) {
            Ok(_) => true,
            Err(error) if error.kind() == ErrorKind::NotFound => false,
            Err(error) => panic!("look at the lock file: {error}"),
        }
    }

    /// Waits until PID 1 is alone, and sees that it stays so for a while, with the lock file in its place.
    pub fn stays_down(&mut self) {
        // It may be alone for a moment between two processes before it has seen the lock.
        let mut alone_since = None;
        self.until("PID 1 to be alone", |it| {
            let since = it.is_alone().then(|| *alone_since.get_or_insert_with(Instant::now));
            alone_since = since;
            since.is_some_and(|since| since.elapsed() > SETTLED)
        });
        let begin = Instant::now();
        while begin.elapsed() < LASTING {
            assert_eq!(self.exit(), None, "PID 1 ended");
            assert!(self.is_alone(), "something runs although it is locked: {:?}", self.processes());
            assert!(self.is_locked(), "the lock file is gone");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn is_alone(&self) -> bool {
        self.processes().iter().all(|process| process.inner == 1)
    }

    /// How often this PID 1 has started the engine.
    pub fn starts(&self) -> usize {
        self.log().matches("started, process ").count()
    }

    /// What the engine has logged: its collector's files, and what it said to PID 1 before.
    pub fn engine_log(&self) -> String {
        let mut text = self.log_of_all_boots();
        let mut files: Vec<_> =
            fs::read_dir(self.path("data/pg_log")).into_iter().flatten().flatten().collect();
        files.sort_by_key(fs::DirEntry::file_name);
        for file in files {
            text.push_str(&String::from_utf8_lossy(&fs::read(file.path()).unwrap_or_default()));
        }
        text
    }

    /// Waits until the engine has logged a text so many times.
    pub fn wait_engine_log(&self, text: &str, count: usize) {
        until(&format!("{count} times in the engine's log: {text}"), BOOT, || {
            self.engine_log().matches(text).count() >= count
        });
    }

    /// "Database cluster state", as pg_controldata prints it.
    pub fn control_state(&self) -> String {
        let mut command = as_user(postgres_user(), pg_bin().join("pg_controldata"));
        command.arg(self.path("data"));
        let text = finish(command, SOON).success();
        let line = text.lines().find_map(|line| line.strip_prefix("Database cluster state:"));
        line.unwrap_or_else(|| panic!("no state in {text}")).trim().to_owned()
    }
}
