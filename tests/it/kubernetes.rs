//! A container of a Kubernetes pod: a user without a line in /etc/passwd, and volumes whose roots are root's and open to
//! the pod's group.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};

use crate::common::{Account, Builder, Exit, Instance, Signal};

/// Nobody's in /etc/passwd of the machine.
const USER: Account = Account { uid: 48_999, gid: 48_999 };

/// The volumes as a kubelet makes them of claims and of `emptyDir`, for a pod with `fsGroup`.
fn pod() -> Builder {
    let builder = Instance::builder().account(USER.uid, USER.gid).unset("program.engine.lock_file");
    for (name, mode) in [("data", 0o2775), ("log", 0o2775), ("run", 0o2777), ("sock", 0o2777)] {
        let path = builder.dir.path(name);
        chown(&path, Some(0), Some(USER.gid)).unwrap();
        fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    }
    fs::create_dir(builder.dir.path("data/lost+found")).unwrap();
    let data = builder.dir.path("data/pg").to_str().unwrap().to_owned();
    let builder = builder.set("program.engine.data_dir", data.clone());
    // All else is read-only.
    builder
        .setup("for name in data log run sock; do mount --bind \"$DIR/$name\" \"$DIR/$name\"; done")
        .setup("mount -o remount,ro,bind /")
        .env("PGDATA", data)
}

#[test]
fn its_whole_life() {
    let builder = pod().env_file("POSTGRES_PASSWORD_FILE", "of the secret\n");
    let secret = builder.dir.path("secret-POSTGRES_PASSWORD_FILE");
    chown(&secret, Some(0), Some(USER.gid)).unwrap();
    fs::set_permissions(&secret, PermissionsExt::from_mode(0o440)).unwrap();
    let mut instance = builder.start();
    instance.until("a database", |it| {
        it.tcp("postgres", "postgres", Some("of the secret"), "select 1").stdout == "1\n"
    });
    for check in ["--live", "--ready"] {
        assert_eq!(instance.ctl_as(USER, &format!("health {check}")).code(), 0, "{check}");
    }
    // preStop, and then what the kubelet sends.
    instance.ctl_as(USER, "stop --timeout 50s").success();
    assert!(!instance.engine_runs());
    assert_eq!(instance.ctl_as(USER, "health --live").code(), 0, "a stop is life");
    assert_eq!(instance.ctl_as(USER, "health --ready").code(), 3);
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));
    // The next pod's kubelet has opened everything to the group again.
    fs::set_permissions(instance.path("data/pg"), PermissionsExt::from_mode(0o2770)).unwrap();
    instance.boot();
    instance.wait_log("ready after");
    let mode = fs::metadata(instance.path("data/pg")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));
}

#[test]
fn the_root_of_the_volume_is_refused_with_what_to_do() {
    let builder = pod();
    let data = builder.dir.path("data").to_str().unwrap().to_owned();
    let mut instance = builder.set("program.engine.data_dir", data.clone()).env("PGDATA", data).start();
    assert_eq!(instance.wait(), Exit::Code(78), "{}", instance.log());
    assert!(instance.log().contains("belongs to 0:48999"), "{}", instance.log());
}

#[test]
fn the_variable_of_a_service_of_our_name_is_refused() {
    let mut instance = pod().env("POLARDB_PORT", "tcp://10.0.0.1:5432").start();
    assert_eq!(instance.wait(), Exit::Code(78), "{}", instance.log());
    assert!(instance.log().contains("POLARDB_PORT"), "{}", instance.log());
}
