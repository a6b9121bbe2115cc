//! The record of a start: which supervisor, where, started which postmaster.
//!
//! A pid tells nothing outside of its pid namespace: a pid file that names no process here may be that of a living
//! postmaster in another container. So each start leaves a small file beside the database, written as soon as the
//! postmaster has made its `postmaster.pid`, that repeats the pid file's pid and start time and adds the place: boot id,
//! pid namespace, and whether the supervisor was PID 1 there.
//!
//! **What it proves.** A pid file with the recorded pid and start time is the recorded postmaster's own: another one
//! would need the same pid, in the same second, on the same directory. Whether that postmaster lives follows from the
//! place:
//!
//! - *Same boot, same namespace number*: what `/proc` says is all there is to say. The kernel uses the numbers of
//!   namespaces again, but only after the last process of the earlier one is gone.
//! - *Another boot*: it is dead where one machine alone can mount the file system. Where several can, nothing is proved:
//!   many network file systems grant a lock on each machine (NFS with `local_lock`, CIFS with `nobrl`, FUSE).
//! - *Same boot, another namespace*: it is dead when its supervisor is (we hold the lock that this one held all its life)
//!   and was PID 1, whose end takes all processes of its namespace along. The kernel closes the descriptors of a dying PID 1, which gives
//!   back the lock, before it kills the rest: hence the grace.
//! - A supervisor that was *not PID 1* (a container with `--init`, a shared or the machine's own namespace) may leave a
//!   living postmaster behind: nothing is proved outside of that namespace. Nor without a lock.
//!
//! **What it does not prove.** A container that is killed after the postmaster has made its file and before the record is
//! written (some milliseconds) leaves a pid file that nothing covers; a promise written before the start would cover it,
//! but also the file of an unsupervised container that came in between, so there is none, and that case pays the long
//! wait. A network file system whose server has taken the lock from a machine that is cut off, and still runs its
//! postmaster, defeats the lock and with it the record. PostgreSQL itself has no defence there either.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::pidfile::PidFile;

/// Name of the file in the data directory.
pub const FILE: &str = "polar_supervisor.start";
/// Its length in bytes: blanks fill it up, so that it is always overwritten in place, in one piece, and needs no space
/// on a full disk.
pub const LENGTH: usize = 512;

/// Where a supervisor runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// `/proc/sys/kernel/random/boot_id`; empty where it cannot be read.
    pub boot: String,
    /// Inode of `/proc/self/ns/pid`; 0 where it cannot be read.
    pub pid_namespace: u64,
    /// Whether the supervisor is PID 1 of that namespace.
    pub init: bool,
}

/// One start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Where.
    pub place: Place,
    /// The supervisor's host name (a container's is its short id by default), to tell people who it was.
    #[serde(default)]
    pub host: String,
    /// The postmaster's pid, as its pid file has it.
    pub postmaster: i32,
    /// The start time that its pid file has, in seconds since 1970.
    pub started: i64,
}

/// What PID 1 itself remembers of its last postmaster, whether a record could be written or not (a full disk).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lived {
    /// Its pid.
    pub pid: i32,
    /// When it was started or adopted, in seconds since 1970; 0: it was found running.
    pub from: i64,
    /// When it ended.
    pub until: i64,
}

/// Who wrote a pid file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A postmaster of this pid namespace.
    Here,
    /// One of an earlier boot of the machine, or of a machine whose supervisor is gone.
    OtherBoot,
    /// One of a pid namespace whose PID 1 is gone.
    OtherNamespace,
    /// Nobody knows, for this reason.
    Elsewhere(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Here => f.write_str("a postmaster of this container wrote it"),
            Origin::OtherBoot => {
                f.write_str("a postmaster of another boot wrote it, whose supervisor is gone")
            }
            Origin::OtherNamespace => {
                f.write_str("a postmaster of a container wrote it whose PID 1, our predecessor, is gone")
            }
            Origin::Elsewhere(why) => f.write_str(why),
        }
    }
}

/// What the origin is judged by.
#[derive(Debug, Clone, Copy)]
pub struct Traces<'a> {
    /// The record beside the database.
    pub record: Option<&'a Record>,
    /// What PID 1 remembers.
    pub lived: Option<Lived>,
    /// Where we are.
    pub here: &'a Place,
    /// Whether we hold the lock of the one keeper.
    pub locked: bool,
    /// Whether only one machine at a time can mount the file system.
    pub local: bool,
}

/// Judges who wrote a pid file.
pub fn origin(file: &PidFile, traces: Traces<'_>) -> Origin {
    let elsewhere = |why: &str| Origin::Elsewhere(why.to_owned());
    let remembered = |lived: Lived| {
        !file.standalone
            && file.pid == lived.pid
            && file.started > 0
            && (lived.from..=lived.until).contains(&file.started)
    };
    if traces.lived.is_some_and(remembered) {
        return Origin::Here;
    }
    let covers = |record: &&Record| {
        !file.standalone
            && file.pid == record.postmaster
            && file.started > 0
            && file.started == record.started
    };
    let Some(record) = traces.record.filter(covers) else {
        return elsewhere("no record of a supervisor tells who wrote it");
    };
    let (then, here) = (&record.place, traces.here);
    if [&then.boot, &here.boot].into_iter().any(String::is_empty) || then.pid_namespace == 0 {
        return elsewhere("the boot or the pid namespace could not be recorded");
    }
    if then.boot == here.boot && then.pid_namespace == here.pid_namespace {
        return Origin::Here;
    }
    if !traces.locked {
        return elsewhere(
            "a supervisor of another container or boot wrote it, and the file system cannot lock, so that one may live",
        );
    }
    match then.boot == here.boot {
        false if traces.local => Origin::OtherBoot,
        true if then.init => Origin::OtherNamespace,
        _ => elsewhere(
            "the supervisor of its postmaster was not PID 1, so that the postmaster may have outlived it",
        ),
    }
}

