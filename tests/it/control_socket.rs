//! The control socket's place on disk: what a dead supervisor left, and what is somebody else's.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::{UnixListener, UnixStream};

use serde_json::json;

use crate::common::{Exit, Instance, Signal, postgres_user};
use crate::control::sidecars;

#[test]
fn root_and_the_engines_group_may_connect() {
    let instance = Instance::builder().with_database().start();
    drop(instance.control());
    let found = fs::symlink_metadata(instance.path("run/supervisor.sock")).unwrap();
    assert!(found.file_type().is_socket());
    assert_eq!(found.permissions().mode() & 0o7777, 0o660);
    assert_eq!((found.uid(), found.gid()), (0, postgres_user().gid));
}

#[test]
fn a_missing_folder_is_made_for_the_engines_user() {
    let builder = Instance::builder().with_database();
    let run = builder.dir.path("other/run");
    let instance = builder.set("supervisor.run_dir", run.to_str().unwrap()).start();
    crate::common::until("the socket", crate::common::SOON, || {
        UnixStream::connect(run.join("supervisor.sock")).is_ok()
    });
    let found = fs::metadata(&run).unwrap();
    assert_eq!((found.uid(), found.permissions().mode() & 0o7777), (postgres_user().uid, 0o755));
    drop(instance);
}

#[test]
fn what_a_killed_supervisor_left_is_replaced() {
    let mut instance = sidecars().start();
    instance.wait_state("one", "running");
    let inode = |it: &Instance| fs::symlink_metadata(it.path("run/supervisor.sock")).unwrap().ino();
    let before = inode(&instance);
    instance.kill9();
    assert!(UnixStream::connect(instance.path("run/supervisor.sock")).is_err());
    instance.boot();
    instance.wait_state("one", "running");
    assert_ne!(inode(&instance), before);
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));
}

#[test]
fn what_is_none_of_ours_stays_and_pid_1_goes_on() {
    for (what, word) in [("file", "is a file"), ("folder", "is a folder"), ("link", "is a link")] {
        let builder = Instance::builder().with_database();
        let path = builder.dir.path("run/supervisor.sock");
        let secret = builder.dir.file("secret", "precious", 0o600);
        match what {
            "file" => fs::write(&path, "precious").unwrap(),
            "folder" => fs::create_dir(&path).unwrap(),
            _ => symlink(&secret, &path).unwrap(),
        }
        let before = fs::symlink_metadata(&path).unwrap().ino();
        let mut instance = builder.start();
        instance.wait_log(word);
        assert!(instance.log().contains("move it away, or set another run_dir"), "{}", instance.log());
        instance.ready();
        assert_eq!(fs::symlink_metadata(&path).unwrap().ino(), before, "{what}");
        assert_eq!(fs::read_to_string(&secret).unwrap(), "precious");
        assert_eq!(fs::metadata(&secret).unwrap().permissions().mode() & 0o777, 0o600);
        // Said once, tried again, and had as soon as there is room.
        assert_eq!(instance.log().matches("there is no control socket").count(), 1);
        if what == "folder" { fs::remove_dir(&path) } else { fs::remove_file(&path) }.unwrap();
        instance.wait_log("listening on");
        assert_eq!(instance.status("engine")["name"], "engine");
        assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));
    }
}

#[test]
fn another_supervisors_socket_is_not_taken() {
    let builder = sidecars();
    let path = builder.dir.path("run/supervisor.sock");
    let other = UnixListener::bind(&path).unwrap();
    let mut instance = builder.start();
    instance.wait_log("another supervisor answers on");
    UnixStream::connect(&path).expect("the other one's socket");
    drop(other);
    instance.wait_log("listening on");
    assert_eq!(instance.wait_state("one", "running")["name"], "one");
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));
}

#[test]
fn a_socket_that_somebody_has_removed_is_made_again_by_a_reload() {
    let mut instance = sidecars().start();
    instance.wait_state("one", "running");
    let path = instance.path("run/supervisor.sock");
    fs::remove_file(&path).unwrap();
    instance.signal(Signal::SIGHUP);
    instance.until("the socket", |_| UnixStream::connect(&path).is_ok());
    instance.signal(Signal::SIGHUP);
    instance.wait_log_count("configuration reloaded", 2);
    assert_eq!(instance.control().ok(json!({"v": 1, "op": "status"})).as_array().unwrap().len(), 2);
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));
}
