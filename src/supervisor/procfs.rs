//! Processes as `/proc` shows them. Each answer may be out of date when it is read.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open, pidfd_send_signal};

/// What `/proc/PID/stat` says that matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::supervisor) struct Stat {
    /// Process id.
    pub(in crate::supervisor) pid: i32,
    /// `R`, `S`, `Z` (has ended and waits to be reaped), ...
    pub(in crate::supervisor) state: char,
    /// Parent.
    pub(in crate::supervisor) parent: i32,
    /// Process group.
    pub(in crate::supervisor) group: i32,
    /// Session.
    pub(in crate::supervisor) session: i32,
    /// Clock ticks since boot; with the pid it names one process for ever.
    pub(in crate::supervisor) start_ticks: u64,
}

impl Stat {
    /// Whether it has not ended.
    pub(in crate::supervisor) fn lives(&self) -> bool {
        !matches!(self.state, 'Z' | 'X' | 'x')
    }
}

/// Reads `/proc/PID/stat`; `None` when there is no such process (or thread).
pub(in crate::supervisor) fn stat(pid: i32) -> Option<Stat> {
    let bytes = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
    parse_stat(&String::from_utf8_lossy(&bytes))
}

/// Fields 1, 3, 4, 5, 6 and 22 of proc(5). The name, field 2, is in brackets and may hold anything.
fn parse_stat(text: &str) -> Option<Stat> {
    let (head, tail) = text.rsplit_once(')')?;
    let pid = head.split_once(' ')?.0.parse().ok()?;
    let mut fields = tail.split_ascii_whitespace();
    let state = fields.next()?.chars().next()?;
    let parent = fields.next()?.parse().ok()?;
    let group = fields.next()?.parse().ok()?;
    let session = fields.next()?.parse().ok()?;
    let start_ticks = fields.nth(15)?.parse().ok()?;
    Some(Stat { pid, state, parent, group, session, start_ticks })
}

/// All process ids (no thread ids).
pub(in crate::supervisor) fn pids() -> Vec<i32> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// The process that `pid` is a thread of: itself, unless it is another thread than the first. `/proc` opens such a thread,
/// but does not list it. `None`: not readable.
pub(in crate::supervisor) fn leader(pid: i32) -> Option<i32> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("Tgid:"))?.trim().parse().ok()
}

/// All processes of this namespace that have not ended.
pub(in crate::supervisor) fn living() -> Vec<Stat> {
    pids().into_iter().filter_map(stat).filter(Stat::lives).collect()
}

/// The children of this process, its main thread's alone: who forks and reaps is that thread, and the kernel gives it
/// the orphans. Zombies count. `None`: the kernel has no such list.
pub(in crate::supervisor) fn own_children() -> Option<Vec<i32>> {
    let me = std::process::id();
    let file = std::fs::File::open(format!("/proc/{me}/task/{me}/children")).ok()?;
    let mut list = Vec::new();
    // Room for a thousand at once: each read walks the list anew to where it goes on. By the plain call: the library's asks
    // for the size of the file first, which this one does not have.
    let mut some = [0; 8 * 1024];
    loop {
        match rustix::io::read(&file, &mut some) {
            Ok(0) => break,
            Ok(count) => list.extend_from_slice(some.get(..count)?),
            Err(Errno::INTR) => {}
            Err(_) => return None,
        }
    }
    Some(String::from_utf8_lossy(&list).split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).collect())
}

/// Whether a process was started with this variable (`NAME=value`) in its environment; `None`: not readable, or
/// not asked: the kernel reads it from the process's memory, which one that waits for a disk may have locked.
pub(in crate::supervisor) fn has_variable(pid: i32, variable: &str) -> Option<bool> {
    if stat(pid)?.state == 'D' {
        return None;
    }
    let environment = std::fs::read(format!("/proc/{pid}/environ")).ok()?;
    Some(environment.split(|&byte| byte == 0).any(|pair| pair == variable.as_bytes()))
}

/// Whether a process has a handler for this signal; `None` when that cannot be told.
pub(in crate::supervisor) fn catches(pid: i32, signal: i32) -> Option<bool> {
    let bytes = std::fs::read(format!("/proc/{pid}/status")).ok()?;
    caught(&String::from_utf8_lossy(&bytes), signal)
}

