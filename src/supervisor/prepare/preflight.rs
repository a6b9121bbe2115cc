//! What the configuration asks of the machine, against what it has: warnings with numbers, never a refusal.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use super::child;
use super::executables::Engine;
use super::halt::{Halt, Outcome};
use super::protocol::Failure;
use super::work::Work;
use crate::engine::conf::{Settings, memory_bytes};

const MIB: u64 = 1 << 20;
/// Docker's default for `/dev/shm`, too little for parallel queries.
const SHM_DEFAULT: u64 = 64 * MIB;
/// Below this much free disk a warning is due: PostgreSQL keeps up to 1 GB of WAL by default (`max_wal_size`).
const FREE_MIN: u64 = 1024 * MIB;
/// The same as a share of the whole.
const FREE_SHARE: u64 = 20;
/// PostgreSQL's default of `shared_buffers`.
const SHARED_BUFFERS: u64 = 128 * MIB;

/// Warns of what is too small.
pub(super) fn look(work: Work<'_>, data_dir: &Path, settings: &Settings) {
    let buffers =
        settings.get("shared_buffers").and_then(|value| memory_bytes(value, 8192)).unwrap_or(SHARED_BUFFERS);
    let lines = [shared_memory(settings), huge_pages(settings, buffers), memory(buffers)];
    for line in lines.into_iter().flatten().chain(disk(data_dir)) {
        work.report.warn(line);
    }
}

fn shared_memory(settings: &Settings) -> Option<String> {
    if settings.get("dynamic_shared_memory_type").is_some_and(|kind| kind != "posix") {
        return None;
    }
    let found = rustix::fs::statvfs("/dev/shm").ok()?;
    let size = found.f_blocks.saturating_mul(found.f_frsize);
    (size <= SHM_DEFAULT).then(|| {
        format!(
            "/dev/shm has {} MB: parallel queries need more and fail with \"No space left on device\"; start the \
             container with --shm-size=1g or so",
            size / MIB
        )
    })
}

fn huge_pages(settings: &Settings, buffers: u64) -> Option<String> {
    if settings.get("huge_pages") != Some("on") {
        return None;
    }
    let info = fs::read_to_string("/proc/meminfo").ok()?;
    let free = field(&info, "HugePages_Free:")?;
    let size = field(&info, "Hugepagesize:")?.saturating_mul(1024);
    let available = free.saturating_mul(size);
    (available < buffers).then(|| {
        format!(
            "huge_pages = on, but {free} huge pages of {} kB are free ({} MB) and shared_buffers alone asks for {} MB: \
             raise vm.nr_hugepages on the host, or set huge_pages = try",
            size / 1024,
            available / MIB,
            buffers / MIB
        )
    })
}

/// A number of a file in the form of `/proc/meminfo`.
fn field(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name))?.split_ascii_whitespace().next()?.parse().ok()
}

fn memory(buffers: u64) -> Option<String> {
    let (limit, whose) = memory_limit()?;
    (buffers > limit / 10 * 8).then(|| {
        format!(
            "shared_buffers asks for {} MB, and {whose} is {} MB: the engine will be killed for lack of memory; lower \
             shared_buffers to a quarter of it",
            buffers / MIB,
            limit / MIB
        )
    })
}

/// The least of the container's limit (cgroup v2, then v1) and the machine's memory.
fn memory_limit() -> Option<(u64, &'static str)> {
    let total = field(&fs::read_to_string("/proc/meminfo").ok()?, "MemTotal:")?.saturating_mul(1024);
    let limit = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"]
        .into_iter()
        .find_map(|file| fs::read_to_string(file).ok()?.trim().parse::<u64>().ok());
    match limit {
        Some(limit) if limit < total => Some((limit, "the container's memory limit")),
        _ => Some((total, "the machine's memory")),
    }
}

fn disk(data_dir: &Path) -> Vec<String> {
    let Ok(found) = rustix::fs::statvfs(data_dir) else { return Vec::new() };
    let (free, size) =
        (found.f_bavail.saturating_mul(found.f_frsize), found.f_blocks.saturating_mul(found.f_frsize));
    let mut lines = Vec::new();
    if free < FREE_MIN || free < size / FREE_SHARE {
        lines.push(format!(
            "the volume of {} has {} MB free of {} MB: a full disk stops the engine; free some space or grow the volume",
            data_dir.display(),
            free / MIB,
            size / MIB
        ));
    }
    if found.f_files > 0 && found.f_favail < (found.f_files / FREE_SHARE).min(10_000) {
        lines.push(format!(
            "the volume of {} has {} of {} inodes free: without one no file can be made",
            data_dir.display(),
            found.f_favail,
            found.f_files
        ));
    }
    lines
}

