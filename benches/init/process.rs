//! Processes as `/proc` shows them.

use std::fs;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};

/// What a process has used of the processor.
#[derive(Debug, Clone, Copy, Default)]
pub struct Usage {
    /// Nanoseconds.
    pub cpu: u64,
    /// How often it was put on a processor: switches of its own will or not.
    pub wakes: u64,
}

/// One process.
#[derive(Debug, Clone)]
pub struct Process {
    pub pid: i32,
    /// The program that it runs; empty for a zombie.
    pub exe: PathBuf,
}

/// The PID namespace of a process, as an opaque name.
pub fn namespace(pid: i32) -> Option<PathBuf> {
    fs::read_link(format!("/proc/{pid}/ns/pid")).ok()
}

/// All processes of a PID namespace, zombies left out.
pub fn of_namespace(wanted: &Path) -> Vec<Process> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok())
        .filter(|&pid| namespace(pid).is_some_and(|name| name == wanted))
        .filter_map(|pid| Some(Process { pid, exe: fs::read_link(format!("/proc/{pid}/exe")).ok()? }))
        .collect()
}

impl Process {
    /// Proportional set size in bytes: private pages, and a part of each shared one.
    pub fn pss(&self) -> u64 {
        let text = fs::read_to_string(format!("/proc/{}/smaps_rollup", self.pid)).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("Pss:")).unwrap_or("0 kB");
        line.trim().trim_end_matches("kB").trim().parse::<u64>().unwrap_or(0) * 1024
    }

    /// What all of its threads have used.
    pub fn usage(&self) -> Usage {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.pid)).into_iter().flatten().flatten();
        tasks.fold(Usage::default(), |sum, task| {
            let read = |name: &str| fs::read_to_string(task.path().join(name)).unwrap_or_default();
            let cpu = read("schedstat").split(' ').next().and_then(|word| word.parse::<u64>().ok());
            let status = read("status");
            let wakes = status.lines().filter_map(|line| {
                let (key, value) = line.split_once(':')?;
                key.ends_with("voluntary_ctxt_switches").then(|| value.trim().parse::<u64>().ok())?
            });
            Usage { cpu: sum.cpu + cpu.unwrap_or(0), wakes: sum.wakes + wakes.sum::<u64>() }
        })
    }

    pub fn signal(&self, signal: Signal) {
        signal_to(self.pid, signal);
    }
}

/// How many children a process has that nobody has reaped, zombies counted in.
pub fn children(pid: i32) -> Option<usize> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    Some(text.split_whitespace().count())
}

pub fn signal_to(pid: i32, signal: Signal) {
    kill_process(Pid::from_raw(pid).expect("a pid"), signal)
        .unwrap_or_else(|error| panic!("bench: cannot send {signal:?} to {pid}: {error}"));
}

pub fn pidfd(pid: i32) -> Result<OwnedFd, String> {
    let pid = Pid::from_raw(pid).ok_or("no pid")?;
    pidfd_open(pid, PidfdFlags::empty()).map_err(|error| format!("pidfd_open: {error}"))
}

/// Waits until all of these processes have ended.
pub fn wait_ended(descriptors: &[OwnedFd], deadline: Duration) -> Result<(), String> {
    let begin = Instant::now();
    for (index, descriptor) in descriptors.iter().enumerate() {
        let left = deadline.saturating_sub(begin.elapsed());
        let mut polled = [PollFd::new(descriptor, PollFlags::IN)];
        let timeout = Timespec { tv_sec: left.as_secs().cast_signed(), tv_nsec: left.subsec_nanos().into() };
        match poll(&mut polled, Some(&timeout)) {
            Ok(1) => {}
            Ok(_) => {
                let count = descriptors.len() - index;
                return Err(format!("{count} still lived after {} s", deadline.as_secs()));
            }
            Err(error) => return Err(format!("poll: {error}")),
        }
    }
    Ok(())
}