/// Reads the line `SigCgt` of `/proc/PID/status` (proc(5)): bit 0 is signal 1.
fn caught(status: &str, signal: i32) -> Option<bool> {
    let line = status.lines().find_map(|line| line.strip_prefix("SigCgt:"))?;
    let mask = u64::from_str_radix(line.trim(), 16).ok()?;
    let bit = u32::try_from(signal.checked_sub(1)?).ok()?;
    Some(mask.checked_shr(bit)? & 1 == 1)
}

/// Whether a process has a program's memory; one that is about to end has none, before its descriptors are closed.
pub(in crate::supervisor) fn has_memory(pid: i32) -> bool {
    let pages = std::fs::read_to_string(format!("/proc/{pid}/statm")).unwrap_or_default();
    pages.split(' ').next().is_some_and(|size| !matches!(size, "" | "0"))
}

/// The name of the executable, as the kernel has it; empty when it is gone.
pub(in crate::supervisor) fn name(pid: i32) -> String {
    std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default()
}

/// The machine's clock in the unit of [`Stat::start_ticks`].
pub(in crate::supervisor) fn ticks_since_boot() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let per_second = rustix::param::clock_ticks_per_second();
    let (seconds, nanos) = (time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs());
    seconds.saturating_mul(per_second).saturating_add(nanos.saturating_mul(per_second) / 1_000_000_000)
}

/// The effective user id.
pub(in crate::supervisor) fn uid(pid: i32) -> Option<u32> {
    // Not the owner of /proc/PID: that is root for a process that is not dumpable.
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("Uid:"))?.split_ascii_whitespace().nth(1)?.parse().ok()
}

/// The executable; `None` when it cannot be read.
pub(in crate::supervisor) fn exe(pid: i32) -> Option<PathBuf> {
    link(pid, "exe")
}

/// The working directory; `None` when it cannot be read.
pub(in crate::supervisor) fn cwd(pid: i32) -> Option<PathBuf> {
    link(pid, "cwd")
}

fn link(pid: i32, name: &str) -> Option<PathBuf> {
    let target = std::fs::read_link(format!("/proc/{pid}/{name}")).ok()?;
    Some(without_deleted(target))
}

/// The kernel marks the name of what was removed.
fn without_deleted(path: PathBuf) -> PathBuf {
    match path.as_os_str().as_bytes().strip_suffix(b" (deleted)") {
        Some(stem) => PathBuf::from(OsString::from_vec(stem.to_vec())),
        None => path,
    }
}

/// The command line, or the title that the process gave itself, on one line; empty for a zombie.
pub(in crate::supervisor) fn title(pid: i32) -> String {
    let bytes = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let text: String = String::from_utf8_lossy(&bytes).replace(['\0', '\n'], " ");
    text.trim_end().chars().take(200).collect()
}

