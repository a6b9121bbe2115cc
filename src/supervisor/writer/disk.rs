//! The thread that writes: the only one that a disk may hold.

use std::collections::BTreeMap;

use super::log::Log;
use super::queue::{Job, Queue};

/// Writes what is handed over until the end; `tell` gets what a person should know: `true` for a trouble, `false` for
/// its end.
pub(super) fn write_all(queue: &Queue, tell: impl Fn(bool, String)) {
    let mut files: BTreeMap<u64, File> = BTreeMap::new();
    while let Some(job) = queue.take() {
        if job.close {
            files.remove(&job.file);
            queue.done(job, 0, false);
            continue;
        }
        let file = files.entry(job.file).or_default();
        let (done, failed) = file.write(&job, &tell);
        let offset = job.offset + done;
        queue.done(job, offset, failed);
    }
}

#[derive(Default)]
struct File {
    log: Log,
    /// What was said of the trouble that it is in.
    trouble: Option<String>,
}

impl File {
    fn write(&mut self, job: &Job, tell: &impl Fn(bool, String)) -> (usize, bool) {
        if job.reopen {
            self.log.close();
        }
        let rest = job.chunk.get(job.offset..).unwrap_or_default();
        let (done, result) = if rest.is_empty() {
            (0, self.log.open(&job.to, false))
        } else {
            let before = job.offset.checked_sub(1).and_then(|at| job.chunk.get(at));
            self.log.append(&job.to, rest, before.is_some_and(|&byte| byte != b'\n'))
        };
        let file = job.to.file.display();
        match result {
            Ok(()) => {
                if self.trouble.take().is_some() {
                    tell(false, format!("output is written to {file} again"));
                }
                (done, false)
            }
            Err(error) => {
                let error = error.to_string();
                // Said once, however often it is tried.
                if self.trouble.as_deref() != Some(error.as_str()) {
                    tell(
                        true,
                        format!(
                            "output cannot be written to {file}: {error}; what does not fit into memory is dropped"
                        ),
                    );
                    self.trouble = Some(error);
                }
                (done, true)
            }
        }
    }
}
