//! The board: a file that every process of an instance maps and notes moments on (c/board.h), and that the bench reads.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// PID 1 is about to become the init.
    Exec = 1,
    /// A program's first instruction.
    First = 2,
    /// A program was asked to end.
    Term = 3,
}

const HEAD: usize = 64;
const ENTRY: usize = 16;
const PLACES: usize = 8192;

/// Nanoseconds of the monotonic clock, the same in every process.
pub fn now() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    u64::try_from(time.tv_sec).unwrap() * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap()
}

/// Counters at the head of the board, in their order.
#[derive(Debug, Clone, Copy)]
pub struct Head {
    pub entries: u64,
    pub born: u64,
    pub ended: u64,
    pub last: u64,
    pub sent: u64,
    pub flooded: u64,
}

/// One instance's board.
#[derive(Debug)]
pub struct Board {
    pub path: PathBuf,
    file: File,
}

impl Board {
    pub fn new(folder: &Path) -> Self {
        let path = folder.join("board");
        let file = File::options().read(true).write(true).create_new(true).open(&path).unwrap();
        file.set_len((HEAD + ENTRY * PLACES) as u64).unwrap();
        // Engines run as another user.
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o666);
        std::fs::set_permissions(&path, mode).unwrap();
        Self { path, file }
    }

    pub fn head(&self) -> Head {
        let mut bytes = [0; HEAD];
        self.file.read_exact_at(&mut bytes, 0).unwrap();
        let word = |index: usize| u64::from_ne_bytes(bytes[index * 8..index * 8 + 8].try_into().unwrap());
        Head {
            entries: word(0),
            born: word(1),
            ended: word(2),
            last: word(3),
            sent: word(5),
            flooded: word(6),
        }
    }

    /// Lets orphans and floods begin.
    pub fn go(&self) {
        self.file.write_all_at(&1_u64.to_ne_bytes(), 32).unwrap();
    }

    /// The moments of this kind, in the order in which they were noted.
    pub fn moments(&self, kind: Kind) -> Vec<u64> {
        let count = usize::try_from(self.head().entries).unwrap().min(PLACES);
        let mut bytes = vec![0; count * ENTRY];
        self.file.read_exact_at(&mut bytes, HEAD as u64).unwrap();
        let entries = bytes.chunks_exact(ENTRY);
        entries
            .filter(|entry| u32::from_ne_bytes(entry[8..12].try_into().unwrap()) == kind as u32)
            .map(|entry| u64::from_ne_bytes(entry[..8].try_into().unwrap()))
            .collect()
    }

    /// The moments of a kind once there are `count` of them.
    pub fn at_least(&self, kind: Kind, count: usize) -> Option<Vec<u64>> {
        // Most looks cost one short read only.
        let noted = usize::try_from(self.head().entries).unwrap() >= count;
        noted.then(|| self.moments(kind)).filter(|moments| moments.len() >= count)
    }
}
