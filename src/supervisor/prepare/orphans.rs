//! Processes that a dead postmaster or a dead first boot left behind.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::halt::{Outcome, wait};
use super::work::Work;
use crate::engine::flavor::SERVERS;
use crate::engine::stage::{INSTALL_PREFIX, PREFIX};
use crate::engine::title::is_backend;
use crate::supervisor::procfs;

/// A process, safe against reuse of its pid.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Found {
    pid: i32,
    start_ticks: u64,
    title: String,
}

impl Found {
    fn alive(&self) -> bool {
        procfs::alive(self.pid, self.start_ticks)
    }

    fn signal(&self, signal: Signal) {
        // One that may not be signalled stays, and whoever waits for its end tells of it.
        let _ = procfs::signal(self.pid, self.start_ticks, signal);
    }
}

/// Processes of the engine's user for which `wanted` holds, by pid and working directory. Never our own line.
fn find(uid: u32, wanted: impl Fn(i32, &Path) -> bool) -> Vec<Found> {
    let own = procfs::own_line();
    let look = |pid: i32| {
        if own.contains(&pid) {
            return None;
        }
        // The cheap look first, for most processes are none of ours. The start time between two looks: should the pid be
        // used again meanwhile, the second look or the signal misses.
        if !wanted(pid, &procfs::cwd(pid)?) {
            return None;
        }
        let stat = procfs::stat(pid)?;
        if !wanted(pid, &procfs::cwd(pid)?) || procfs::uid(pid)? != uid {
            return None;
        }
        Some(Found { pid, start_ticks: stat.start_ticks, title: procfs::title(pid) })
    };
    procfs::pids().into_iter().filter_map(look).collect()
}

/// Whether `path` lies in a stage of `folder`; those of an installation are none of ours.
fn in_a_stage(folder: &Path, path: &Path) -> bool {
    path.strip_prefix(folder)
        .ok()
        .and_then(|below| below.components().next())
        .map(|first| first.as_os_str().to_string_lossy())
        .is_some_and(|first| first.starts_with(PREFIX) && !first.starts_with(INSTALL_PREFIX))
}

/// Ends with SIGKILL whatever works in a stage of `data_dir`, and what descends from that: only a dead first boot can have
/// left it, and its database is thrown away.
///
/// # Errors
/// A wait when something does not go.
pub(super) fn end_first_boot(work: Work<'_>, data_dir: &Path) -> Outcome<()> {
    let deadline = Instant::now() + Duration::from_secs(2);
    let mut told = false;
    loop {
        let inside = find(work.order.user.uid, |_, cwd| in_a_stage(data_dir, cwd));
        if inside.is_empty() {
            return Ok(());
        }
        let mut family: BTreeSet<i32> = inside.iter().map(|found| found.pid).collect();
        let all = find(work.order.user.uid, |_, _| true);
        while let Some(child) = all.iter().find(|found| {
            !family.contains(&found.pid)
                && procfs::stat(found.pid).is_some_and(|stat| family.contains(&stat.parent))
        }) {
            family.insert(child.pid);
        }
        let mut victims: Vec<&Found> = all.iter().filter(|found| family.contains(&found.pid)).collect();
        victims.extend(inside.iter());
        for victim in victims {
            victim.signal(Signal::KILL);
        }
        if !told {
            work.report.note(format!("ended {} left by a first boot that did not end", list(&inside)));
            told = true;
        }
        if Instant::now() >= deadline {
            return Err(wait(format!("{} of an unfinished first boot cannot be ended", list(&inside))));
        }
        // A stop does not cut this short: it is part of heeding one.
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Ends the backends of a dead postmaster of `data_dir`: they hold its shared memory, and the next one refuses to start
/// meanwhile. Call it only when no postmaster is proven to live.
///
/// # Errors
/// A wait when something lives on, or when a server works there that is no backend: nobody ends `postgres --single` of an
/// operator.
pub(super) fn end_backends(work: Work<'_>, data_dir: &Path) -> Outcome<()> {
    let list_now = || find(work.order.user.uid, |pid, cwd| cwd == data_dir && is_server(pid));
    let mut left = list_now();
    if left.is_empty() {
        return Ok(());
    }
    // Most end by themselves as soon as they notice.
    left = gone_within(work, left, Duration::from_millis(200))?;
    // One more look: a backend that had just been forked has its title by then.
    if left.is_empty() {
        left = list_now();
    }
    if left.is_empty() {
        return Ok(());
    }
    if let Some(other) = list_now().iter().find(|found| !is_backend(&found.title)) {
        return Err(wait(format!(
            "process {} ({}) works in {} and is no backend of a dead postmaster: end it, or wait for its end",
            other.pid,
            other.title,
            data_dir.display()
        )));
    }
    work.report.note(format!("ending {} left by a dead postmaster", list(&left)));
    left.iter().for_each(|found| found.signal(Signal::QUIT));
    left = gone_within(work, left, Duration::from_secs(1))?;
    left.iter().for_each(|found| found.signal(Signal::KILL));
    left = gone_within(work, left, Duration::from_secs(5))?;
    if left.is_empty() {
        return Ok(());
    }
    Err(wait(format!("{} left by a dead postmaster cannot be ended (a hung disk?)", list(&left))))
}

fn gone_within(work: Work<'_>, mut left: Vec<Found>, longest: Duration) -> Outcome<Vec<Found>> {
    let deadline = Instant::now() + longest;
    loop {
        left.retain(Found::alive);
        if left.is_empty() || Instant::now() >= deadline {
            return Ok(left);
        }
        work.interrupt.pause(Duration::from_millis(10))?;
    }
}

fn is_server(pid: i32) -> bool {
    procfs::exe(pid).and_then(|exe| {
        let name = exe.file_name()?.to_owned();
        Some(SERVERS.iter().any(|server| name == OsStr::new(server)))
    }) == Some(true)
}

fn list(found: &[Found]) -> String {
    let mut shown: Vec<String> =
        found.iter().take(5).map(|one| format!("{} ({})", one.pid, one.title)).collect();
    if found.len() > shown.len() {
        shown.push(format!("{} more", found.len() - shown.len()));
    }
    format!("process {}", shown.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stage_is_a_folder_right_in_the_data_directory() {
        let data = Path::new("/data");
        for (path, expected) in [
            ("/data/.init-1", true),
            ("/data/.init-1/pgdata", true),
            ("/data", false),
            ("/data/base/.init-1", false),
            ("/other/.init-1", false),
        ] {
            assert_eq!(in_a_stage(data, Path::new(path)), expected, "{path}");
        }
    }
}
