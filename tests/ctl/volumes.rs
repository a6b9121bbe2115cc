//! lock, unlock, stop and start with only the data volume in reach.

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::PathBuf;

use rustix::fs::{FlockOperation, flock};
use serde_json::Value;
use tempfile::TempDir;

use crate::bed::{Ctl, Ran, accepting, pid_file, until};

/// A data volume of an engine's user, which a supervisor out of reach keeps.
struct Volume {
    dir: TempDir,
    _keeper: File,
}

const OWNER: u32 = 12_345;

impl Volume {
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o755)).unwrap();
        fs::create_dir(dir.path().join("data")).unwrap();
        let keeper = File::open(dir.path().join("data")).unwrap();
        flock(&keeper, FlockOperation::NonBlockingLockExclusive).unwrap();
        let volume = Volume { dir, _keeper: keeper };
        fs::set_permissions(volume.data(), PermissionsExt::from_mode(0o700)).unwrap();
        chown(volume.data(), Some(OWNER), Some(OWNER)).unwrap();
        volume
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    fn lock(&self) -> PathBuf {
        self.data().join("ins_lock")
    }

    fn command(&self, line: &str) -> Ctl {
        Ctl::new(line).option("--data-dir", &self.data()).env("POLAR_SUPERVISOR_LOG_DIR", self.dir.path())
    }

    fn ctl(&self, line: &str) -> Ran {
        self.command(line).ran()
    }

    fn words(&self) -> Value {
        serde_json::from_slice(&fs::read(self.lock()).unwrap()).unwrap()
    }
}

#[test]
fn lock_waits_for_the_end_of_the_pid_file() {
    let volume = Volume::new();
    pid_file(&volume.data(), "ready");
    let mut child = volume.command("lock --reason disk").spawn();
    until("the lock", || volume.lock().exists());
    let meta = fs::metadata(volume.lock()).unwrap();
    assert_eq!((meta.uid(), meta.gid()), (OWNER, OWNER), "the data directory's owner");
    assert_eq!(
        (volume.words()["kind"].as_str(), volume.words()["reason"].as_str()),
        (Some("maintenance"), Some("disk"))
    );
    assert!(child.try_wait().unwrap().is_none(), "the engine runs");
    fs::remove_file(volume.data().join("postmaster.pid")).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn unlock_waits_until_the_engine_answers() {
    let volume = Volume::new();
    volume.ctl("lock").success();
    let mut child = volume.command("unlock --output json").spawn();
    until("the lock's end", || !volume.lock().exists());
    pid_file(&volume.data(), "starting");
    pid_file(&volume.data(), "ready");
    // A socket of one that is dead: nobody listens.
    drop(std::os::unix::net::UnixListener::bind(volume.data().join(".s.PGSQL.5432")).unwrap());
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert!(child.try_wait().unwrap().is_none(), "nobody answers");
    fs::remove_file(volume.data().join(".s.PGSQL.5432")).unwrap();
    accepting(&volume.data(), 5432);
    let output = child.wait_with_output_of();
    assert_eq!(output["state"], "running");
}

trait Finished {
    fn wait_with_output_of(&mut self) -> Value;
}

impl Finished for std::process::Child {
    fn wait_with_output_of(&mut self) -> Value {
        assert_eq!(self.wait().unwrap().code(), Some(0));
        serde_json::from_reader(self.stdout.take().unwrap()).unwrap()
    }
}

#[test]
fn stop_locks_and_start_unlocks() {
    let volume = Volume::new();
    let ran = volume.ctl("stop --mode fast");
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stderr.contains("over restarts of the container"), "{ran:?}");
    assert_eq!(volume.words()["kind"], "maintenance");
    // Twice is once.
    assert_eq!(volume.ctl("stop").code, 0);
    pid_file(&volume.data(), "ready");
    accepting(&volume.data(), 5432);
    assert!(volume.ctl("start").success().contains("running"));
    assert!(!volume.lock().exists());
}

#[test]
fn a_lock_of_somebody_else_stands() {
    let volume = Volume::new();
    for content in ["", "no JSON", r#"{"kind": "expired", "owner": "billing"}"#] {
        fs::write(volume.lock(), content).unwrap();
        for line in ["lock", "unlock", "start", "unlock --kind maintenance"] {
            let ran = volume.ctl(line);
            assert_eq!(ran.code, 1, "{line}: {ran:?}");
            assert_eq!(fs::read_to_string(volume.lock()).unwrap(), content, "{line}");
        }
        // It is locked, which is what a stop wants.
        assert_eq!(volume.ctl("stop").code, 0);
        assert_eq!(fs::read_to_string(volume.lock()).unwrap(), content);
        assert_eq!(volume.ctl("unlock --force --no-wait").code, 0);
        assert!(!volume.lock().exists());
    }
}

