//! The engine's executables, and which version they are.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, CWD, accessat};

use super::child;
use super::halt::{Halt, Outcome, Trying, refused};
use super::protocol::Memo;
use super::resolve;
use super::work::Work;
use crate::engine::flavor;

/// The engine.
pub(super) struct Engine {
    /// Folder of all executables.
    pub(super) bin_dir: PathBuf,
    /// The server's executable.
    pub(super) server: PathBuf,
    /// PolarDB, as opposed to stock PostgreSQL.
    pub(super) polardb: bool,
    /// What PID 1 keeps for the next start.
    pub(super) memo: Memo,
}

/// Finds the engine; asks for its version unless the memo has it.
///
/// # Errors
/// Refused when there is none, or it does not run.
pub(super) fn find(work: Work<'_>) -> Outcome<Engine> {
    find_and_ask(work, |places| places.server.clone())
}

/// The same for one that may not run: a sister of the server is asked, since whoever looks while the lock is there is to find
/// no process by the server's name. A version that it should have of its own the server tells itself, by not starting.
///
/// # Errors
/// As those of [`find`].
pub(super) fn learn(work: Work<'_>) -> Outcome<Memo> {
    find_and_ask(work, |places| places.bin_dir.join("pg_controldata")).map(|engine| engine.memo)
}

/// Where the executables are.
struct Places {
    bin_dir: PathBuf,
    server: PathBuf,
}

fn find_and_ask(work: Work<'_>, who: impl FnOnce(&Places) -> PathBuf) -> Outcome<Engine> {
    let path = work.path_variable();
    let bin_dir = flavor::find_bin_dir(work.order.engine.bin_dir.as_deref(), &path.to_string_lossy())
        .map_err(|not_found| refused(not_found.to_string(), flavor::NotFound::REMEDY))?;
    let places = Places { server: flavor::server_executable(&bin_dir), bin_dir };
    let real = fs::canonicalize(&places.server).trying("find", &places.server)?;
    let found = fs::metadata(&real).trying("look at", &real)?;
    let memo = match &work.order.memo {
        Some(memo)
            if memo.postgres == real && memo.inode == found.ino() && memo.modified == found.mtime() =>
        {
            memo.clone()
        }
        _ => {
            let major = ask_version(work, &who(&places))?;
            Memo { postgres: real, inode: found.ino(), modified: found.mtime(), major }
        }
    };
    let Places { bin_dir, server } = places;
    let polardb = flavor::is_polardb(&bin_dir);
    Ok(Engine { bin_dir, server, polardb, memo })
}

fn ask_version(work: Work<'_>, program: &Path) -> Outcome<u32> {
    let cannot = |what: String| {
        refused(
            format!("{} {what}", program.display()),
            "install the engine's package again, or set bin_dir in supervisor.toml to another one",
        )
    };
    if accessat(CWD, program, Access::EXEC_OK, AtFlags::EACCESS).is_err() {
        let why = resolve::obstacle(program).map(|obstacle| format!(": {obstacle}")).unwrap_or_default();
        return Err(cannot(format!("cannot be executed by {}{why}", work.user())));
    }
    let mut command = work.engine_command(program, &[]);
    command.arg("--version");
    let (status, stdout, stderr) = child::ask(command, &program.display().to_string(), work.interrupt)
        .map_err(|halt| match halt {
            // Time mends a lack of processes, memory or descriptors.
            Halt::Trouble(trouble) if !trouble.passing => cannot(format!("cannot be run: {}", trouble.cause)),
            other => other,
        })?;
    match flavor::parse_version(&stdout) {
        Some(major) if status.success() => Ok(major),
        _ => Err(cannot(format!("--version ended with {}: {stdout} {stderr}", child::describe(status)))),
    }
}