/// The content of the file.
///
/// # Errors
/// When it would be longer than [`LENGTH`].
pub fn write(record: &Record) -> Result<Vec<u8>, String> {
    let mut bytes = serde_json::to_vec(record).map_err(|error| error.to_string())?;
    if bytes.len() >= LENGTH {
        return Err(format!("a record of {} bytes", bytes.len()));
    }
    bytes.resize(LENGTH - 1, b' ');
    bytes.push(b'\n');
    Ok(bytes)
}

/// Reads the content of the file; `None`: it is no record.
pub fn parse(content: &[u8]) -> Option<Record> {
    serde_json::from_slice(content).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::pidfile;

    fn place(boot: &str, pid_namespace: u64, init: bool) -> Place {
        Place { boot: boot.to_owned(), pid_namespace, init }
    }

    fn kind(origin: &Origin) -> &'static str {
        match origin {
            Origin::Here => "here",
            Origin::OtherBoot => "boot",
            Origin::OtherNamespace => "namespace",
            Origin::Elsewhere(_) => "elsewhere",
        }
    }

    fn judge(file: &str, traces: Traces<'_>) -> &'static str {
        kind(&origin(&pidfile::parse(file.as_bytes()).unwrap(), traces))
    }

    #[test]
    fn by_place() {
        let here = place("a", 10, true);
        //  boot, namespace, was PID 1, locked, local -> origin
        let table = [
            ("a", 10, true, true, true, "here"),
            ("a", 10, false, true, false, "here"),
            ("a", 10, false, false, false, "here"),
            ("a", 11, true, true, true, "namespace"),
            ("a", 11, true, true, false, "namespace"),
            ("a", 11, true, false, true, "elsewhere"),
            ("a", 11, false, true, true, "elsewhere"),
            ("b", 10, true, true, true, "boot"),
            ("b", 10, true, true, false, "elsewhere"),
            ("b", 10, false, true, true, "boot"),
            ("b", 10, false, true, false, "elsewhere"),
            ("b", 10, true, false, true, "elsewhere"),
            ("", 10, true, true, true, "elsewhere"),
            ("b", 0, true, true, true, "elsewhere"),
        ];
        for (boot, namespace, init, locked, local, expected) in table {
            let record = Record {
                place: place(boot, namespace, init),
                host: String::new(),
                postmaster: 7,
                started: 100,
            };
            let traces = Traces { record: Some(&record), lived: None, here: &here, locked, local };
            assert_eq!(judge("7\n/d\n100\n", traces), expected, "{record:?} {locked} {local}");
        }
        let record = Record { place: place("b", 10, true), host: String::new(), postmaster: 7, started: 100 };
        let nowhere = place("", 10, true);
        let traces = Traces { record: Some(&record), lived: None, here: &nowhere, locked: true, local: true };
        assert_eq!(judge("7\n/d\n100\n", traces), "elsewhere");
    }

    #[test]
    fn only_the_recorded_file_is_covered() {
        let here = place("a", 10, true);
        let record = Record { place: here.clone(), host: String::new(), postmaster: 7, started: 100 };
        let traces = Traces { record: Some(&record), lived: None, here: &here, locked: true, local: true };
        for (file, expected) in [
            ("7\n/d\n100\n5432\n", "here"),
            ("8\n/d\n100\n5432\n", "elsewhere"),
            ("7\n/d\n101\n5432\n", "elsewhere"),
            ("7\n/d\n99\n5432\n", "elsewhere"),
            ("-7\n/d\n100\n", "elsewhere"),
            ("7\n", "elsewhere"),
        ] {
            assert_eq!(judge(file, traces), expected, "{file:?}");
        }
        assert_eq!(judge("7\n/d\n100\n", Traces { record: None, ..traces }), "elsewhere");
        let unset = Record { started: 0, ..record.clone() };
        assert_eq!(judge("7\n", Traces { record: Some(&unset), ..traces }), "elsewhere");
    }

    #[test]
    fn pid_1_remembers_what_could_not_be_recorded() {
        let here = place("a", 10, true);
        let lived = Lived { pid: 7, from: 100, until: 110 };
        let traces = Traces { record: None, lived: Some(lived), here: &here, locked: false, local: false };
        for (file, expected) in [
            ("7\n/d\n100\n", "here"),
            ("7\n/d\n110\n", "here"),
            ("7\n/d\n99\n", "elsewhere"),
            ("7\n/d\n111\n", "elsewhere"),
            ("8\n/d\n105\n", "elsewhere"),
            ("-7\n/d\n105\n", "elsewhere"),
        ] {
            assert_eq!(judge(file, traces), expected, "{file:?}");
        }
    }

    #[test]
    fn what_is_written_is_read_and_of_one_length() {
        for pid_namespace in [1, u64::MAX] {
            let boot = "0f6cb2bd-8d7c-4f0d-9bb1-2a1b0e4b9d10";
            let record = Record {
                place: place(boot, pid_namespace, true),
                host: String::new(),
                postmaster: i32::MAX,
                started: i64::MIN,
            };
            let bytes = write(&record).unwrap();
            assert_eq!(bytes.len(), LENGTH);
            assert_eq!(parse(&bytes), Some(record.clone()));
            assert_eq!(parse(&bytes[..100]), None);
            let long = Record { place: place(&"x".repeat(LENGTH), 1, true), ..record };
            assert!(write(&long).is_err());
        }
        assert_eq!(parse(b""), None);
    }
}
