//! `manager.log`: one line an operation, written by many processes at once.
//!
//! | module | what it does |
//! |---|---|
//! | `line` | what a line holds, with nothing in it that would make a second one |
//! | `file` | appending to a file that turns over by size, without a lost or torn line |

mod file;
mod line;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use file::Appender;
pub use line::{Level, Line};

/// Name of the file in the folder of log files.
pub const NAME: &str = "manager.log";
/// When it turns over, in bytes: the predecessor's `manager.log` does so at 10 MiB, which collectors rely on.
pub const SIZE: u64 = 10 << 20;
/// How many full ones are kept, `manager.log.1` being the youngest: the predecessor's number.
pub const KEEP: u32 = 15;
/// How long other processes may hold it: they write a line each, and one that was stopped (SIGSTOP) while it held the
/// lock must not stop the operations of all.
const PATIENCE: Duration = Duration::from_secs(2);

/// The log of a folder.
#[derive(Debug)]
pub struct Log {
    appender: Appender,
}

impl Log {
    /// `manager.log` in this folder.
    #[must_use]
    pub fn new(folder: &Path) -> Self {
        Log { appender: Appender::new(folder.join(NAME), SIZE, KEEP, PATIENCE) }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.appender.path().to_owned()
    }

    /// Adds a line.
    ///
    /// # Errors
    /// It was not added; nothing of it is in the file.
    pub fn add(&mut self, line: &Line<'_>) -> io::Result<()> {
        self.appender.append(&line.text())
    }
}
