//! The engine's user by PolarDB Stack's rule: its uid follows from the number of the instance (`logic_ins_id`), so that
//! all containers of a pod, and their nodes, have the same one. The line of the passwd file is edited; the user is not
//! made anew, and no file changes its owner.

mod passwd;

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, fcntl_lock};

use super::cause::Cause;
use crate::engine::conf::Candidate;
pub use passwd::uid_of;

/// The passwd file.
pub const PASSWD: &str = "/etc/passwd";
/// What whoever edits the file holds meanwhile, beside it (`lckpwdf(3)`, useradd, usermod).
const LOCK: &str = ".pwd.lock";
/// As `lckpwdf(3)` has it.
const PATIENCE: Duration = Duration::from_secs(15);
/// Between two looks at a lock that another one holds.
const AGAIN: Duration = Duration::from_millis(20);

/// The change that is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineUser {
    /// The user's name.
    pub name: String,
    /// The uid that it is to have.
    pub uid: u32,
    /// The passwd file.
    pub passwd: PathBuf,
    /// The data directory that no process of the old uid may be serving.
    pub data_dir: PathBuf,
}

/// What was found, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed {
    /// The uid before.
    pub before: u32,
    /// What people should know.
    pub notes: Vec<String>,
}

impl EngineUser {
    /// Gives the user its uid, in the passwd file alone; with `dry_run` only finds out whether it could be done.
    ///
    /// # Errors
    /// There is no such user, the uid is another's, a process of the old uid works in the data directory, or the file
    /// cannot be written; it is as it was then.
    pub fn set(&self, dry_run: bool) -> Result<Changed, Cause> {
        let _lock = if dry_run { None } else { self.lock()? };
        let text = fs::read(&self.passwd).map_err(|error| self.of_file(error))?;
        let odd = |odd: passwd::Odd| {
            let next = "make the user in the image (useradd postgres), or give the instance another number";
            Cause::invalid("bad_passwd", format!("{}: {odd}", self.passwd.display()), next)
        };
        let before = passwd::uid(&text, &self.name).map_err(odd)?;
        let Some(changed) = passwd::with_uid(&text, &self.name, self.uid).map_err(odd)? else {
            return Ok(Changed { before, notes: Vec::new() });
        };
        if let Some(pid) = working_in(&self.data_dir, before) {
            let what = format!(
                "process {pid} of uid {before}, which user {} has, works in {}",
                self.name,
                self.data_dir.display()
            );
            return Err(Cause::invalid("in_use", what, "stop the engine first: polarctl lock"));
        }
        if !dry_run {
            let candidate =
                Candidate::write(&self.passwd, &changed, "polarctl").map_err(|error| self.of_file(error))?;
            candidate
                .keep_owner()
                .and_then(|()| candidate.put_in_place())
                .map_err(|error| self.of_file(error))?;
        }
        Ok(Changed { before, notes: self.notes() })
    }

    /// Data of another uid are not given away here: a tree may be large, and may be another instance's.
    fn notes(&self) -> Vec<String> {
        let Ok(meta) = fs::metadata(&self.data_dir) else { return Vec::new() };
        if [0, self.uid].contains(&meta.uid()) || !self.data_dir.join("PG_VERSION").exists() {
            return Vec::new();
        }
        vec![format!(
            "{} belongs to uid {}, and no file was given to uid {}: with the engine stopped, chown -R {} {0}",
            self.data_dir.display(),
            meta.uid(),
            self.uid,
            self.name,
        )]
    }

    /// Keeps other editors of the file out until the end of the value.
    fn lock(&self) -> Result<Option<File>, Cause> {
        let path = self.passwd.with_file_name(LOCK);
        let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
        let file = file.map_err(|error| Cause::of_file(&path, error))?;
        let begin = Instant::now();
        loop {
            match fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(Some(file)),
                Err(rustix::io::Errno::AGAIN | rustix::io::Errno::ACCESS) if begin.elapsed() < PATIENCE => {
                    std::thread::sleep(AGAIN);
                }
                Err(rustix::io::Errno::AGAIN | rustix::io::Errno::ACCESS) => {
                    let who = format!("somebody holds {}", path.display());
                    return Err(Cause::Busy { who, within: PATIENCE });
                }
                // A file system without locks keeps nobody out.
                Err(_) => return Ok(None),
            }
        }
    }

    fn of_file(&self, error: std::io::Error) -> Cause {
        Cause::of_file(&self.passwd, error)
    }
}

/// A process of this user whose working directory is this one, as a database server's is its data directory.
fn working_in(data_dir: &Path, uid: u32) -> Option<i32> {
    let wanted = fs::metadata(data_dir).ok()?;
    let entries = fs::read_dir("/proc").ok()?.flatten();
    let mut pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.find(|pid| {
        let folder = PathBuf::from(format!("/proc/{pid}"));
        fs::metadata(&folder).is_ok_and(|meta| meta.uid() == uid)
            && fs::metadata(folder.join("cwd"))
                .is_ok_and(|meta| (meta.dev(), meta.ino()) == (wanted.dev(), wanted.ino()))
    })
}
