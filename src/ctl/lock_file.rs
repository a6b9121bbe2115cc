//! The lock file: read without trust in what is there, made and removed as the user whose folder it lies in.
//!
//! Its existence is the lock. Its content is for people: one JSON object `{kind, reason, owner, since, until}`, all of
//! them optional.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, RenameFlags};

use crate::control::protocol::Lock;
use crate::manager::{random, user};

/// So much of a lock file is read: anybody may have written it.
const CONTENT_MAX: u64 = 64 * 1024;
/// So much of one of its words is shown.
const WORD_MAX: usize = 500;
/// Begins the name of a lock file that is not complete.
const UNFINISHED: &str = "ins_lock.unfinished.";
/// One lives for milliseconds: an older one was left by a process that was killed.
const LEFT: Duration = Duration::from_secs(600);

/// What is at the lock file's place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Found {
    /// Nothing.
    Absent,
    /// A lock; without words it has `None` in all but `file`.
    Present(Lock),
}

/// What came of making or removing one.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Done {
    /// It was done.
    Yes,
    /// Somebody else's lock is in the way.
    Theirs(Lock),
    /// There is nothing to remove.
    Nothing,
}

/// The folder that a lock file lies in.
struct Folder {
    fd: OwnedFd,
    name: OsString,
    path: PathBuf,
}

