//! What the tests need of the machine; a lack of it fails the test with the way out.

use std::fs;
use std::path::PathBuf;

/// An account of `/etc/passwd`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Account {
    /// User id.
    pub uid: u32,
    /// Main group id.
    pub gid: u32,
}

/// The account that the engine runs as.
pub fn postgres_user() -> Account {
    account("postgres")
        .expect("no user `postgres` on this machine: run the tests by `make test`, which installs PostgreSQL")
}

/// The account of this name, if there is one.
pub fn account(name: &str) -> Option<Account> {
    let passwd = fs::read_to_string("/etc/passwd").expect("read /etc/passwd");
    let line = passwd.lines().find(|line| line.split(':').next() == Some(name))?;
    let mut ids = line.split(':').skip(2).map(|id| id.parse().expect("a number in /etc/passwd"));
    Some(Account { uid: ids.next()?, gid: ids.next()? })
}

/// The executables of the highest PostgreSQL release under `/usr/lib/postgresql`.
pub fn pg_bin() -> PathBuf {
    let releases = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    releases
        .filter_map(|entry| {
            Some((entry.file_name().to_str()?.parse::<u32>().ok()?, entry.path().join("bin")))
        })
        .filter(|(_, bin)| bin.join("postgres").exists())
        .max()
        .map(|(_, bin)| bin)
        .expect("no PostgreSQL under /usr/lib/postgresql: run the tests by `make test`, which installs it")
}

/// Panics unless namespaces can be made.
pub fn require_root() {
    assert!(
        nix::unistd::Uid::effective().is_root(),
        "these tests make PID namespaces and need root: run them by `make test`, or under sudo"
    );
}
