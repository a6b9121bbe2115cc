//! The whole life of a RW instance, by its callers' command lines alone, each one twice.

use std::fs;

use super::bed::{Image, Pids, Pod, UID};
use super::calls::{self, Call};
use crate::common::{Ended, Process, SOON, Signal, until};

fn twice(pod: &Pod, call: &Call) -> [String; 2] {
    [call.done(pod), call.done(pod)]
}

/// Installed, and serving.
pub fn installed(pids: Pids) -> Pod {
    let pod = Pod::start(pids);
    twice(&pod, &calls::install(&pod));
    pod.serves();
    pod
}

fn whole_life(pids: Pids) {
    let mut pod = Pod::start(pids);
    let early = calls::health(&pod).run(&pod);
    assert_eq!(early.code(), 1, "{early:?}");
    twice(&pod, &calls::install(&pod));
    assert!(calls::progress(&pod).done(&pod).contains("\\u0001{"));
    pod.serves();
    twice(&pod, &calls::health(&pod));
    twice(&pod, &calls::log_agent(&pod));
    assert!(calls::system_identifier(&pod).done(&pod).contains("system identifier:"));
    accounts_and_slots(&pod);
    parameters(&pod);
    disk_full(&pod);
    stops_and_starts(&pod);
    // The pod ends: nothing is started again, and the container ends as it is told to.
    twice(&pod, &calls::pre_stop());
    assert!(!pod.data("ins_lock").exists());
    pod.stays_down();
    pod.signal(Image::Engine, Signal::SIGTERM);
    assert_eq!(pod.ended(Image::Engine), 0, "{}", pod.logs());
    // The next container serves by itself, as the user of the instance.
    pod.boot(Image::Engine);
    pod.serves();
    assert_eq!(pod.postmaster().unwrap().uid, UID);
    let log = fs::read_to_string(pod.dir.path("log/manager.log")).unwrap();
    assert!(!log.contains("s3cret"), "{log}");
}

fn accounts_and_slots(pod: &Pod) {
    for (name, privilege) in [("aurora", 7), ("replicator", 15), ("app", 1)] {
        twice(pod, &calls::account(pod, name, "s3cret", privilege));
    }
    assert_eq!(
        pod.sql("select count(*) from pg_roles where rolname in ('aurora', 'replicator', 'app')"),
        "3"
    );
    twice(pod, &calls::replica_slot(pod));
    assert_eq!(pod.sql("select slot_name from pg_replication_slots"), "replica_1000_1002");
}

fn parameters(pod: &Pod) {
    let call =
        calls::parameters(pod, r#"{"work_mem":"'9MB'","max_connections":"60","log_directory":"'log'"}"#);
    twice(pod, &call);
    assert_eq!(pod.sql("show work_mem"), "9MB");
    assert_eq!(pod.sql("show max_connections"), "50", "it needs a restart, which is its caller's");
    assert_eq!(calls::parameters(pod, r#"{"work_mem":"'much'"}"#).run(pod).code(), 1);
    assert_eq!(pod.sql("show work_mem"), "9MB");
    let reload = Call::of(Image::Engine, &["su", "-", "postgres", "-c", "pg_ctl -D /data -W reload"]);
    twice(pod, &reload);
}

/// A table of the role `app`.
pub fn table_of_app(pod: &Pod) {
    pod.sql("create table app_t(a int); alter table app_t owner to app");
}

/// Whether that role writes into it, by a session of its own.
pub fn app_writes(pod: &Pod) -> bool {
    let line = format!(
        "PGPASSWORD=s3cret psql -XAtq -h 127.0.0.1 -p {} -U app postgres -c 'insert into app_t values (2)'",
        pod.port.number()
    );
    let done = pod.exec(Image::Engine, &["sh", "-c", &line]);
    assert!(done.status.success() || done.stderr.contains("read-only transaction"), "{done:?}");
    done.status.success()
}

fn disk_full(pod: &Pod) {
    table_of_app(pod);
    type Lock = fn(&Pod, bool) -> Call;
    for by in [calls::disk_full as Lock, calls::cm_disk_full, calls::cm_node_disk_full] {
        twice(pod, &by(pod, true));
        assert!(!app_writes(pod));
        twice(pod, &by(pod, false));
        assert!(app_writes(pod));
    }
}

fn stops_and_starts(pod: &Pod) {
    let down = || until("the engine's end", SOON, || pod.postmaster().is_none());
    for (stop, start) in [
        (calls::stop(), calls::start()),
        (calls::cm_stop("fast"), calls::cm_start()),
        (calls::cm_stop("immediate"), calls::cm_start()),
        (calls::cm_stop("smart"), calls::cm_start()),
    ] {
        let [_, second] = twice(pod, &stop);
        assert!(second.contains("Is server running"), "{second}");
        down();
        assert!(pod.data("ins_lock").exists());
        assert_eq!(calls::health(pod).run(pod).code(), 1);
        twice(pod, &start);
        pod.serves();
        assert!(!pod.data("ins_lock").exists());
    }
    assert_eq!(pod.sql("show max_connections"), "60");
    let before = pod.postmaster().unwrap().pid;
    twice(pod, &calls::restart());
    pod.serves();
    assert_ne!(pod.postmaster().unwrap().pid, before);
}

#[test]
fn where_processes_are_seen_by_all_containers() {
    whole_life(Pids::Shared);
}

#[test]
fn where_each_container_sees_its_own_processes() {
    whole_life(Pids::Own);
}

#[test]
fn a_stop_with_cleanup_ends_nobody_else() {
    let pod = installed(Pids::Shared);
    // As pfsd-tool's: the first process of a container and a shell of somebody's `kubectl exec`.
    let mut others = [Image::Manager, Image::Engine].map(|image| {
        let child = Ended(pod.command(image, &["sleep", "1000"]).spawn().unwrap());
        until("it runs", SOON, || {
            Process::all().iter().any(|it| it.parent == i32::try_from(child.0.id()).unwrap())
        });
        child
    });
    let stop = Call::cluster_manager(
        "srv_opr_action=lock_stop_instance shutdown_cleanup=true python /docker_script/entry_point.py",
    );
    twice(&pod, &stop);
    assert!(pod.postmaster().is_none());
    for child in &mut others {
        assert!(child.0.try_wait().unwrap().is_none(), "it was killed");
    }
    assert!(!pod.first_has_ended(Image::Manager) && !pod.first_has_ended(Image::Engine));
}