impl Folder {
    /// Does something in the folder of a lock file, with the rights of the folder's owner.
    fn within<T>(path: &Path, act: impl FnOnce(&Folder) -> io::Result<T>) -> io::Result<T> {
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(io::Error::new(ErrorKind::InvalidInput, "this is no path of a file"));
        };
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        let meta = rustix::fs::stat(folder)?;
        user::acting_as((meta.st_uid, meta.st_gid), || {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let fd = rustix::fs::open(folder, flags, Mode::empty())?;
            act(&Folder { fd, name: name.to_owned(), path: path.to_owned() })
        })?
    }

    /// Nothing there is followed, waited for, or read without limit.
    fn look(&self) -> io::Result<Found> {
        let meta = match rustix::fs::statat(&self.fd, &self.name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(rustix::io::Errno::NOENT) => return Ok(Found::Absent),
            meta => meta?,
        };
        let bare = Lock { file: self.path.display().to_string(), ..Lock::default() };
        if FileType::from_raw_mode(meta.st_mode) != FileType::RegularFile {
            return Ok(Found::Present(bare));
        }
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let mut bytes = Vec::new();
        match rustix::fs::openat(&self.fd, &self.name, flags, Mode::empty()) {
            Ok(fd) => {
                let _ = File::from(fd).take(CONTENT_MAX).read_to_end(&mut bytes);
            }
            // Removed meanwhile.
            Err(rustix::io::Errno::NOENT) => return Ok(Found::Absent),
            // What cannot be read is a lock all the same.
            Err(_) => {}
        }
        Ok(Found::Present(words(&bytes, bare)))
    }

    /// Moves a file with this content to the lock's name; `false`: something has that name, and `replace` is not said.
    fn put(&self, content: &[u8], replace: bool) -> io::Result<bool> {
        self.sweep();
        // A name that no first boot takes for somebody's data, should we be killed before the end; no process id, for another
        // container has the same ones.
        let tag = u64::from_ne_bytes(random::bytes()?);
        let unfinished = format!("{UNFINISHED}{tag:016x}");
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(&self.fd, &unfinished, flags, Mode::from_raw_mode(0o644))?;
        let mut file = File::from(fd);
        let put = file.write_all(content).and_then(|()| file.sync_all()).and_then(|()| {
            if replace {
                rustix::fs::renameat(&self.fd, &unfinished, &self.fd, &self.name)?;
                return Ok(true);
            }
            self.name_it(&unfinished)
        });
        if !matches!(put, Ok(true)) {
            let _ = rustix::fs::unlinkat(&self.fd, &unfinished, AtFlags::empty());
        }
        let put = put?;
        rustix::fs::fsync(&self.fd)?;
        Ok(put)
    }

    /// Removes what processes that were killed have left.
    fn sweep(&self) {
        for entry in
            self.path.parent().and_then(|folder| folder.read_dir().ok()).into_iter().flatten().flatten()
        {
            let old = || entry.metadata().and_then(|meta| meta.modified()).ok()?.elapsed().ok();
            let ours = entry.file_name().to_string_lossy().starts_with(UNFINISHED);
            if ours && old().is_some_and(|age| age > LEFT) {
                let _ = rustix::fs::unlinkat(&self.fd, entry.file_name(), AtFlags::empty());
            }
        }
    }

    /// Gives the lock's name, unless something has it.
    fn name_it(&self, unfinished: &str) -> io::Result<bool> {
        use rustix::io::Errno;
        let renamed =
            rustix::fs::renameat_with(&self.fd, unfinished, &self.fd, &self.name, RenameFlags::NOREPLACE);
        let result = match renamed {
            // A file system that cannot do that has hard links.
            Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {
                rustix::fs::linkat(&self.fd, unfinished, &self.fd, &self.name, AtFlags::empty())
                    .and_then(|()| rustix::fs::unlinkat(&self.fd, unfinished, AtFlags::empty()))
            }
            renamed => renamed,
        };
        match result {
            Ok(()) => Ok(true),
            Err(Errno::EXIST) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

/// The words of a lock file's content, as far as it has any; garbage has none.
fn words(bytes: &[u8], bare: Lock) -> Lock {
    let Ok(serde_json::Value::Object(object)) = serde_json::from_slice(bytes) else { return bare };
    let word = |name: &str| {
        let text = object.get(name)?.as_str()?;
        Some(text.chars().take(WORD_MAX).collect::<String>())
    };
    Lock {
        kind: word("kind"),
        reason: word("reason"),
        owner: word("owner"),
        since: word("since"),
        until: word("until"),
        ..bare
    }
}

/// What is at a lock file's place.
///
/// # Errors
/// It cannot be looked at.
pub(crate) fn look(path: &Path) -> io::Result<Found> {
    // Looking needs no right to read the folder.
    match Folder::within(path, Folder::look) {
        Ok(found) => Ok(found),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Found::Absent),
        Err(error) => match std::fs::symlink_metadata(path) {
            Ok(_) => Ok(Found::Present(Lock { file: path.display().to_string(), ..Lock::default() })),
            Err(_) => Err(error),
        },
    }
}

/// Fills in the words of a lock that the supervisor reports, where its file is in reach.
pub(crate) fn fill_in(lock: &mut Lock) {
    if let Ok(Found::Present(found)) = look(Path::new(&lock.file)) {
        *lock = found;
    }
}

/// Makes a lock with these words. One of the same owner and kind is replaced, another one only by `force`.
///
/// # Errors
/// It could not be made.
pub(crate) fn make(path: &Path, lock: &Lock, force: bool) -> io::Result<Done> {
    let mut object = serde_json::Map::new();
    for (name, word) in [
        ("kind", &lock.kind),
        ("reason", &lock.reason),
        ("owner", &lock.owner),
        ("since", &lock.since),
        ("until", &lock.until),
    ] {
        if let Some(word) = word {
            object.insert(name.to_owned(), word.clone().into());
        }
    }
    let mut content = serde_json::Value::Object(object).to_string().into_bytes();
    content.push(b'\n');
    Folder::within(path, |folder| match folder.look()? {
        // A folder of that name is nothing that a file could take the place of.
        Found::Present(there) if force || is_same(&there, lock) => {
            folder.put(&content, true).map(|_| Done::Yes)
        }
        Found::Present(there) => Ok(Done::Theirs(there)),
        Found::Absent if folder.put(&content, false)? => Ok(Done::Yes),
        // Somebody was faster, who may have asked for the same.
        Found::Absent => match folder.look()? {
            Found::Present(there) if is_same(&there, lock) => Ok(Done::Yes),
            Found::Present(there) => Ok(Done::Theirs(there)),
            Found::Absent => Err(io::Error::other("a lock came and went meanwhile; try again")),
        },
    })
}

/// Whether a lock is of the kind and owner of one of ours, which may take its place.
pub(crate) fn is_same(there: &Lock, ours: &Lock) -> bool {
    there.kind.is_some() && there.owner.is_some() && (&there.kind, &there.owner) == (&ours.kind, &ours.owner)
}

/// Removes a lock of this kind that is not said to be another owner's; another one only by `force`.
///
/// # Errors
/// It could not be removed.
pub(crate) fn remove(path: &Path, owner: &str, kind: &str, force: bool) -> io::Result<Done> {
    Folder::within(path, |folder| {
        let there = match folder.look()? {
            Found::Absent => return Ok(Done::Nothing),
            Found::Present(there) => there,
        };
        if !force && !is_ours(&there, owner, kind) {
            return Ok(Done::Theirs(there));
        }
        match rustix::fs::unlinkat(&folder.fd, &folder.name, AtFlags::empty()) {
            // Somebody was faster.
            Err(rustix::io::Errno::NOENT) => return Ok(Done::Nothing),
            removed => removed?,
        }
        rustix::fs::fsync(&folder.fd)?;
        Ok(Done::Yes)
    })
}

/// Whether a lock is of this kind and not said to be another owner's.
pub(crate) fn is_ours(there: &Lock, owner: &str, kind: &str) -> bool {
    there.kind.as_deref() == Some(kind) && there.owner.as_deref().is_none_or(|other| other == owner)
}

/// A lock in words: `kind maintenance, by root since ... until ...: why`.
pub(crate) fn in_words(lock: &Lock) -> String {
    let mut text = match (&lock.kind, &lock.owner) {
        (None, None) => "with no word of who made it".to_owned(),
        (Some(kind), None) => format!("kind {kind}"),
        (None, Some(owner)) => format!("by {owner}"),
        (Some(kind), Some(owner)) => format!("kind {kind}, by {owner}"),
    };
    for (word, at) in [("since", &lock.since), ("until", &lock.until)] {
        if let Some(at) = at {
            text.push_str(&format!(", {word} {at}"));
        }
    }
    if let Some(reason) = &lock.reason {
        text.push_str(&format!(": {reason}"));
    }
    super::screen::harmless(&text)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    use super::*;

    fn ours(reason: &str) -> Lock {
        let word = |text: &str| Some(text.to_owned());
        Lock { kind: word("maintenance"), owner: word("root"), reason: word(reason), ..Lock::default() }
    }

    fn present(path: &Path) -> Lock {
        match look(path).unwrap() {
            Found::Present(lock) => lock,
            Found::Absent => panic!("no lock"),
        }
    }

    #[test]
    fn made_once_and_replaced_by_its_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ins_lock");
        assert_eq!(look(&path).unwrap(), Found::Absent);
        assert_eq!(make(&path, &ours("one"), false).unwrap(), Done::Yes);
        assert_eq!(present(&path), Lock { file: path.display().to_string(), ..ours("one") });
        assert_eq!(make(&path, &ours("two"), false).unwrap(), Done::Yes);
        assert_eq!(present(&path).reason.as_deref(), Some("two"));
        let expired = Lock { kind: Some("expired".into()), ..ours("three") };
        assert!(
            matches!(make(&path, &expired, false).unwrap(), Done::Theirs(there) if there.reason == Some("two".into()))
        );
        assert_eq!(make(&path, &expired, true).unwrap(), Done::Yes);
        assert_eq!(present(&path).kind.as_deref(), Some("expired"));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left beside it");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o644);
    }

    #[test]
    fn removed_by_its_owner_of_its_kind_or_by_force() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ins_lock");
        assert_eq!(remove(&path, "root", "maintenance", false).unwrap(), Done::Nothing);
        make(&path, &ours("why"), false).unwrap();
        for (owner, kind) in [("postgres", "maintenance"), ("root", "expired"), ("postgres", "expired")] {
            assert!(matches!(remove(&path, owner, kind, false).unwrap(), Done::Theirs(_)), "{owner} {kind}");
        }
        assert_eq!(remove(&path, "root", "maintenance", false).unwrap(), Done::Yes);
        make(&path, &ours("why"), false).unwrap();
        assert_eq!(remove(&path, "postgres", "expired", true).unwrap(), Done::Yes);
        fs::write(&path, "{\"kind\": \"expired\"}").unwrap();
        assert!(matches!(remove(&path, "root", "maintenance", false).unwrap(), Done::Theirs(_)));
        assert_eq!(remove(&path, "root", "expired", false).unwrap(), Done::Yes);
        assert_eq!(look(&path).unwrap(), Found::Absent);
    }

    #[test]
    fn one_that_was_touched_is_respected() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ins_lock");
        fs::write(&path, "").unwrap();
        assert_eq!(in_words(&present(&path)), "with no word of who made it");
        assert!(matches!(make(&path, &ours("why"), false).unwrap(), Done::Theirs(_)));
        assert!(matches!(remove(&path, "root", "maintenance", false).unwrap(), Done::Theirs(_)));
        assert_eq!(fs::read(&path).unwrap(), b"");
        assert_eq!(remove(&path, "root", "maintenance", true).unwrap(), Done::Yes);
    }

    #[test]
    fn garbage_links_and_pipes_lock_and_are_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ins_lock");
        for content in ["\0\u{1b}[2J", "[]", "{\"kind\": 7, \"reason\": null}", &"{".repeat(200_000)] {
            fs::write(&path, content).unwrap();
            assert_eq!(present(&path), Lock { file: path.display().to_string(), ..Lock::default() });
        }
        fs::write(&path, format!("{{\"reason\": \"a\\u001b[2J{}\"}}", "x".repeat(2000))).unwrap();
        let lock = present(&path);
        assert_eq!(lock.reason.as_ref().map(String::len), Some(WORD_MAX));
        assert!(!in_words(&lock).contains('\u{1b}'));
        fs::remove_file(&path).unwrap();

        let secret = dir.path().join("secret");
        fs::write(&secret, "{\"reason\": \"secret\"}").unwrap();
        symlink(&secret, &path).unwrap();
        assert_eq!(present(&path).reason, None);
        assert!(matches!(make(&path, &ours("why"), false).unwrap(), Done::Theirs(_)));
        // By force the link is replaced, and what it led to is as it was.
        assert_eq!(make(&path, &ours("why"), true).unwrap(), Done::Yes);
        assert_eq!(fs::read_to_string(&secret).unwrap(), "{\"reason\": \"secret\"}");
        assert!(fs::symlink_metadata(&path).unwrap().is_file());
        fs::remove_file(&path).unwrap();

        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::from_bits_truncate(0o644)).unwrap();
        assert_eq!(present(&path).kind, None);
        assert_eq!(remove(&path, "root", "maintenance", true).unwrap(), Done::Yes);
    }

    #[test]
    fn what_killed_ones_have_left_goes_and_what_others_write_stays() {
        let dir = tempfile::tempdir().unwrap();
        let (old, young) =
            (dir.path().join(format!("{UNFINISHED}1")), dir.path().join(format!("{UNFINISHED}2")));
        fs::write(&young, "").unwrap();
        let file = File::create(&old).unwrap();
        file.set_modified(std::time::SystemTime::now() - 2 * LEFT).unwrap();
        make(&dir.path().join("ins_lock"), &ours("why"), false).unwrap();
        assert_eq!((old.exists(), young.exists()), (false, true));
    }

    #[test]
    fn made_as_the_owner_of_its_folder() {
        if !nix::unistd::geteuid().is_root() {
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        std::os::unix::fs::chown(dir.path(), Some(12_345), Some(23_456)).unwrap();
        let path = dir.path().join("ins_lock");
        assert_eq!(make(&path, &ours("why"), false).unwrap(), Done::Yes);
        let meta = fs::metadata(&path).unwrap();
        assert_eq!((meta.uid(), meta.gid()), (12_345, 23_456));
        assert!(nix::unistd::geteuid().is_root());
    }
}
