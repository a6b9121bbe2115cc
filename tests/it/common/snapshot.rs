//! What is on disk, to show that nothing changed.

use std::collections::BTreeMap;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A directory tree: name → type and mode, owner, group, size, modification time and a hash of the content (or the
/// target of a link). Folders have no size and no time here: a lock file that comes and goes is no change. PID 1's own
/// socket and its journal are no change either.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot(pub BTreeMap<PathBuf, String>);

/// What PID 1 makes wherever it runs.
const OWN: [&str; 2] = ["supervisor.sock", "events.jsonl"];

impl Snapshot {
    /// Reads `root` and all below it.
    pub fn of(root: &Path) -> Self {
        let mut entries = BTreeMap::new();
        walk(root, Path::new("."), &mut entries);
        Self(entries)
    }

    /// The names, relative to the root; `.` is the root itself.
    pub fn names(&self) -> Vec<&str> {
        self.0.keys().filter_map(|path| path.to_str()).collect()
    }

    /// Panics with the difference unless the tree is as it was.
    pub fn assert_same(&self, root: &Path) {
        let after = Self::of(root);
        let lost: Vec<_> = self.0.iter().filter(|(name, entry)| after.0.get(*name) != Some(entry)).collect();
        let found: Vec<_> = after.0.iter().filter(|(name, entry)| self.0.get(*name) != Some(entry)).collect();
        assert!(lost.is_empty() && found.is_empty(), "changed on disk: before {lost:#?}, after {found:#?}");
    }
}

fn walk(root: &Path, relative: &Path, entries: &mut BTreeMap<PathBuf, String>) {
    let path = root.join(relative);
    let meta = fs::symlink_metadata(&path).unwrap_or_else(|error| panic!("stat {}: {error}", path.display()));
    let detail = if meta.is_symlink() {
        format!("-> {}", fs::read_link(&path).expect("read a link").display())
    } else if meta.is_file() {
        let mut hasher = DefaultHasher::new();
        fs::read(&path).expect("read a file").hash(&mut hasher);
        format!("{} bytes, {}.{}, {:x}", meta.size(), meta.mtime(), meta.mtime_nsec(), hasher.finish())
    } else {
        String::new()
    };
    entries.insert(relative.to_owned(), format!("{:o} {}:{} {detail}", meta.mode(), meta.uid(), meta.gid()));
    if meta.is_dir() {
        let found = fs::read_dir(&path).expect("read a folder").flatten();
        for entry in found.filter(|entry| !OWN.iter().any(|own| entry.file_name() == *own)) {
            walk(root, &relative.join(entry.file_name()), entries);
        }
    }
}
