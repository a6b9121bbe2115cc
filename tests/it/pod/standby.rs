//! A streaming standby beside a RW instance: installed, attached, promoted by its callers' command lines alone.

use super::bed::{Image, Pids, Pod};
use super::calls::{self, Call};
use super::life::installed;
use crate::common::{BOOT, until};

const PASSWORD: &str = "s3cret";

/// ClusterManager's online promotion.
fn promote(pod: &Pod) -> Call {
    let line = "su - postgres -c \"/u01/polardb_pg/bin/pg_ctl promote -D /data -t 5\"";
    Call::of(pod.sees_engine(), &["sh", "-c", line])
}

fn life(pids: Pids) {
    let primary = installed(pids);
    for (name, privilege) in [("aurora", 7), ("replicator", 15)] {
        calls::account(&primary, name, PASSWORD, privilege).done(&primary);
    }
    for _ in 0..2 {
        calls::standby_slot(&primary).done(&primary);
    }
    assert_eq!(primary.sql("select slot_name from pg_replication_slots"), "standby_2000_2001");
    primary.sql("create table t as select 1 as a");

    let standby = Pod::start(pids);
    for _ in 0..2 {
        calls::install_standby(&standby, &primary, PASSWORD).done(&standby);
    }
    // Its first start is ClusterManager's to order.
    assert!(standby.data("ins_lock").exists());
    standby.stays_down();
    for _ in 0..2 {
        calls::cm_start().done(&standby);
    }
    standby.serves();
    assert_eq!(standby.sql("select pg_is_in_recovery()"), "t");
    calls::health(&standby).done(&standby);
    primary.sql("insert into t values (2)");
    until("the row", BOOT, || standby.sql("select count(*) from t") == "2");
    let streams = "select count(*) from pg_stat_replication where application_name = 'standby_2000_2001'";
    until("its name", BOOT, || primary.sql(streams) == "1");
    let identifiers = [&primary, &standby].map(|pod| calls::system_identifier(pod).done(pod));
    assert_eq!(identifiers[0], identifiers[1]);

    // What only a primary can do is refused, and what any instance can is done.
    assert_eq!(calls::account(&standby, "late", PASSWORD, 1).run(&standby).code(), 1);
    calls::parameters(&standby, r#"{"work_mem":"'7MB'"}"#).done(&standby);
    assert_eq!(standby.sql("show work_mem"), "7MB");
    for (stop, start) in [(calls::stop(), calls::start()), (calls::cm_stop("fast"), calls::cm_start())] {
        stop.done(&standby);
        assert!(standby.postmaster().is_none());
        start.done(&standby);
        standby.serves();
        assert_eq!(standby.sql("select pg_is_in_recovery()"), "t");
    }
    calls::restart().done(&standby);
    standby.serves();

    // The primary goes; the standby takes its place, and stays it.
    calls::cm_stop("fast").done(&primary);
    let said = promote(&standby).done(&standby);
    assert!(said.contains("server promoted"), "{said}");
    assert_eq!(standby.sql("select pg_is_in_recovery()"), "f");
    standby.sql("insert into t values (3)");
    calls::account(&standby, "late", PASSWORD, 1).done(&standby);
    calls::restart().done(&standby);
    standby.serves();
    assert_eq!(standby.sql("select pg_is_in_recovery(), count(*) from t"), "f|3");
    for _ in 0..2 {
        calls::pre_stop().done(&standby);
    }
    standby.stays_down();
    assert!(!standby.first_has_ended(Image::Engine));
}

#[test]
fn in_pods_of_shared_processes() {
    life(Pids::Shared);
}

#[test]
fn in_pods_whose_containers_see_their_own_processes() {
    life(Pids::Own);
}
