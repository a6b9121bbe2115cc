//! At most one postmaster on the data directory, looked at all the time.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{JoinHandle, sleep};
use std::time::{Duration, Instant};

use crate::common::Process;

/// A second one finds the first one's pid file and ends; that takes it some ten milliseconds. One that stays longer
/// than this has not found it.
const SECOND_MAX: Duration = Duration::from_secs(2);

/// The thread that looks.
#[derive(Debug)]
pub struct Postmasters {
    stop: Arc<AtomicBool>,
    looks: Arc<AtomicU64>,
    violation: Arc<Mutex<Option<String>>>,
    thread: Option<JoinHandle<()>>,
}

impl Postmasters {
    /// Looks at this data directory from here on.
    pub fn watch(data_dir: PathBuf) -> Self {
        let (stop, looks) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let violation = Arc::<Mutex<Option<String>>>::default();
        let (stopped, counted, found) = (Arc::clone(&stop), Arc::clone(&looks), Arc::clone(&violation));
        let thread = std::thread::spawn(move || {
            let mut two_since = None;
            while !stopped.load(Ordering::Relaxed) {
                let all = of(&data_dir);
                counted.fetch_add(1, Ordering::Relaxed);
                two_since = (all.len() > 1).then(|| two_since.unwrap_or_else(Instant::now));
                if two_since.is_some_and(|since: Instant| since.elapsed() > SECOND_MAX) {
                    *found.lock().unwrap() = Some(format!("more than one postmaster: {all:#?}"));
                }
                sleep(Duration::from_millis(200));
            }
        });
        Self { stop, looks, violation, thread: Some(thread) }
    }

    /// Panics if there were two.
    pub fn check(&self) {
        if let Some(violation) = self.violation.lock().unwrap().take() {
            panic!("{violation}");
        }
    }

    /// How often it has looked.
    pub fn looks(&self) -> u64 {
        self.looks.load(Ordering::Relaxed)
    }
}

impl Drop for Postmasters {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().map(JoinHandle::join);
    }
}

/// Postmasters that work in this directory, in whatever namespace: a child that has just been forked looks like one,
/// but has one as its parent.
fn of(data_dir: &PathBuf) -> Vec<Process> {
    let works_there = |pid: i32| fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| &cwd == data_dir);
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let there: Vec<Process> = entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|&pid| works_there(pid))
        .filter_map(Process::read)
        .filter(|process| process.name == "postgres")
        .collect();
    let is_one = |process: &Process| {
        process.command.contains(" -D ") && !there.iter().any(|other| other.pid == process.parent)
    };
    there.iter().filter(|process| is_one(process)).cloned().collect()
}