#[test]
fn the_limit_of_time() {
    let volume = Volume::new();
    pid_file(&volume.data(), "ready");
    let ran = volume.ctl("lock --timeout 200ms");
    assert_eq!(ran.code, 5, "{ran:?}");
    assert!(ran.stderr.contains("postmaster.pid still names process 42"), "{ran:?}");
    assert!(volume.lock().exists(), "the lock holds all the same");
    fs::remove_file(volume.data().join("postmaster.pid")).unwrap();
    let ran = volume.ctl("unlock --timeout 200ms");
    assert_eq!(ran.code, 5, "{ran:?}");
    assert!(ran.stderr.contains("container runs"), "{ran:?}");
}

#[test]
fn for_another_user_it_is_77() {
    let volume = Volume::new();
    for line in ["lock", "unlock", "stop"] {
        let ran = Ctl::as_uid(65_534, line).option("--data-dir", &volume.data()).ran();
        assert_eq!(ran.code, 77, "{line}: {ran:?}");
    }
    let ran = Ctl::as_uid(OWNER, "lock").option("--data-dir", &volume.data()).ran();
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(volume.words()["owner"], OWNER.to_string());
}

#[test]
fn a_supervisor_that_is_not_in_reach_is_done_without() {
    let volume = Volume::new();
    let config = volume.dir.path().join("supervisor.toml");
    let lock = volume.dir.path().join("data/the_lock");
    let text = format!(
        "[supervisor]\nrun_dir = {:?}\n[program.main]\nkind = \"postgres\"\ndata_dir = {:?}\nlock_file = {lock:?}\n",
        volume.dir.path(),
        volume.data()
    );
    fs::write(&config, text).unwrap();
    let ran = Ctl::new("lock main").option("--config", &config).ran();
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stderr.contains("no supervisor is in reach"), "{ran:?}");
    assert!(lock.exists());
    let ran = Ctl::new("unlock other").option("--config", &config).ran();
    assert_eq!(ran.code, 4, "{ran:?}");
    // By the environment, where there is no configuration.
    let ran = Ctl::new("lock --socket /no/such/socket").env("PGDATA", volume.data()).ran();
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(volume.lock().exists());
}

#[test]
fn no_folder_there() {
    let ran = Ctl::new("lock --data-dir /no/such/folder").ran();
    assert_eq!(ran.code, 1, "{ran:?}");
    let ran = Ctl::new("lock --socket /no/such/socket").env("PGDATA", "/no/such/folder").ran();
    assert_eq!(ran.code, 4, "{ran:?}");
    assert!(ran.stderr.contains("/no/such/folder"), "{ran:?}");
    let ran = Ctl::new("status --data-dir /tmp").ran();
    assert_eq!(ran.code, 2, "{ran:?}");
}

#[test]
fn a_dry_run_says_what_it_would_do_and_does_nothing() {
    let volume = Volume::new();
    let lock = volume.lock().display().to_string();
    assert!(volume.ctl("lock --dry-run").success().starts_with(&format!("would: make {lock}, by which ")));
    assert!(!volume.lock().exists());
    assert!(volume.ctl("unlock --dry-run").success().starts_with("nothing to do"));
    volume.ctl("lock --kind expired").success();
    let before = volume.words();
    assert!(volume.ctl("lock --kind expired --dry-run").success().starts_with("would: write "));
    assert_eq!(volume.ctl("lock --dry-run").code, 1, "it is of another kind");
    assert_eq!(volume.ctl("unlock --dry-run").code, 1, "it is of another kind");
    let json = volume.ctl("unlock --kind expired --dry-run --output json").json();
    assert_eq!(json["steps"][0], format!("remove {lock}, by which {} may start", volume.data().display()));
    assert_eq!(volume.words(), before);
}

#[test]
fn each_leaves_one_line_in_the_managers_log() {
    let volume = Volume::new();
    volume.command("lock --kind expired").env("request_id", "7").ran().success();
    assert_eq!(volume.ctl("lock").code, 1);
    volume.ctl("unlock --kind expired --no-wait").success();
    volume.ctl("unlock --dry-run").success();
    let text = fs::read_to_string(volume.dir.path().join("manager.log")).unwrap();
    let lines: Vec<_> = text.lines().map(|line| line.splitn(5, " - ").collect::<Vec<_>>()).collect();
    assert_eq!(lines[0][1..], ["INFO", "7", "lock --kind expired", "done: made the lock file"], "{text}");
    assert_eq!(lines[1][1], "ERROR", "{text}");
    assert!(lines[1][4].starts_with("failed: ") && lines[1][4].ends_with(" (locked_by_other)"), "{text}");
    assert_eq!(lines[2][3..], ["unlock --kind expired", "done: no lock file is there"], "{text}");
    assert_eq!((lines.len(), lines[3][3]), (4, "unlock --kind maintenance"), "{text}");
}

#[test]
fn a_lock_file_that_calls_itself_diskfull_is_a_lock_file() {
    let volume = Volume::new();
    fs::write(volume.lock(), r#"{"kind":"diskfull","owner":"root"}"#).unwrap();
    chown(volume.lock(), Some(OWNER), Some(OWNER)).unwrap();
    volume.ctl("unlock --kind diskfull --no-wait").success();
    assert!(!volume.lock().exists());
}
