//! `polarctl engine-user`: the line of the engine's user in a passwd file.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::bed::{Ctl, Ran, until};

const PASSWD: &str =
    "root:x:0:0:root:/root:/bin/bash\npostgres:x:101:104:DBA,,,:/var/lib/postgresql:/bin/bash\n+::::::";

/// A passwd file and a data directory.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("data")).unwrap();
        fs::create_dir(dir.path().join("log")).unwrap();
        fs::write(dir.path().join("passwd"), PASSWD).unwrap();
        fs::set_permissions(dir.path().join("passwd"), fs::Permissions::from_mode(0o640)).unwrap();
        Place(dir)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn command(&self, line: &str) -> Ctl {
        let ctl = Ctl::new(&format!("engine-user {line}")).option("--passwd", &self.path("passwd"));
        ctl.option("--data-dir", &self.path("data")).env("POLAR_SUPERVISOR_LOG_DIR", self.path("log"))
    }

    fn ctl(&self, line: &str) -> Ran {
        self.command(line).ran()
    }

    fn passwd(&self) -> String {
        fs::read_to_string(self.path("passwd")).unwrap()
    }

    /// Nothing but what was there.
    fn is_tidy(&self) -> bool {
        fs::read_dir(self.0.path()).unwrap().all(|entry| {
            let name = entry.unwrap().file_name().into_string().unwrap();
            ["data", "log", "passwd", ".pwd.lock"].contains(&name.as_str())
        })
    }
}

#[test]
fn said_done_and_done_twice() {
    let place = Place::new();
    let said = place.ctl("--logic-id 1000 --dry-run").success();
    assert!(said.contains("would: ") && said.contains("uid 11000 instead of 101"), "{said}");
    assert_eq!(place.passwd(), PASSWD);
    let done = place.ctl("--logic-id 1000 --output json").json();
    assert_eq!((&done["changed"], &done["result"]["uid"]), (&true.into(), &11_000.into()), "{done}");
    assert_eq!(place.passwd(), PASSWD.replace(":101:", ":11000:"));
    let meta = fs::metadata(place.path("passwd")).unwrap();
    assert_eq!((meta.mode() & 0o777, meta.uid()), (0o640, 0));
    let twice = place.ctl("--logic-id 1000 --output json").json();
    assert_eq!(twice["changed"], false);
    assert_eq!(fs::metadata(place.path("passwd")).unwrap().ino(), meta.ino(), "it was not written");
    let log = fs::read_to_string(place.path("log/manager.log")).unwrap();
    assert!(
        log.contains(" - engine-user - done: ") && log.contains(" - engine-user - nothing to do"),
        "{log}"
    );
    assert!(place.is_tidy());
}

#[test]
fn the_number_of_an_installation_that_is_done() {
    let place = Place::new();
    let keeps = || {
        let ran = place.ctl("");
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        assert!(ran.stderr.contains("keeps its uid: no --logic-id"), "{}", ran.stderr);
        assert_eq!(place.passwd(), PASSWD);
    };
    keeps();
    fs::write(place.path("data/ins_logic_id"), "20007\n").unwrap();
    keeps();
    let mut waiting = place.command("--wait").spawn();
    assert!(waiting.try_wait().unwrap().is_none());
    fs::write(place.path("data/ins_install_step"), "done").unwrap();
    assert!(waiting.wait().unwrap().success());
    assert_eq!(place.passwd(), PASSWD.replace(":101:", ":10007:"));
    assert_eq!(place.ctl("--wait --logic-id 1").code, 2);
}

#[test]
fn what_is_refused_leaves_the_file_as_it_was() {
    let place = Place::new();
    for (line, code, words) in [
        ("--logic-id seven", 1, "digits"),
        ("--logic-id=-7", 1, "digits"),
        ("--logic-id 7 --user nobody-here", 1, "there is no user nobody-here"),
        ("--logic-id 7 --user a:b", 1, "there is no user"),
    ] {
        let ran = place.ctl(line);
        assert_eq!(ran.code, code, "{line}");
        assert!(ran.stderr.contains(words), "{line}: {}", ran.stderr);
    }
    fs::write(place.path("passwd"), format!("app:x:10007:1::/:/bin/sh\n{PASSWD}")).unwrap();
    let before = place.passwd();
    let ran = place.ctl("--logic-id 7");
    assert!(ran.code == 1 && ran.stderr.contains("taken by user app"), "{}", ran.stderr);
    assert_eq!(place.passwd(), before);
    fs::remove_file(place.path("passwd")).unwrap();
    assert_eq!(place.ctl("--logic-id 7").code, 1);
    assert!(!place.path("passwd").exists() && place.is_tidy());
}

#[test]
fn it_is_refused_while_the_old_uid_works_in_the_data_directory() {
    let place = Place::new();
    let mut server = Command::new("setpriv");
    server.args(["--reuid=101", "--regid=104", "--clear-groups", "sleep", "1000"]).stdin(Stdio::null());
    fs::set_permissions(place.0.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let mut server = server.current_dir(place.path("data")).spawn().unwrap();
    let proc = format!("/proc/{}", server.id());
    until("its uid", || fs::metadata(&proc).is_ok_and(|meta| meta.uid() == 101));
    for line in ["--logic-id 7", "--logic-id 7 --dry-run"] {
        let ran = place.ctl(line);
        assert_eq!(ran.code, 1);
        assert!(ran.stderr.contains("polarctl lock") && ran.stderr.contains(&server.id().to_string()));
    }
    assert_eq!(place.passwd(), PASSWD);
    server.kill().unwrap();
    server.wait().unwrap();
    place.ctl("--logic-id 7").success();
    assert_eq!(place.passwd(), PASSWD.replace(":101:", ":10007:"));
}

#[test]
fn many_at_once_leave_one_whole_file() {
    let place = Place::new();
    let all: Vec<_> = (0..8).map(|number| place.command(&format!("--logic-id {number}")).spawn()).collect();
    for mut one in all {
        assert!(one.wait().unwrap().success());
    }
    let number =
        (0..8).find(|number| place.passwd() == PASSWD.replace(":101:", &format!(":{}:", 10_000 + number)));
    assert!(number.is_some(), "{}", place.passwd());
    assert!(place.is_tidy());
}

#[test]
fn data_of_another_uid_are_told_of_and_left() {
    let place = Place::new();
    fs::write(place.path("data/PG_VERSION"), "15\n").unwrap();
    std::os::unix::fs::chown(place.path("data"), Some(101), Some(104)).unwrap();
    let ran = place.ctl("--logic-id 7");
    assert!(ran.stderr.contains("belongs to uid 101"), "{}", ran.stderr);
    assert_eq!(fs::metadata(place.path("data")).unwrap().uid(), 101);
}

#[test]
fn a_link_is_followed_and_root_alone_may() {
    let place = Place::new();
    fs::rename(place.path("passwd"), place.path("data/real")).unwrap();
    std::os::unix::fs::symlink("data/real", place.path("passwd")).unwrap();
    place.ctl("--logic-id 7").success();
    assert!(fs::symlink_metadata(place.path("passwd")).unwrap().is_symlink());
    assert!(place.passwd().contains("postgres:x:10007:104:"));
    let ran = Ctl::as_uid(65_534, "engine-user --logic-id 8").ran();
    assert_eq!(ran.code, 77, "{}", ran.stderr);
}
