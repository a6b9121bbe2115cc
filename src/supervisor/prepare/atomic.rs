//! Files that are either the old or the changed text after a crash, never a part of one.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::work::random_name;

/// Replaces `path` by a file with this content and mode.
///
/// # Errors
/// Whatever went wrong; the old file is then still there.
pub(super) fn replace(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    };
    let unfinished = folder.join(format!(".{}.{}", name.to_string_lossy(), random_name()?));
    let result = write(&unfinished, content, mode).and_then(|()| fs::rename(&unfinished, path));
    if result.is_err() {
        // Best effort: the first error is the one to tell.
        let _ = fs::remove_file(&unfinished);
    }
    result?;
    sync_folder(folder)
}

fn write(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    file.write_all(content)?;
    file.sync_all()
}

/// Makes the names in a folder durable.
///
/// # Errors
/// When it cannot be opened or synced.
pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_content_is_replaced_and_nothing_is_left_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a.conf");
        fs::write(&file, "old").unwrap();
        replace(&file, b"changed", 0o600).unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"changed");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        assert!(replace(&dir.path().join("no/a.conf"), b"", 0o600).is_err());
    }
}