/// After a failure: does the engine accept its configuration, and is there space? It is not started for that.
///
/// The engine is not asked after an end by a signal, which its configuration has not brought about: the question takes as long
/// as all else here many times over, while everybody waits for the restart.
pub(super) fn after_failure(
    work: Work<'_>,
    failure: &Failure,
    data_dir: &Path,
    logs: &Path,
    engine: &Engine,
    extra: &[(String, String)],
) -> Outcome<()> {
    if !failure.by_signal {
        ask_engine(work, data_dir, engine, extra)?;
    }
    if let Some(line) = last_words(logs) {
        work.report.warn(format!("the engine's log says last: {line}"));
    }
    disk(data_dir).into_iter().for_each(|line| work.report.warn(line));
    Ok(())
}

/// Warns where the engine does not accept its configuration.
fn ask_engine(work: Work<'_>, data_dir: &Path, engine: &Engine, extra: &[(String, String)]) -> Outcome<()> {
    let mut command = work.engine_command(&engine.server, extra);
    command.arg("-D").arg(data_dir).args(&work.order.options).args(["-C", "port"]);
    match child::ask(command, "postgres -C port", work.interrupt) {
        Ok((status, _, stderr)) if !status.success() => {
            let tail: Vec<&str> = stderr.lines().rev().take(5).collect();
            let tail: Vec<&str> = tail.into_iter().rev().collect();
            work.report.warn(format!("the configuration is not accepted: {}", tail.join(" | ")));
        }
        Ok(_) => {}
        Err(Halt::Trouble(trouble)) => {
            work.report.warn(format!("cannot check the configuration: {}", trouble.cause))
        }
        Err(other) => return Err(other),
    }
    Ok(())
}

/// The last FATAL or PANIC line of the newest collector file: once the collector runs, nothing of it reaches PID 1.
fn last_words(folder: &Path) -> Option<String> {
    const TAIL: u64 = 32 * 1024;
    let newest = fs::read_dir(folder)
        .ok()?
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().ends_with(".log"))
        .filter_map(|entry| Some((entry.metadata().ok().filter(fs::Metadata::is_file)?, entry.path())))
        .max_by_key(|(found, _)| found.modified().ok())?;
    let mut file = File::open(&newest.1).ok()?;
    file.seek(SeekFrom::Start(newest.0.len().saturating_sub(TAIL))).ok()?;
    let mut bytes = Vec::new();
    file.take(TAIL).read_to_end(&mut bytes).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    // What clients are told while it starts or stops is no cause.
    let tells = |line: &&str| {
        ["FATAL: ", "PANIC: "].iter().any(|word| line.contains(word))
            && !line.contains("the database system is")
    };
    let line = text.lines().rev().find(tells)?;
    Some(line.chars().take(300).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_by_name() {
        let text = "MemTotal:       16384 kB\nHugePages_Free:     12\n";
        assert_eq!(field(text, "MemTotal:"), Some(16384));
        assert_eq!(field(text, "HugePages_Free:"), Some(12));
        assert_eq!(field(text, "Other:"), None);
    }

    #[test]
    fn the_last_words_of_the_engine_are_in_the_newest_file() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(last_words(dir.path()), None);
        let write = |name: &str, text: &str, age| {
            fs::write(dir.path().join(name), text).unwrap();
            let at = std::time::SystemTime::now() - std::time::Duration::from_secs(age);
            File::options().write(true).open(dir.path().join(name)).unwrap().set_modified(at).unwrap();
        };
        write("postgresql-1.log", "t [1] FATAL:  old\n", 100);
        let refused = "t [2] FATAL:  the database system is starting up\n";
        write("postgresql-2.log", &format!("t [1] FATAL:  first\nt [1] PANIC:  second\n{refused}"), 50);
        write("postgresql-2.csv", "FATAL:  no\n", 0);
        assert_eq!(last_words(dir.path()).as_deref(), Some("t [1] PANIC:  second"));
        write("postgresql-3.log", "t [1] LOG:  all is well\n", 10);
        assert_eq!(last_words(dir.path()), None, "what an earlier life said is no news");
    }

    #[test]
    fn this_machine_has_memory() {
        assert!(memory_limit().unwrap().0 > 0);
    }
}
