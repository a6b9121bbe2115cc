//! What the thread that reads hands to the thread that writes.

use std::collections::{BTreeMap, VecDeque};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, eventfd};

use crate::config::OutputFile;

/// How much is read and written at once, in bytes.
pub(super) const CHUNK: usize = 256 * 1024;
/// How much of one file may wait, in bytes.
const WAITS: usize = 2 * 1024 * 1024;
/// How much of all files may wait, in bytes.
const ALL_WAIT: usize = 16 * 1024 * 1024;
/// How many empty buffers are kept.
const SPARE: usize = 8;
/// A disk that takes longer for a write stands still: what comes meanwhile is dropped.
const PATIENCE: Duration = Duration::from_secs(1);
/// How soon a file that took nothing is tried again.
const AGAIN: Duration = Duration::from_millis(500);

/// What both threads share.
#[derive(Debug)]
pub(super) struct Queue {
    state: Mutex<State>,
    work: Condvar,
    quiet: Condvar,
    /// Written to when there is room again.
    pub(super) room: OwnedFd,
}

#[derive(Debug, Default)]
struct State {
    files: BTreeMap<u64, Waiting>,
    spare: Vec<Vec<u8>>,
    waiting: usize,
    /// Since when the disk works at one write.
    writing: Option<Instant>,
    /// The file that had its turn last.
    last: u64,
    /// Whether the reading thread wants to know of room.
    wants_room: bool,
    ending: bool,
}

/// What waits for one file.
#[derive(Debug)]
struct Waiting {
    to: Arc<OutputFile>,
    chunks: VecDeque<Vec<u8>>,
    bytes: usize,
    /// How much of the first chunk has been written.
    offset: usize,
    /// Lines dropped after the last chunk, of which the file does not tell yet.
    dropped: u64,
    /// Whether the last chunk ends within a line.
    mid_line: bool,
    /// When it failed last it is to be tried again then.
    again: Option<Instant>,
    /// It is to be closed and opened.
    reopen: bool,
    /// Nothing will come any more: it may be closed.
    unused: bool,
}

/// A piece of work for the thread that writes.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) file: u64,
    pub(super) to: Arc<OutputFile>,
    pub(super) chunk: Vec<u8>,
    pub(super) offset: usize,
    pub(super) reopen: bool,
    pub(super) close: bool,
}

/// What became of lines that were handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Room {
    /// There is room.
    Yes,
    /// Not at the moment; the disk works.
    Soon,
    /// No, and the disk takes nothing.
    No,
}

