//! Processes as `/proc` shows them.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// One process, seen from the machine's own PID namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Process {
    /// Its pid on the machine.
    pub pid: i32,
    /// Its pid in the innermost namespace that it is in.
    pub inner: i32,
    /// Its parent's pid on the machine.
    pub parent: i32,
    /// The letter of its state; `Z` is a zombie.
    pub state: char,
    /// Real user id.
    pub uid: u32,
    /// Name of the executable, cut by the kernel at 15 bytes.
    pub name: String,
    /// Arguments joined by spaces; empty for a zombie.
    pub command: String,
}

impl Process {
    /// Reads one process; `None` if there is none of this pid.
    pub fn read(pid: i32) -> Option<Self> {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let field = |key: &str| {
            status
                .lines()
                .find_map(|line| line.strip_prefix(key))
                .map(str::trim)
                .unwrap_or_default()
                .to_owned()
        };
        let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        Some(Self {
            pid,
            inner: field("NSpid:").split_whitespace().last()?.parse().ok()?,
            parent: field("PPid:").parse().ok()?,
            state: field("State:").chars().next()?,
            uid: field("Uid:").split_whitespace().next()?.parse().ok()?,
            name: field("Name:"),
            command: String::from_utf8_lossy(&command).replace('\0', " ").trim().to_owned(),
        })
    }

    /// All processes of the machine.
    pub fn all() -> Vec<Self> {
        let entries = fs::read_dir("/proc").expect("read /proc").flatten();
        entries.filter_map(|entry| Self::read(entry.file_name().to_str()?.parse().ok()?)).collect()
    }

    /// Whether it lives: there is such a process and it is no zombie. `kill -0` would count a zombie in.
    pub fn lives(pid: i32) -> bool {
        Self::read(pid).is_some_and(|process| !matches!(process.state, 'Z' | 'X'))
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid), signal).unwrap_or_else(|error| panic!("{signal} to {self:?}: {error}"));
    }

    /// A variable of the environment that it was started with.
    pub fn environment(&self) -> BTreeMap<String, String> {
        let bytes = fs::read(format!("/proc/{}/environ", self.pid)).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        text.split('\0')
            .filter_map(|pair| pair.split_once('='))
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .collect()
    }

    /// Numbers of its open descriptors, with what they lead to.
    pub fn descriptors(&self) -> BTreeMap<u32, PathBuf> {
        let entries = fs::read_dir(format!("/proc/{}/fd", self.pid)).into_iter().flatten().flatten();
        entries
            .filter_map(|entry| {
                Some((entry.file_name().to_str()?.parse().ok()?, fs::read_link(entry.path()).ok()?))
            })
            .collect()
    }

    /// How often its threads went to sleep of their own will, all together: each wake-up is followed by one.
    pub fn sleeps(&self) -> u64 {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.pid)).into_iter().flatten().flatten();
        tasks
            .filter_map(|task| fs::read_to_string(task.path().join("status")).ok())
            .filter_map(|status| {
                let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))?;
                line.trim().parse::<u64>().ok()
            })
            .sum()
    }
}

/// The PID namespace of a process, as an opaque name.
pub fn namespace(pid: i32) -> Option<PathBuf> {
    fs::read_link(format!("/proc/{pid}/ns/pid")).ok()
}
