//! Containers that drop capabilities: the whole life of an engine either goes on, or PID 1 names what it lacks.

use std::fs;
use std::os::unix::fs::chown;

use crate::common::{Builder, Exit, Instance, SOON, Signal, postgres_user, until};

/// A data directory with the lock file in its default place, where only the engine's user can look.
fn builder(capabilities: &'static str) -> Builder {
    let builder = Instance::builder().capabilities(capabilities);
    let lock = builder.dir.path("data/ins_lock");
    builder.set("program.engine.lock_file", lock.to_str().unwrap()).set("program.engine.stop_timeout", "20s")
}

/// First boot, a crash, lock, unlock, a lock at the start, an ordered stop.
fn life(builder: Builder) {
    let mut instance = builder.start();
    instance.ready();
    instance.sql("create table t as select 1 as a");

    let first = instance.postmaster();
    first.signal(Signal::SIGKILL);
    instance.until("another postmaster", |it| it.try_postmaster().is_some_and(|found| found != first));
    instance.ready();

    let lock = instance.path("data/ins_lock");
    fs::write(&lock, "").unwrap();
    instance.until("no engine", |it| !it.engine_runs());
    assert!(!instance.log().contains(", killed"), "the lock's stop is an ordered one");
    fs::remove_file(&lock).unwrap();
    instance.ready();
    assert_eq!(instance.sql("select a from t"), "1");
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));

    fs::write(&lock, "").unwrap();
    instance.boot();
    instance.wait_log("locked: ");
    assert!(!instance.engine_runs());
    fs::remove_file(&lock).unwrap();
    instance.ready();
    assert_eq!(instance.stop(Signal::SIGTERM), Exit::Code(0));
    assert!(!instance.log().contains("cannot look at the lock file"), "the lock is seen");
}

/// Gives the data directory to the engine's user, as a container without CAP_CHOWN needs it.
fn given(builder: Builder) -> Builder {
    let user = postgres_user();
    chown(builder.dir.path("data"), Some(user.uid), Some(user.gid)).unwrap();
    builder
}

/// Docker's default set without some.
macro_rules! docker_without {
    () => {
        "-all,+chown,+dac_override,+fowner,+fsetid,+kill,+setgid,+setuid,+setpcap"
    };
    ($drop:literal) => {
        concat!(docker_without!(), ",", $drop)
    };
}

#[test]
fn with_each_capability_but_that_to_look_at_others_it_lives() {
    life(builder("+all,-sys_ptrace,-sys_resource"));
}

#[test]
fn without_cap_kill_it_lives() {
    life(builder(docker_without!("-kill")));
}

#[test]
fn without_cap_dac_override_it_lives() {
    life(builder(docker_without!("-dac_override,-dac_read_search")));
}

#[test]
fn without_cap_fowner_and_fsetid_it_lives() {
    life(builder(docker_without!("-fowner,-fsetid,-setpcap")));
}

#[test]
fn without_cap_chown_it_lives_on_a_directory_that_is_given() {
    life(given(builder(docker_without!("-chown,-fowner"))));
}

#[test]
fn with_nothing_but_the_change_of_user_it_lives() {
    life(given(builder("-all,+setuid,+setgid")));
}

#[test]
fn without_cap_chown_an_empty_directory_of_roots_is_refused_with_the_way_out() {
    let mut instance = builder(docker_without!("-chown")).start();
    assert_eq!(instance.wait(), Exit::Code(78));
    let log = instance.log();
    assert!(log.contains("CAP_CHOWN") && log.contains("chown "), "the capability, and the way without it");
}

#[test]
fn with_no_capability_it_says_which_it_needs() {
    for (set, lacking) in
        [("-all", "CAP_SETGID"), ("-all,+setgid", "CAP_SETUID"), ("-all,+setuid", "CAP_SETGID")]
    {
        let mut instance = given(builder(set)).start();
        assert_eq!(instance.wait(), Exit::Code(78), "with {set}");
        let log = instance.log();
        assert!(log.contains(lacking) && log.contains("--user"), "with {set} no {lacking} in the log");
    }
}

/// A postmaster that ignores what it is told, in a container where nobody can make it: PID 1 ends all the same.
#[test]
fn without_cap_kill_a_stop_ends_by_its_deadline() {
    let mut instance = builder(docker_without!("-kill"))
        .set("program.engine.stop_timeout", "4s")
        .set("supervisor.stop_timeout", "6s")
        .start();
    instance.ready();
    let postmaster = instance.postmaster();
    postmaster.signal(Signal::SIGSTOP);
    instance.signal(Signal::SIGTERM);
    assert_eq!(instance.wait_within(SOON), Exit::Code(1));
    until("all gone", SOON, || instance.processes().is_empty());
}
