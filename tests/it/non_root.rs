//! PID 1 that is not root, as under `docker run --user`.

use std::fs;
use std::os::unix::fs::MetadataExt;

use crate::common::{Exit, Instance, Signal, postgres_user};

/// The whole life, from an empty data directory on, as this user.
fn whole_life_as(uid: u32, gid: u32) {
    let mut instance = Instance::builder()
        .account(uid, gid)
        .env("POSTGRES_PASSWORD", "word")
        .script("1.sql", "create table kept as select 7 as n;")
        .start();
    instance.ready();
    assert_eq!(instance.init().uid, uid);
    assert!(instance.processes().iter().all(|process| process.uid == uid));
    let data = fs::metadata(instance.path("data")).unwrap();
    assert_eq!((data.uid(), data.mode() & 0o7777), (uid, 0o700));
    let over_tcp = instance.tcp("postgres", "postgres", Some("word"), "select n from kept");
    assert_eq!(over_tcp.success(), "7");
    assert!(fs::read_link(instance.path("log/pg_log")).is_ok(), "the log link: {}", instance.log());

    let before = instance.postmaster();
    let session = instance.session("do $$ begin loop perform 1; end loop; end $$");
    before.signal(Signal::SIGKILL);
    instance.until("another postmaster", |it| it.try_postmaster().is_some_and(|it| it.pid != before.pid));
    instance.ready();
    drop(session);
    assert!(!instance.log().contains("failures in a row"));

    fs::write(instance.lock(), "").unwrap();
    instance.until("the engine to obey the lock", |it| !it.engine_runs());
    fs::remove_file(instance.lock()).unwrap();
    instance.ready();
    assert_eq!(instance.sql("select n from kept"), "7");

    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));
    assert_eq!(instance.cluster_state(), "shut down");
    instance.boot();
    instance.ready();
    assert_eq!(instance.sql("select n from kept"), "7");
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));
}

#[test]
fn as_the_engines_user() {
    let user = postgres_user();
    whole_life_as(user.uid, user.gid);
}

#[test]
fn as_an_arbitrary_uid_with_no_passwd_entry() {
    whole_life_as(12_345, 12_346);
}

#[test]
fn as_an_arbitrary_uid_of_roots_group() {
    // OpenShift's way.
    whole_life_as(1_000_650_000, 0);
}