impl Queue {
    /// An empty one.
    ///
    /// # Errors
    /// No descriptor left.
    pub(super) fn new() -> std::io::Result<Self> {
        Ok(Queue {
            state: Mutex::default(),
            work: Condvar::new(),
            quiet: Condvar::new(),
            room: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?,
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something will be written into this file.
    pub(super) fn file(&self, file: u64, to: OutputFile) {
        let mut state = self.lock();
        let to = Arc::new(to);
        match state.files.get_mut(&file) {
            Some(waiting) => (waiting.to, waiting.unused) = (to, false),
            None => {
                let new = Waiting {
                    to,
                    chunks: VecDeque::new(),
                    bytes: 0,
                    offset: 0,
                    dropped: 0,
                    mid_line: false,
                    again: None,
                    reopen: false,
                    unused: false,
                };
                state.files.insert(file, new);
            }
        }
    }

    /// Nothing will be written into this file any more.
    pub(super) fn done_with(&self, file: u64) {
        if let Some(waiting) = self.lock().files.get_mut(&file) {
            waiting.unused = true;
        }
        self.work.notify_one();
    }

    /// All files are closed and opened.
    pub(super) fn reopen(&self) {
        for waiting in self.lock().files.values_mut() {
            (waiting.reopen, waiting.again) = (true, None);
        }
        self.work.notify_one();
    }

    /// Whether a file has room for another chunk.
    pub(super) fn room(&self, file: u64) -> Room {
        let mut state = self.lock();
        let Some(waiting) = state.files.get(&file) else { return Room::No };
        if waiting.bytes < WAITS && state.waiting < ALL_WAIT {
            return Room::Yes;
        }
        let stands = state.writing.is_some_and(|since| since.elapsed() > PATIENCE);
        if waiting.again.is_some() || stands {
            return Room::No;
        }
        state.wants_room = true;
        Room::Soon
    }

    /// An empty buffer.
    pub(super) fn buffer(&self) -> Vec<u8> {
        self.lock().spare.pop().unwrap_or_else(|| Vec::with_capacity(CHUNK))
    }

    /// Takes a buffer back.
    pub(super) fn give_back(&self, buffer: Vec<u8>) {
        self.lock().give_back(buffer);
    }

    /// Hands over lines, for which there is room.
    pub(super) fn put(&self, file: u64, chunk: Vec<u8>) {
        let mut guard = self.lock();
        let state = &mut *guard;
        let Some(waiting) = state.files.get_mut(&file) else { return };
        if let Some(notice) = waiting.notice() {
            waiting.bytes += notice.len();
            state.waiting += notice.len();
            waiting.chunks.push_back(notice);
        }
        waiting.mid_line = !chunk.ends_with(b"\n");
        waiting.bytes += chunk.len();
        state.waiting += chunk.len();
        // Small ones together; the first may be being written.
        let last = waiting.chunks.back_mut().filter(|last| last.capacity() - last.len() >= chunk.len());
        match last {
            Some(last) => {
                last.extend_from_slice(&chunk);
                state.give_back(chunk);
            }
            None => waiting.chunks.push_back(chunk),
        }
        drop(guard);
        self.work.notify_one();
    }

    /// Lines of this file were dropped; the file will tell.
    pub(super) fn dropped(&self, file: u64, lines: u64) {
        if let Some(waiting) = self.lock().files.get_mut(&file) {
            waiting.dropped += lines;
        }
    }

    /// Waits for work; `None`: it is the end.
    pub(super) fn take(&self) -> Option<Job> {
        let mut state = self.lock();
        loop {
            if let Some(job) = state.job() {
                state.writing = Some(Instant::now());
                return Some(job);
            }
            self.quiet.notify_all();
            if state.ending {
                return None;
            }
            // A clock is needed only where one failed.
            state = match state.files.values().filter_map(|waiting| waiting.again).min() {
                None => self.work.wait(state).unwrap_or_else(PoisonError::into_inner),
                Some(at) => {
                    let longest = at.saturating_duration_since(Instant::now()) + Duration::from_millis(1);
                    self.work.wait_timeout(state, longest).unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }

    /// A job was done up to here; or it failed there.
    pub(super) fn done(&self, job: Job, offset: usize, failed: bool) {
        let mut guard = self.lock();
        let state = &mut *guard;
        state.writing = None;
        if let Some(waiting) = state.files.get_mut(&job.file) {
            waiting.again = failed.then(|| Instant::now() + AGAIN);
            waiting.reopen |= failed && job.reopen;
            if offset < job.chunk.len() {
                waiting.offset = offset;
                waiting.chunks.push_front(job.chunk);
            } else if !job.chunk.is_empty() {
                waiting.bytes -= job.chunk.len();
                state.waiting -= job.chunk.len();
                waiting.offset = 0;
                state.give_back(job.chunk);
            }
        }
        // Unless it is used again.
        if job.close && state.files.get(&job.file).is_some_and(|waiting| waiting.unused) {
            state.files.remove(&job.file);
        }
        if std::mem::take(&mut state.wants_room) {
            let _ = rustix::io::write(&self.room, &1_u64.to_ne_bytes());
        }
    }

    /// The end: waits until all is written that can be.
    pub(super) fn end(&self, longest: Duration) {
        let mut state = self.lock();
        state.ending = true;
        self.work.notify_one();
        let until = Instant::now() + longest;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if (state.writing.is_none() && !state.has_work()) || left.is_zero() {
                return;
            }
            state = self.quiet.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Whether nothing waits, and nothing is used. What is done next is told as room is.
    pub(super) fn idle(&self) -> bool {
        let mut state = self.lock();
        let idle = state.writing.is_none() && state.waiting == 0;
        state.wants_room |= !idle;
        idle
    }
}

impl State {
    fn give_back(&mut self, mut buffer: Vec<u8>) {
        // A notice has a buffer of its own size.
        if self.spare.len() < SPARE && buffer.capacity() >= CHUNK {
            buffer.clear();
            self.spare.push(buffer);
        }
    }

    fn has_work(&self) -> bool {
        let mut files = self.files.values();
        files.any(|waiting| {
            waiting.again.is_none() && (waiting.reopen || waiting.dropped > 0 || !waiting.chunks.is_empty())
        })
    }

    /// The next file after the last one that has something to do.
    fn job(&mut self) -> Option<Job> {
        let now = Instant::now();
        let ready = |waiting: &Waiting| {
            // At the end a file that failed is not waited for.
            waiting.again.is_none_or(|again| again <= now && !self.ending)
                && (waiting.reopen || waiting.unused || waiting.dropped > 0 || !waiting.chunks.is_empty())
        };
        let after = self.files.range(self.last + 1..).find(|(_, waiting)| ready(waiting));
        let file = *after.or_else(|| self.files.iter().find(|(_, waiting)| ready(waiting)))?.0;
        let waiting = self.files.get_mut(&file)?;
        self.last = file;
        let chunk = waiting.chunks.pop_front().unwrap_or_else(|| {
            let notice = waiting.notice().unwrap_or_default();
            waiting.bytes += notice.len();
            self.waiting += notice.len();
            notice
        });
        Some(Job {
            file,
            to: Arc::clone(&waiting.to),
            close: waiting.unused && waiting.chunks.is_empty() && chunk.is_empty(),
            chunk,
            offset: waiting.offset,
            reopen: std::mem::take(&mut waiting.reopen),
        })
    }
}

impl Waiting {
    /// What the file is told of the lines that it lacks.
    fn notice(&mut self) -> Option<Vec<u8>> {
        let lines = std::mem::take(&mut self.dropped);
        if lines == 0 {
            return None;
        }
        let begin = if std::mem::take(&mut self.mid_line) { "\n" } else { "" };
        let text = format!(
            "{begin}polar-supervisor: {lines} lines were dropped here: the file could not take them\n"
        );
        Some(text.into_bytes())
    }
}
