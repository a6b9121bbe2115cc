//! The folders for the engine's socket: those that can be used.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::UnixListener;
use std::path::Path;

use super::halt::{Outcome, refused};
use super::work::{Work, random};

/// The longest path of a socket, its NUL left out (`sockaddr_un`, unix(7)).
const PATH_MAX: usize = 107;
/// The longest name that the engine gives a socket.
const LONGEST_NAME: &str = "/.s.PGSQL.65535";

/// What became of `socket_dir`.
pub(super) struct Usable {
    /// The folders that can be used, in their order.
    pub(super) folders: Vec<String>,
    /// The others, each with its reason.
    pub(super) problems: Vec<String>,
}

/// Tries out the folders of `socket_dir`.
///
/// # Errors
/// Refused when none is left: nobody could connect but by TCP, and `psql` without a host would fail.
pub(super) fn usable(work: Work<'_>) -> Outcome<Usable> {
    let mut folders = Vec::new();
    let mut problems = Vec::new();
    for folder in &work.order.engine.socket_dir {
        match try_out(folder) {
            Ok(()) => folders.push(folder.to_string_lossy().into_owned()),
            Err(error) => problems.push(format!("{}: {error}", folder.display())),
        }
    }
    if folders.is_empty() {
        return Err(refused(
            format!("no folder for the engine's socket can be used: {}", problems.join("; ")),
            format!("set socket_dir in supervisor.toml to a folder in which {} can write", work.user()),
        ));
    }
    Ok(Usable { folders, problems })
}

/// The folders that can be used; why others cannot be is told once.
///
/// # Errors
/// As [`usable`].
pub(super) fn tried(work: Work<'_>) -> Outcome<Vec<String>> {
    let found = usable(work)?;
    if work.order.first {
        found.problems.iter().for_each(|problem| work.report.warn(format!("no socket in {problem}")));
    }
    Ok(found.folders)
}

/// The folders that the engine's own `unix_socket_directories` names; it works in its data directory.
pub(super) fn configured(data_dir: &Path, directories: &str) -> Vec<String> {
    let folders = directories.split(',').map(|folder| folder.trim().trim_matches('"'));
    let folders = folders.filter(|folder| !folder.is_empty());
    folders.map(|folder| data_dir.join(folder).to_string_lossy().into_owned()).collect()
}

/// Makes a folder of sockets if need be, and a socket in it.
pub(super) fn try_out(folder: &Path) -> io::Result<()> {
    let length = folder.as_os_str().len() + LONGEST_NAME.len();
    if length > PATH_MAX {
        return Err(io::Error::other(format!(
            "a socket's path would be {length} bytes long, the system allows {PATH_MAX}"
        )));
    }
    if folder.to_str().is_none() {
        return Err(io::Error::other("its name is not UTF-8"));
    }
    if !folder.exists() {
        DirBuilder::new().recursive(true).mode(0o755).create(folder)?;
    }
    let number = u32::from_ne_bytes(random()?);
    let probe = folder.join(format!(".s.try{number:08x}"));
    UnixListener::bind(&probe)?;
    fs::remove_file(&probe)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_usable_folder_is_left_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        try_out(dir.path()).unwrap();
        try_out(&dir.path().join("made")).unwrap();
        assert_eq!(fs::read_dir(dir.path().join("made")).unwrap().count(), 0);
    }

    #[test]
    fn folders_of_the_engines_own_files() {
        let of = |text: &str| configured(Path::new("/data"), text);
        assert_eq!(of("s , /run/sockets,\"/a b\""), ["/data/s", "/run/sockets", "/a b"]);
        assert!(of("").is_empty());
    }

    #[test]
    fn a_long_path_and_a_file_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        assert!(try_out(&dir.path().join("x".repeat(100))).is_err());
        fs::write(dir.path().join("file"), "").unwrap();
        assert!(try_out(&dir.path().join("file")).is_err());
    }
}