/// Sends `signal` to the process that had this pid and start time; nothing happens to one that has got the pid since, and
/// one that is gone needs none.
///
/// # Errors
/// EPERM: it belongs to another user, and this process lacks CAP_KILL.
pub(in crate::supervisor) fn signal(pid: i32, start_ticks: u64, signal: Signal) -> std::io::Result<()> {
    let Some(target) = Pid::from_raw(pid) else { return Ok(()) };
    let handle = pidfd_open(target, PidfdFlags::empty());
    if stat(pid).is_none_or(|now| now.start_ticks != start_ticks) {
        return Ok(());
    }
    let sent = match handle {
        Ok(handle) => pidfd_send_signal(&handle, signal),
        // A kernel or a seccomp profile without pidfd: the look above is then the only guard.
        Err(_) => kill_process(target, signal),
    };
    match sent {
        Ok(()) | Err(Errno::SRCH) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Whether `/proc` is mounted and shows our own pid namespace.
pub(in crate::supervisor) fn is_ours() -> bool {
    let own = rustix::process::getpid().as_raw_nonzero().get().to_string();
    std::fs::read_link("/proc/self").is_ok_and(|link| link == Path::new(&own))
}

/// Whether the process of this pid and start time still runs; a zombie does not.
pub(in crate::supervisor) fn alive(pid: i32, start_ticks: u64) -> bool {
    stat(pid).is_some_and(|now| now.start_ticks == start_ticks && now.lives())
}

/// This process and all its ancestors.
pub(in crate::supervisor) fn own_line() -> Vec<i32> {
    let mut line = vec![rustix::process::getpid().as_raw_nonzero().get()];
    while let Some(parent) = line.last().and_then(|pid| stat(*pid)).map(|stat| stat.parent) {
        if parent <= 0 || line.contains(&parent) {
            break;
        }
        line.push(parent);
    }
    line
}

/// Processes that hold an open descriptor of the directory, other than our own line.
pub(in crate::supervisor) fn holders(directory: &Path) -> Vec<i32> {
    let Ok(wanted) = std::fs::metadata(directory) else { return Vec::new() };
    let own = rustix::process::getpid().as_raw_nonzero().get();
    let holds = |pid: &i32| {
        let Ok(descriptors) = std::fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
        descriptors.flatten().any(|descriptor| {
            std::fs::metadata(descriptor.path())
                .is_ok_and(|found| found.dev() == wanted.dev() && found.ino() == wanted.ino())
        })
    };
    pids().into_iter().filter(|pid| *pid != own).filter(holds).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_and_blanks_is_skipped() {
        let text = "42 (a) S 9 (b) R 7 1 1 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 12345 1 1 1\n";
        assert_eq!(
            parse_stat(text),
            Some(Stat { pid: 42, state: 'R', parent: 7, group: 1, session: 1, start_ticks: 12345 })
        );
        assert_eq!(parse_stat("42 (a"), None);
        assert_eq!(parse_stat(""), None);
    }

    #[test]
    fn the_test_itself_is_alive_and_has_a_line() {
        let pid = i32::try_from(std::process::id()).unwrap();
        let own = stat(pid).unwrap();
        assert!(alive(pid, own.start_ticks) && !alive(pid, own.start_ticks + 1));
        assert_eq!(own_line().first(), Some(&pid));
        assert_eq!(own_line().get(1), Some(&own.parent));
        assert_eq!(leader(pid), Some(pid));
        assert!(is_ours() && has_memory(pid) && !has_memory(i32::MAX));
        assert_eq!(uid(pid), Some(rustix::process::geteuid().as_raw()));
        // Another start time is another process.
        signal(pid, own.start_ticks + 1, Signal::KILL).unwrap();
    }

    #[test]
    fn a_thread_id_is_told_from_a_process_id() {
        std::thread::spawn(|| {
            let thread = rustix::thread::gettid().as_raw_nonzero().get();
            assert_eq!(leader(thread), Some(i32::try_from(std::process::id()).unwrap()));
        })
        .join()
        .unwrap();
    }

    #[test]
    fn the_mark_of_removed_files_is_taken_off() {
        assert_eq!(without_deleted("/data/.init-1 (deleted)".into()), PathBuf::from("/data/.init-1"));
        assert_eq!(without_deleted("/data".into()), PathBuf::from("/data"));
    }

    #[test]
    fn a_name_may_hold_anything() {
        let text =
            "42 (a) b (c)) S 7 42 41 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 987 1000 20 18446744073709551615";
        assert_eq!(
            parse_stat(text),
            Some(Stat { pid: 42, state: 'S', parent: 7, group: 42, session: 41, start_ticks: 987 })
        );
    }

    #[test]
    fn caught_signals_are_bits() {
        for (status, signal, wanted) in [
            ("Name:\tx\nSigCgt:\t0000000000000001\n", 1, Some(true)),
            ("SigCgt:\t0000000000000001\n", 2, Some(false)),
            ("SigCgt:\t8000000000000000\n", 64, Some(true)),
            ("SigCgt:\t0000000000000001\n", 0, None),
            ("SigIgn:\t0000000000000001\n", 1, None),
            ("SigCgt:\tx\n", 1, None),
        ] {
            assert_eq!(caught(status, signal), wanted, "{status:?} {signal}");
        }
    }

    #[test]
    fn garbage_is_nobody() {
        for text in ["", "42", "42 (x)", "42 (x) S", "x (x) S 1 2 3", ") ("] {
            assert_eq!(parse_stat(text), None, "{text:?}");
        }
    }

    #[test]
    fn this_process_started_before_this_moment() {
        let me = stat(std::process::id().cast_signed()).map(|me| me.start_ticks);
        assert!(me.is_some_and(|ticks| ticks <= ticks_since_boot()), "{me:?}");
    }
}
